"""A partner's colour is used only where it can be read (WCAG 2.2, contrast of 4.5 to 1)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onboarding.colours import (
    INK_ON_COLOUR,
    INK_ON_LIGHT_COLOUR,
    LEAST_CONTRAST,
    SHEET,
    SHEET_DARK,
    accent_css,
    contrast,
)

CSS = re.compile(
    r":root\{--accent:(#[0-9a-f]{6});--accent-ink:(#[0-9a-f]{6});"
    r"--accent-dark:(#[0-9a-f]{6});--accent-dark-ink:(#[0-9a-f]{6})\}\n"
)
colours = st.integers(0, 0xFFFFFF).map(lambda number: f"#{number:06x}")


@pytest.mark.parametrize(
    ("one", "other", "ratio"),
    [
        ("#000000", "#ffffff", 21.0),
        ("#ffffff", "#ffffff", 1.0),
        ("#777777", "#ffffff", 4.48),  # WCAG's own example of a grey that just fails
        ("#767676", "#ffffff", 4.54),
        ("#0000ff", "#ffffff", 8.59),
        ("#ff0000", "#ffffff", 4.0),
    ],
)
def test_contrast_is_wcags(one: str, other: str, ratio: float) -> None:
    assert contrast(one, other) == pytest.approx(ratio, abs=0.005)


@given(colours, colours)
def test_contrast_has_no_direction_and_stays_in_its_bounds(one: str, other: str) -> None:
    assert contrast(one, other) == contrast(other, one)
    assert 1.0 <= contrast(one, other) <= 21.0


@given(colours)
def test_a_colour_that_is_used_can_be_read_by_day_and_by_night(colour: str) -> None:
    css = accent_css(colour)
    if css is None:
        return
    found = CSS.fullmatch(css)
    assert found is not None, css
    accent, ink, dark, dark_ink = found.groups()
    assert (accent, ink, dark_ink) == (colour, INK_ON_COLOUR, INK_ON_LIGHT_COLOUR)
    for pair in [(accent, SHEET), (accent, ink), (dark, SHEET_DARK), (dark, dark_ink)]:
        assert contrast(*pair) >= LEAST_CONTRAST, pair


@pytest.mark.parametrize("colour", ["#ffffff", "#ffde00", "#8bc34a", "#00bcd4", "#808080"])
def test_a_colour_too_light_for_paper_is_not_used(colour: str) -> None:
    assert accent_css(colour) is None


@pytest.mark.parametrize("colour", ["#000000", "#1a2b3c", "#7a1f1f", "#0b5d3b", "#5b2a86"])
def test_a_dark_colour_is_used_as_it_is(colour: str) -> None:
    css = accent_css(colour)

    assert css is not None
    assert css.startswith(f":root{{--accent:{colour};")


@pytest.mark.parametrize("colour", ["#1A2B3C", "#AbCdEf"])
def test_capitals_are_as_good_as_small_letters(colour: str) -> None:
    assert (accent_css(colour) is None) is (accent_css(colour.lower()) is None)


def test_the_paper_and_the_inks_are_those_of_the_style_sheet() -> None:
    css = (Path(__file__).parents[2] / "static" / "app.css").read_text()
    tokens = re.findall(r"(--[a-z-]+): (#[0-9a-f]{6});", css)

    assert f"--sheet: var(--light, {SHEET}) var(--dark, {SHEET_DARK});" in css
    assert ("--accent-ink", INK_ON_COLOUR) in tokens
    assert ("--accent-dark-ink", INK_ON_LIGHT_COLOUR) in tokens
