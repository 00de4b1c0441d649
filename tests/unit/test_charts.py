"""From numbers to shapes."""

from __future__ import annotations

import re
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from onboarding.staff import charts

HEIGHT = 220.0
numbers = st.integers(0, 2_000_000)


@given(st.lists(st.tuples(*[numbers] * 5), min_size=1, max_size=90))
def test_areas_lie_on_each_other_within_the_picture(days: list[tuple[int, ...]]) -> None:
    series = {str(place): list(found) for place, found in enumerate(zip(*days, strict=True))}
    places = [place / max(len(days) - 1, 1) for place in range(len(days))]

    chart = charts.stacked(places, series, width=760, height=HEIGHT)

    for band, found in zip(chart.bands, series.values(), strict=True):
        assert bool(band.path) == any(found)
        ys = [float(y) for y in re.findall(r"[ML][\d.]+ ([\d.]+)", band.path)]
        assert all(0 <= y <= HEIGHT for y in ys)
    labels = [band.label_y for band in chart.bands if band.label_y is not None]
    assert [band.label_y is not None for band in chart.bands] == [n > 0 for n in days[-1]]
    assert all(0 <= y <= HEIGHT for y in labels)
    assert all(below - above >= charts.LINE - 0.01 for below, above in pairwise(labels))


@given(numbers)
def test_scale_ends_at_a_number_that_is_easily_halved(most: int) -> None:
    top = charts.scale(most)
    assert top >= most
    assert top % 2 == 0
    assert top <= max(2, most * 1.34 + 1)


def test_columns_are_as_high_as_their_numbers() -> None:
    found = charts.columns([0, 5, 10], width=30, height=20)
    assert [bar.height for bar in found] == [0.5, 10, 20]
    assert [bar.y + bar.height for bar in found] == [20, 20, 20]
    assert charts.columns([], width=30, height=20) == []
