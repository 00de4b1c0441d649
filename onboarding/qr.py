"""Addresses as pictures that telephones read."""

from __future__ import annotations

import segno


def picture(url: str) -> str:
    """A picture (SVG) that a telephone's camera reads the address from.

    Dark on light whatever the page's colours are: not every camera reads the inverse.
    """
    made: str = segno.make(url, error="m", micro=False).svg_inline(
        omitsize=True, border=4, dark="#000", light="#fff", svgclass="qr"
    )
    return made
