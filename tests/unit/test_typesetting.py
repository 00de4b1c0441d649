"""What belongs together stays on one line."""

from __future__ import annotations

import pytest
from markupsafe import Markup

from onboarding.typesetting import together

WHOLE = '<span class="together">'


@pytest.mark.parametrize(
    "text", ["John Deere", "John Deere’s", "10 December", "“I have", "Co-op", "sign-in", "e-mail"]
)
def test_what_belongs_together_is_not_torn_apart(text: str) -> None:
    assert together(f"Before {text} 2026 after.") == f"Before {WHOLE}{text}</span> 2026 after."


@pytest.mark.parametrize(
    "text", ["Großwanzleben-Klostermansfeld", "450 Farms", "help@a-b.example-x"]
)
def test_what_may_be_too_wide_for_a_phone_can_be_broken(text: str) -> None:
    assert WHOLE + text not in together(text)


def test_text_is_escaped_once() -> None:
    assert together("<b> & “a” John Deere") == f"&lt;b&gt; &amp; “a” {WHOLE}John Deere</span>"
    assert together(Markup("<b>")) == "<b>"
