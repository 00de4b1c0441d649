"""The camera of a telephone: reads a QR code as it stands on a screen."""

from __future__ import annotations

import base64

import zxingcpp
from playwright.sync_api import Locator

GREY = """async (_, png) => {
  const bytes = Uint8Array.from(atob(png), (one) => one.charCodeAt(0));
  const picture = await createImageBitmap(new Blob([bytes]));
  const canvas = new OffscreenCanvas(picture.width, picture.height).getContext("2d");
  canvas.drawImage(picture, 0, 0);
  const { data } = canvas.getImageData(0, 0, picture.width, picture.height);
  const grey = Array.from({ length: data.length / 4 }, (_, at) => data[4 * at + 1]);
  return { width: picture.width, height: picture.height, grey };
}"""
"""How light each point is; of black and white one colour says it."""


def photograph(code: Locator) -> str:
    """What a QR code says."""
    png = base64.b64encode(code.screenshot()).decode()
    seen = code.evaluate(GREY, png)
    points = memoryview(bytes(seen["grey"])).cast("B", shape=[seen["height"], seen["width"]])
    (found,) = zxingcpp.read_barcodes(points)
    return str(found.text)
