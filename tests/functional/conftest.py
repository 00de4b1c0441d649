"""What the tests of the whole walk share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

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
