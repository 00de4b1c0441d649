"""How a text is set: what belongs together stays on one line."""

from __future__ import annotations

import re

from markupsafe import Markup, escape

_TOGETHER = re.compile(
    r"John Deere(?:’s)?"
    r"|\b\d{1,2} [A-Z][a-z]+(?= \d{4})"  # 10 December
    r"|“\w \w+"  # “I have
    r"|\b[^\W_]{1,6}-[^\W_]{1,6}\b"  # Co-op; a longer name may need the break
)
"""Only what fits a narrow phone with text of twice the size."""


def together(text: str | Markup) -> Markup:
    """A text as HTML in which names, days and hyphenated words are not torn apart.

    By spans and not by other characters: what is copied, searched or read aloud stays the same.
    """
    return Markup(_TOGETHER.sub(r'<span class="together">\g<0></span>', str(escape(text))))  # noqa: S704
