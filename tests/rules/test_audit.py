"""What staff do has words in the audit."""

from __future__ import annotations

import ast

from onboarding.staff.trail import WORDS
from tests.support.stack import ROOT


def test_every_action_that_is_written_down_has_words() -> None:
    """Of the calls that name it; those that make it from a variable are covered by their tests."""
    found = {
        str(action.value)
        for file in (ROOT / "onboarding").rglob("*.py")
        for call in ast.walk(ast.parse(file.read_text()))
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "audit.record"
        for action in call.args[2:3]
        if isinstance(action, ast.Constant)
    }
    assert len(found) > 20
    assert found - set(WORDS) == set()
