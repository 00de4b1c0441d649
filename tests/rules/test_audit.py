"""What staff do has words in the audit."""

from __future__ import annotations

import re

from onboarding.staff.trail import WORDS
from tests.support.stack import ROOT

ACTION = re.compile(r'"((?:staff|partner|application|connection|key|view|bulk|import)\.[a-z_]+)"')


def test_every_action_that_is_written_down_has_words() -> None:
    """Of the calls that name it; those that make it from a variable are covered by their tests."""
    found = {
        action
        for file in (ROOT / "onboarding").rglob("*.py")
        for call in re.findall(
            r"audit\.record\((.*?)\n\s*\)|audit\.record\(([^\n]*)\)", file.read_text(), re.S
        )
        for action in ACTION.findall(" ".join(call))
    }
    assert len(found) > 20
    assert found - set(WORDS) == set()
