"""Tables as text that spreadsheets read, and none that they run."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence

BOM = "\ufeff"
"""Without it Excel takes UTF-8 for something else."""
ROWS_AT_ONCE = 500
RUN_AS_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""With one of these at its beginning a cell is run, also what people typed into a name."""


def defused(cell: str) -> str:
    """A cell that a spreadsheet shows as it is: what it would run has an apostrophe before it."""
    return f"'{cell}" if cell.startswith(RUN_AS_FORMULA) else cell


def lines(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """A file in parts of some hundred rows."""
    text = io.StringIO()
    writer = csv.writer(text)
    text.write(BOM)
    writer.writerow(heading)
    for number, row in enumerate(rows, start=1):
        writer.writerow([defused(cell) for cell in row])
        if number % ROWS_AT_ONCE == 0:
            yield text.getvalue()
            text.seek(0)
            text.truncate()
    yield text.getvalue()
