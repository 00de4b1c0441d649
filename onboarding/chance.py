"""Chance, so that what began together does not come back together."""

from __future__ import annotations

from datetime import timedelta
from random import SystemRandom

_random = SystemRandom()


def spread(pause: timedelta, least: float, most: float) -> timedelta:
    """A pause of `least` to `most` times its length."""
    return pause * _random.uniform(least, most)


def rounded(number: float) -> int:
    """The whole number below or above a number that is not negative, right on average."""
    return int(number + _random.random())
