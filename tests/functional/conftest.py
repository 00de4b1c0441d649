"""What the tests of the whole walk share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from onboarding.connections import registration
from tests.support.people import People
from tests.support.stack import Stack


@pytest.fixture
def people(stack: Stack) -> Iterator[People]:
    """Makes growers. At the end every answer of ours that any of them got must be in order."""
    growers = People(stack)
    yield growers
    growers.close()
    complaints = growers.complaints()
    assert not complaints, "\n".join(complaints)


@pytest.fixture
def registered(stack: Stack) -> None:
    """Staff have registered alerts, without the seconds that starting a process takes."""
    parts = stack.installation
    leaf, settings = parts.leaf(), parts.settings
    registration.register(leaf, url=settings.alerts_url, secret=settings.leaf_alert_secret)
