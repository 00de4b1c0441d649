"""What may be kept and shown of a service's own words."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any
from urllib.parse import quote

REASON_LIMIT = 200
"""Characters of a service's own words that are kept."""
REASON_KEYS = ("title", "error", "detail", "message", "error_description")
"""Where errors say why: problem details (RFC 9457), OAuth (RFC 6749 5.2), and common sense."""
NAME_LIMIT = 300
"""Characters of a name that are kept; so many our tables hold."""
ID_LIMIT = 64
"""Characters of the longest id that our tables hold."""
MASK = "***"
TOO_LONG_FOR_WORDS = 40
"""Characters in a row from which on it is masked whatever it is: one random token of 43 characters
in some 1500 has no digit."""
_NAMED_SECRET = re.compile(
    r"""((?:token|secret|password|authorization)\w{0,20}[\\"']{0,8}\s{0,5}[:=]\s{0,5}[\\"'[]{0,8})"""
    r"""(?:(?:bearer|basic)\s+)?(?:[^\s"',;&}\\]|\\[^\s"'\\]){8,}""",
    re.IGNORECASE,
)
"""Quotes may be escaped, more than once: services write JSON into texts of JSON."""
_JWT = re.compile(r"eyJ[A-Za-z0-9_-]{5,}(?:\.[A-Za-z0-9_-]*)*")
_LONG_RUN = re.compile(r"[A-Za-z0-9_.~+/=%-]{20,}")


def reason_in(body: Any, secrets: Collection[str] = ()) -> str:
    """Why a service refused, out of the JSON of its answer; empty if it does not say.

    :param secrets: as `redact`
    """
    if not isinstance(body, dict):
        return ""
    errors = body.get("errors")  # John Deere: {"@type": "Errors", "errors": [{"message": …}]}
    parts = [body, *errors] if isinstance(errors, list) else [body]
    texts = [part.get(key) for part in parts if isinstance(part, dict) for key in REASON_KEYS]
    return redact(": ".join(dict.fromkeys(t for t in texts if isinstance(t, str))), secrets)


def redact(text: str, secrets: Collection[str] = (), *, limit: int = REASON_LIMIT) -> str:
    """A service's own words, made fit for staff and logs: one line, nothing that looks secret.

    :param secrets: values to mask whatever they look like
    :param limit: characters to keep
    """
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, MASK).replace(quote(secret, safe=""), MASK)
    text = _NAMED_SECRET.sub(rf"\1{MASK}", text)
    text = _JWT.sub(MASK, text)
    text = _LONG_RUN.sub(_mask_if_tokenlike, text)
    return one_line(text, limit=limit)


def one_line(text: str, *, limit: int = NAME_LIMIT) -> str:
    """Text of printable characters only: databases refuse NUL and halves of surrogate pairs.

    :param limit: characters to keep
    """
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return text if len(text) <= limit else text[: limit - 1] + "…"


def identifier(value: Any) -> str:
    """An id, text or a number, as text; empty if it is none, or none that our tables can hold."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return ""
    text = str(value)
    return text if text.isprintable() and len(text) <= ID_LIMIT else ""


def _mask_if_tokenlike(run: re.Match[str]) -> str:
    is_token = len(run[0]) >= TOO_LONG_FOR_WORDS or any(c.isdigit() for c in run[0])
    return MASK if is_token else run[0]
