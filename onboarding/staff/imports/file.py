"""What a file of growers holds, however a spreadsheet has written it."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass

from onboarding.errors import InputInvalid
from onboarding.staff.csv import defused

ROWS_AT_MOST = 10_000
DELIMITERS = (",", ";", "\t")
NAMES = {
    "external_id": (
        "external id",
        "id",
        "grower id",
        "farmer id",
        "customer id",
        "customer number",
        "customer no",
        "account number",
        "member id",
        "reference",
    ),
    "name": ("name", "grower", "grower name", "farm", "farm name", "farmer", "customer", "company"),
    "email": ("e-mail", "mail", "e-mail address", "mail address"),
    "phone": ("phone", "phone number", "telephone", "telephone number", "tel", "mobile", "cell"),
    "leaf_user_id": ("leaf user id", "leaf user", "leaf id"),
}
"""What headings are called; case, spaces and signs do not matter."""
COLUMN_OF = {
    re.sub(r"[\W_]", "", name): column for column, names in NAMES.items() for name in names
}
NEEDED = ("external_id", "name")
TEMPLATE = ("external id", "name", "e-mail", "phone", "leaf user id")
HEADINGS_QUOTED = 8
UNSHOWN = "\ufffd"
"""Stands for a character that no page can show."""


@dataclass(frozen=True)
class Line:
    """One grower of a file. Texts are as they were written, without what surrounds them."""

    line: int
    external_id: str
    name: str
    email: str
    phone: str
    leaf_user_id: str


@dataclass(frozen=True)
class File:
    """What was found in a file.

    :ivar ignored: headings that say nothing to us
    """

    lines: Sequence[Line]
    ignored: Sequence[str]


def read(data: bytes) -> File:
    """Read a file.

    UTF-8, UTF-16 as Excel's "Unicode text", else as Windows in the west writes; separated by
    commas, semicolons or tabs.

    :raise InputInvalid: saying what is wrong with the file as a whole
    """
    text = _text(data)
    try:
        rows = list(_rows(text))
    except csv.Error as err:
        raise InputInvalid(f"The file can't be read as CSV: {err}. Save it as CSV anew.") from err
    if not rows:
        raise InputInvalid("The file is empty. Its first line has to name the columns.")
    (_, heading), rows = rows[0], rows[1:]
    columns = _columns(heading)
    if not rows:
        raise InputInvalid("The file has headings and no rows below them.")
    if len(rows) > ROWS_AT_MOST:
        raise InputInvalid(
            f"The file has {len(rows):,} rows, and {ROWS_AT_MOST:,} are taken at once: split it."
        )
    ignored = [one.strip() for one in heading if one.strip() and _column(one) is None]
    return File([_line(number, cells, columns) for number, cells in rows], ignored)


def _text(data: bytes) -> str:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encodings = ["utf-16"]
    else:
        encodings = ["utf-8-sig", "cp1252"]
    for encoding in encodings:
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text
    raise InputInvalid("The file is no text. In the spreadsheet, choose “Save as” and CSV UTF-8.")


def _rows(text: str) -> Iterator[tuple[int, list[str]]]:
    """The rows that hold something, and on which lines they end."""
    first = text.split("\n", 1)[0].strip().strip('"').lower()
    if first.startswith("sep=") and len(first) == len("sep=;"):
        # Excel's own word for it, where somebody has written one.
        delimiter = first[-1]
        skipped = 1
        text = text.split("\n", 1)[1] if "\n" in text else ""
    else:
        delimiter, skipped = _delimiter(text), 0
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    for cells in reader:
        if any(cell.strip() for cell in cells):
            yield reader.line_num + skipped, cells


def _delimiter(text: str) -> str:
    """The one by which most headings mean something."""
    heading = next((line for line in text.splitlines() if line.strip()), "")

    def known(delimiter: str) -> tuple[int, int]:
        cells = next(csv.reader([heading], delimiter=delimiter), [])
        return sum(_column(cell) is not None for cell in cells), len(cells)

    return max(DELIMITERS, key=known)


def _column(heading: str) -> str | None:
    return COLUMN_OF.get(re.sub(r"[\W_]", "", heading.casefold()))


def _columns(heading: Sequence[str]) -> dict[str, int]:
    """Where each column stands."""
    places: dict[str, int] = {}
    for place, cell in enumerate(heading):
        column = _column(cell)
        if column is None:
            continue
        if column in places:
            raise InputInvalid(
                f"Two columns mean the same: {heading[places[column]].strip()!r} and "
                f"{cell.strip()!r}. Rename or delete one."
            )
        places[column] = place
    missing = [TEMPLATE[list(NAMES).index(one)] for one in NEEDED if one not in places]
    if missing:
        found = ", ".join(repr(cell.strip()[:40]) for cell in heading[:HEADINGS_QUOTED])
        raise InputInvalid(
            f"The first line has to name the columns, and {' and '.join(map(repr, missing))} "
            f"can't be found in it. It has {found}."
        )
    return places


def _line(number: int, cells: Sequence[str], columns: dict[str, int]) -> Line:
    def cell(column: str) -> str:
        place = columns.get(column)
        text = cells[place] if place is not None and place < len(cells) else ""
        text = "".join(one if one.isprintable() else UNSHOWN for one in " ".join(text.split()))
        # What our own files have before a cell so that no spreadsheet runs it.
        return text[1:] if text.startswith("'") and defused(text[1:]) == text else text

    return Line(number, *(cell(column) for column in NAMES))


def values(line: Line) -> tuple[str, ...]:
    """What it holds, in the order of the template."""
    return tuple(astuple(line)[1:])
