"""A partner's colour, if text in it and on it can be read (WCAG 2.2, contrast of 4.5 to 1)."""

from __future__ import annotations

from typing import NamedTuple

LEAST_CONTRAST = 4.5
SHEET = "#fbf8f1"
SHEET_DARK = "#1d1914"
INK_ON_COLOUR = "#fffdf8"
INK_ON_LIGHT_COLOUR = "#12252a"
LIGHTENING_STEPS = 20


class Accent(NamedTuple):
    """The colour of buttons and names, and of ink on it; on light paper and on dark."""

    colour: str
    ink: str
    dark: str
    dark_ink: str


OURS = Accent("#1d4b5c", INK_ON_COLOUR, "#9bc4cb", INK_ON_LIGHT_COLOUR)


def accent(colour: str) -> Accent | None:
    """A partner's colour for both papers.

    :param colour: `#rrggbb`
    :return: None if it is too light for our paper; in the dark a lighter shade is used
    """
    if readability(colour) < LEAST_CONTRAST:
        return None
    return Accent(colour, INK_ON_COLOUR, _lightened(colour), INK_ON_LIGHT_COLOUR)


def accent_css(colour: str) -> str | None:
    """The style sheet that puts a partner's colour in place of ours.

    :param colour: `#rrggbb`
    :return: None if the colour is too light for our paper; in the dark a lighter shade is used
    """
    found = accent(colour)
    if found is None:
        return None
    return (
        f":root{{--accent:{found.colour};--accent-ink:{found.ink};"
        f"--accent-dark:{found.dark};--accent-dark-ink:{found.dark_ink}}}\n"
    )


def readability(colour: str) -> float:
    """The contrast of a partner's colour on our paper, or of our ink on it: the lesser one."""
    return min(contrast(colour, SHEET), contrast(colour, INK_ON_COLOUR))


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours, from 1 to 21 (WCAG 2.2, "contrast ratio")."""
    brighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (brighter + 0.05) / (darker + 0.05)


def _lightened(colour: str) -> str:
    """The first shade towards white that can be read on dark paper and under dark ink."""
    channels = _channels(colour)
    for step in range(LIGHTENING_STEPS + 1):
        share = step / LIGHTENING_STEPS
        shade = "#" + "".join(f"{round(c + (255 - c) * share):02x}" for c in channels)
        if min(contrast(shade, SHEET_DARK), contrast(shade, INK_ON_LIGHT_COLOUR)) >= LEAST_CONTRAST:
            break
    return shade


def _channels(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _luminance(colour: str) -> float:
    red, green, blue = (_linear(channel / 255) for channel in _channels(colour))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(channel: float) -> float:
    return channel / 12.92 if channel <= 0.04045 else float(((channel + 0.055) / 1.055) ** 2.4)
