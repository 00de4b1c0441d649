"""A letter as HTML and as text: the two templates in `templates/mail/`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from textwrap import fill

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from onboarding import i18n
from onboarding.colours import OURS, accent
from onboarding.mail.letters import Letter
from onboarding.models import Grower, Partner

FOLDER = Path(__file__).resolve().parents[2] / "templates" / "mail"
TEXT_WIDTH = 72


@dataclass(frozen=True, kw_only=True)
class Laid:
    """A letter in its two forms."""

    html: str
    text: str


def lay_out(letter: Letter, grower: Grower, *, url: str, stop_url: str | None) -> Laid:
    """Both forms.

    :param url: of the grower's page; the one secret in a mail
    :param stop_url: where the grower stops such mails; None if that can't be done
    """
    return _laid(letter, grower.partner, grower, url=url, stop_url=stop_url)


def lay_out_for_partner(letter: Letter, partner: Partner) -> Laid:
    """Both forms of a letter to the partner's own people: about no grower, without a link."""
    return _laid(letter, partner, None, url=None, stop_url=None)


def _laid(
    letter: Letter,
    partner: Partner,
    grower: Grower | None,
    *,
    url: str | None,
    stop_url: str | None,
) -> Laid:
    values = {
        "letter": letter,
        "grower": grower,
        "partner": partner,
        "accent": _accent(partner),
        "url": url,
        "stop_url": stop_url,
    }
    templates = _templates()
    return Laid(
        html=templates.get_template("letter.html").render(values),
        text=templates.get_template("letter.txt").render(values),
    )


def _accent(partner: Partner) -> tuple[str, str, str, str]:
    return (accent(partner.colour) if partner.colour else None) or OURS


@cache
def _templates() -> Environment:
    found = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=select_autoescape(),
        undefined=StrictUndefined,
        extensions=["jinja2.ext.i18n"],
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    found.install_gettext_callables(i18n.gettext, i18n.ngettext, newstyle=True)  # type: ignore[attr-defined]
    found.filters["wrapped"] = _wrapped
    return found


def _wrapped(text: str) -> str:
    """A paragraph of a text mail: lines that no program breaks in bad places."""
    return fill(text, TEXT_WIDTH, break_long_words=False, break_on_hyphens=False)
