"""A sandbox for each module, as new for each test, and its visitors."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.functional.sandbox.support import Grower, Owner, serving
from tests.support.control import Control


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("sandbox") / "sandbox.sqlite") as url:
        yield url


@pytest.fixture
def control(origin: str) -> Iterator[Control]:
    control = Control(origin)
    control.reset()
    yield control
    control.reset()
    control.close()


@pytest.fixture
def grower(origin: str, control: Control) -> Grower:
    return Grower(origin)


@pytest.fixture
def owner(origin: str, control: Control) -> Owner:
    return Owner(origin)
