"""`.env.example` explains every setting, and no other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from dotenv import dotenv_values

from onboarding import settings
from onboarding.errors import SettingsInvalid
from onboarding.local import plan
from tests.support.stack import ROOT

OF_GUNICORN = {"PORT", "WEB_CONCURRENCY", "WEB_THREADS"}
OF_MAKE_RUN = {settings.LOCAL_RUN}
EXAMPLE = ROOT / ".env.example"


class Asked(dict[str, str]):
    """An empty environment that remembers what was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def get(self, name: str, default: object = None) -> object:  # type: ignore[override]
        self.names.add(name)
        return default


def test_the_example_explains_every_setting_and_no_other(tmp_path: Path) -> None:
    asked = Asked()
    with pytest.raises(SettingsInvalid):
        settings.load(asked, instance=tmp_path)
    explained = set(re.findall(r"^#?([A-Z_]+)=", EXAMPLE.read_text(), re.MULTILINE))
    assert explained == (asked.names - OF_MAKE_RUN) | OF_GUNICORN


def test_an_example_that_is_not_filled_in_runs_with_the_sandbox(tmp_path: Path) -> None:
    copied = {name: value for name, value in dotenv_values(EXAMPLE).items() if value is not None}
    made = plan.make(copied, tmp_path)
    assert made.sandbox
    settings.load(made.environ, instance=tmp_path)
