"""Marks texts for translation. English now: without a catalogue every text stands for itself."""

from __future__ import annotations

import gettext as _gettext
from datetime import datetime
from pathlib import Path

DOMAIN = "messages"
CATALOGUES = Path(__file__).resolve().parent.parent / "translations"

translations = _gettext.translation(DOMAIN, CATALOGUES, fallback=True)
gettext = translations.gettext
ngettext = translations.ngettext


def mark(text: str) -> str:
    """Mark a text in a table for translation; it is translated where it is used."""
    return text


def date(moment: datetime) -> str:
    """A day as growers write it; templates use it as the filter `date`."""
    return f"{moment.day} {moment:%B %Y}"
