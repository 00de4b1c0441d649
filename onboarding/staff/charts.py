"""From numbers to shapes. Pure; the templates draw what comes out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

STEPS = (1, 2, 5)
"""Of a scale that people read with ease, times a power of ten."""


@dataclass(frozen=True)
class Bar:
    """A rectangle in the units of its picture."""

    x: float
    y: float
    width: float
    height: float


def columns(numbers: Sequence[int], *, width: float, height: float, gap: float = 1) -> list[Bar]:
    """A column for each number, side by side; the highest fills the height, and 0 is a hair."""
    if not numbers:
        return []
    step = width / len(numbers)
    most = max(max(numbers), 1)
    return [
        Bar(
            x=round(place * step, 2),
            y=round(height - _high(number, most, height), 2),
            width=round(step - gap, 2),
            height=round(_high(number, most, height), 2),
        )
        for place, number in enumerate(numbers)
    ]


def _high(number: int, most: int, height: float) -> float:
    least = 0.5 if number == 0 else 2
    return max(number / most * height, least)
