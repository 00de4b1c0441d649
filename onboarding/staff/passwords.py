"""Passwords: what is kept of them, and which are too easy to guess."""

from __future__ import annotations

import re
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from onboarding.errors import InputInvalid
from onboarding.i18n import gettext as _

SHORTEST, LONGEST = 12, 200
"""Characters. No rule asks for kinds of them: length is what makes guessing long."""
FEWEST_DIFFERENT = 5
COMMON = ("password", "passwort", "johndeere", "withleaf", "connections", "onboarding", "qwerty")
"""Words that are guessed first; a password must be more than some of them and digits."""
SHORTEST_WORD = 4

# RFC 9106's second recommended choice, which the library takes: 64 MiB, three passes.
_hasher = PasswordHasher()


def hashed(password: str) -> str:
    """What is kept: Argon2id with its parameters and salt."""
    return _hasher.hash(password)


def matches(stored: str | None, password: str) -> bool:
    """Whether it is the password; as slow where nothing is stored, so that time tells nothing."""
    try:
        right = _hasher.verify(stored or _nobodys(), password)
    except (VerificationError, InvalidHashError):
        return False
    return right and stored is not None


def is_outdated(stored: str) -> bool:
    """Whether it was hashed with other parameters than those of now."""
    return _hasher.check_needs_rehash(stored)


def check(password: str, *, email: str) -> None:
    """Refuse a password that is too easy to guess.

    :param email: whose it is to be
    :raise InputInvalid: saying what to change
    """
    if len(password) < SHORTEST:
        raise InputInvalid(
            _("It has fewer than %(number)d characters. A few words in a row are easy to keep.")
            % {"number": SHORTEST}
        )
    if len(password) > LONGEST:
        raise InputInvalid(
            _("It has more than %(number)d characters, so that checking it would take too long.")
            % {"number": LONGEST}
        )
    if len(set(password)) < FEWEST_DIFFERENT:
        raise InputInvalid(_("It repeats the same few characters. Take some words instead."))
    if len(_rest(password.casefold(), email.casefold())) < SHORTEST_WORD:
        raise InputInvalid(
            _("It is little more than words that are guessed first, or your address. Add others.")
        )


def _rest(password: str, email: str) -> str:
    """What is left of a password without what everybody would guess."""
    guessed = {*COMMON, *re.split(r"[^\w]+", email), email}
    for word in sorted(guessed, key=len, reverse=True):
        if len(word) >= SHORTEST_WORD:
            password = password.replace(word, "")
    return re.sub(r"[\W\d_]|abc(?:def(?:ghi)?)?", "", password)


@cache
def _nobodys() -> str:
    return _hasher.hash("of nobody")
