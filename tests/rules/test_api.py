"""What views of the API may not do."""

from __future__ import annotations

from tests.support.stack import ROOT

SHARED = {"parts.py", "writes.py"}


def test_views_of_the_api_write_in_the_transaction_of_their_request() -> None:
    """One of their own would wait for it, and be kept when it is rolled back: see `writing()`."""
    views = (ROOT / "onboarding/views/api").rglob("*.py")
    found = [
        path.name
        for path in views
        if path.name not in SHARED and ".transaction(" in path.read_text()
    ]
    assert not found, "use `with writing() as session`"


def test_no_view_writes_over_a_row_with_what_it_read_before() -> None:
    """`merge` copies every column: what somebody else has changed meanwhile would be undone."""
    views = (ROOT / "onboarding/views").rglob("*.py")
    found = [path.name for path in views if ".merge(" in path.read_text()]
    assert not found, "use `session.get_one(…)`"
