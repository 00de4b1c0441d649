"""From numbers to shapes. Pure; the templates draw what comes out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

STEPS = (10, 12, 16, 20, 24, 30, 40, 50, 60, 80, 100)
"""Ends of scales that people read and halve with ease, times a power of ten."""
LINE = 18.0
"""Between two labels, one below the other."""


@dataclass(frozen=True)
class Bar:
    """A rectangle in the units of its picture."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Band:
    """One of the areas that lie on each other.

    :ivar path: `d` of an SVG path
    :ivar label_y: where its label has room, as near to its right end as can be; None: it is empty
    """

    key: str
    path: str
    label_y: float | None
    last: int


@dataclass(frozen=True)
class Tick:
    """A line of the scale."""

    y: float
    number: int


@dataclass(frozen=True)
class Stacked:
    """Areas that lie on each other, the first at the bottom."""

    width: float
    height: float
    bands: list[Band]
    ticks: list[Tick]


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


def share(number: int, most: int, *, width: float) -> float:
    """The length of a bar; what is there can be seen, however little it is."""
    if number <= 0:
        return 0
    return round(max(number / max(most, 1) * width, 1.0), 2)


def stacked(
    places: Sequence[float],
    series: Mapping[str, Sequence[int]],
    *,
    width: float,
    height: float,
) -> Stacked:
    """Areas over time.

    :param places: where on the time's axis each number stands, from 0 to 1, growing; at least one
    :param series: the numbers of each area, as many as there are places; the first lies lowest
    """
    top = scale(max((sum(column) for column in zip(*series.values(), strict=True)), default=0))
    xs = [place * width for place in places]
    if len(xs) == 1:
        xs = [0, width]
        series = {key: [*numbers, *numbers] for key, numbers in series.items()}
    lower = [0.0] * len(xs)
    bands, middles = [], []
    for key, numbers in series.items():
        upper = [below + number for below, number in zip(lower, numbers, strict=True)]
        path = _outline(xs, _ys(lower, top, height), _ys(upper, top, height))
        middle = height - (lower[-1] + upper[-1]) / 2 / top * height
        bands.append((key, path if any(numbers) else "", numbers[-1]))
        middles.append(middle if numbers[-1] else None)
        lower = upper
    spread = _spread([one for one in middles if one is not None], height)
    label_ys = iter(spread)
    return Stacked(
        width,
        height,
        [
            Band(key, path, None if middle is None else next(label_ys), last)
            for (key, path, last), middle in zip(bands, middles, strict=True)
        ],
        [Tick(0.0, top), Tick(height / 2, top // 2)],
    )


def scale(most: int) -> int:
    """The next even number from `most` on that is easily read; at least 2."""
    if most < STEPS[0]:
        return max(most + most % 2, 2)
    power: int = 10 ** (int(math.log10(most)) - 1)
    return next(step * power for step in STEPS if step * power >= most)


def _high(number: int, most: int, height: float) -> float:
    least = 0.5 if number == 0 else 2
    return max(number / most * height, least)


def _ys(numbers: Sequence[float], top: int, height: float) -> list[float]:
    return [height - number / top * height for number in numbers]


def _outline(xs: Sequence[float], lower: Sequence[float], upper: Sequence[float]) -> str:
    """Along the upper edge and back along the lower one."""
    there = [f"{x:.1f} {y:.1f}" for x, y in zip(xs, upper, strict=True)]
    back = [f"{x:.1f} {y:.1f}" for x, y in zip(xs, lower, strict=True)][::-1]
    return f"M{'L'.join([*there, *back])}Z"


def _spread(wanted: Sequence[float], height: float) -> list[float]:
    """Labels from the bottom to the top, each as near to its place as the others leave room."""
    places: list[float] = []
    for place in wanted:
        below = places[-1] - LINE if places else height
        places.append(min(place, below))
    if places and places[-1] < LINE / 2:
        # They ran out of room at the top: from there down again.
        places[-1] = LINE / 2
        for index in range(len(places) - 2, -1, -1):
            places[index] = max(places[index], places[index + 1] + LINE)
    return places
