"""Marks texts for translation. English now: without a catalogue every text stands for itself."""

from __future__ import annotations

import gettext as _gettext
from datetime import datetime
from pathlib import Path

from onboarding import clock

DOMAIN = "messages"
MINUTE, HOUR, DAY = 60, 3600, 86_400
CATALOGUES = Path(__file__).resolve().parent.parent / "translations"

translations = _gettext.translation(DOMAIN, CATALOGUES, fallback=True)
gettext = translations.gettext
ngettext = translations.ngettext


def mark(text: str) -> str:
    """Mark a text in a table for translation; it is translated where it is used."""
    return text


def ago(moment: datetime) -> str:
    """How long ago something was, or how soon it will be; templates use it as the filter `ago`."""
    seconds = (clock.now() - moment).total_seconds()
    size = abs(seconds)
    if size < MINUTE:
        return gettext("now")
    if size < HOUR:
        span = gettext("%(number)d min") % {"number": size // MINUTE}
    elif size < DAY:
        span = gettext("%(number)d h") % {"number": size // HOUR}
    else:
        days = int(size // DAY)
        span = ngettext("%(number)d day", "%(number)d days", days) % {"number": days}
    return (
        gettext("%(span)s ago") % {"span": span}
        if seconds > 0
        else gettext("in %(span)s") % {"span": span}
    )


def date(moment: datetime) -> str:
    """A day as growers write it; templates use it as the filter `date`."""
    return f"{moment.day} {moment:%B %Y}"
