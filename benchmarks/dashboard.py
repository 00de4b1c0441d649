#!/usr/bin/env python3
"""Measure the dashboard's pages with many connections; see docs/performance.md.

    .venv/bin/python benchmarks/dashboard.py [--quick] [--database KIND]... [--json FILE]

The time is that of the server alone: Flask's test client in one process, a member who is signed in,
no network. Everything is in a folder that is removed at the end.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

# This file is in a package that it imports.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import sqlalchemy as sa
from flask.testing import FlaskClient

from benchmarks import command, report
from benchmarks.town import measured
from onboarding import create_app
from onboarding.models import Connection, Listing
from onboarding.staff import figures
from onboarding.staff.rows import Place
from onboarding.states import Role
from tests.support.desk import Desk
from tests.support.queries import counted
from tests.support.stack import Stack

MS = 1000
DEEP = 1000
ROWS = 50
TABLE = "/staff/connections"
STEPS = ("Scan", "SCAN listing", "SEARCH listing", "listing_search", "TEMP B-TREE")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Sizes, and how often each page is asked for."""

    sizes: dict[str, tuple[int, ...]]
    requests: int


FULL = Plan(
    sizes={"postgresql": (10_000, 100_000, 1_000_000), "sqlite": (10_000, 100_000, 1_000_000)},
    requests=40,
)
QUICK = Plan(sizes={"postgresql": (1000,), "sqlite": (1000,)}, requests=3)


@dataclass(frozen=True)
class Shown:
    """A page."""

    name: str
    p50: float
    p95: float
    queries: int
    plan: list[str]
    """Of the query for its rows: the kinds of steps and the indexes."""


@dataclass(frozen=True)
class Exported:
    """The whole table as a file."""

    rows_per_second: float
    grown: float
    """MiB of memory at its highest that were not there before."""


@dataclass(frozen=True)
class Size:
    """All figures with so many connections."""

    connections: int
    pages: list[Shown]
    export: Exported


@dataclass(frozen=True)
class Result:
    """All figures of one kind of database."""

    sizes: list[Size]


def main() -> None:
    """Measure, print the tables, and write the JSON if asked to."""
    command.run(__doc__ or "", full=FULL, quick=QUICK, measure=_measure_on, table=_table)


def _measure_on(kind: str, plan: Plan) -> Result:
    return Result(measured(kind, plan.sizes[kind], lambda stack, size: _measure(stack, plan, size)))


def _measure(stack: Stack, plan: Plan, size: int) -> Size:
    database = stack.installation.database
    app = create_app(stack.installation.settings)
    desk = Desk(app, database)
    figures.count_if_due(database)
    engine = app.extensions["onboarding"].database.engine
    client = desk.browser(Role.VIEWER)
    pages = []
    for name, url in _urls(desk, size).items():
        if client.get(url).status_code != 200:
            continue  # there is no such page yet
        pages.append(_shown(client, engine, plan, name, url))
        print(size, pages[-1], file=sys.stderr, flush=True)
    export = _export(client)
    print(size, export, file=sys.stderr, flush=True)
    engine.dispose()
    return Size(size, pages, export)


def _urls(desk: Desk, size: int) -> dict[str, str]:
    with desk.database.reading() as session:
        skipped = min(DEEP * ROWS, size // 2)
        order = sa.select(Listing.since, Listing.number)
        order = order.order_by(Listing.since.desc(), Listing.number.desc())
        since, number = session.execute(order.offset(skipped).limit(1)).one()
        reference = session.scalars(sa.select(Connection.reference).limit(1)).one()
    deep = urlencode({"after": str(Place(since, number))})
    asked = {
        "first page": "",
        f"page {skipped // ROWS:,} deep": deep,
        "the partner with half": "partner=p-0",
        "a small partner": "partner=p-7",
        "status: connected": "status=connected",
        "status: failed": "status=failed",
        "turn: ours": "turn=staff",
        "turn: the grower’s": "turn=grower",
        "health: UNAUTHENTICATED": "health=UNAUTHENTICATED",
        "environment: STAGE (none)": "environment=STAGE",
        "90 days in its status": "older=90",
        "never opened": "unopened=1",
        "three filters": "partner=p-0&turn=grower&unopened=1",
        "longest in its status": "sort=since",
        "by grower": "sort=name",
        "by last check": "sort=-checked",
        "by creation": "sort=-created",
        "small partner by grower": "partner=p-7&sort=name",
        "failed by grower": "status=failed&sort=name",
        "failed by last check": "status=reconnect&sort=checked",
        "search: external id": f"q=G-{size // 2:07d}",
        "search: reference": f"q={reference}",
        "search: part of an e-mail": f"q=anna.{size // 3}",
        "search: common word": "q=farm",
        "search: two common words": "q=anna+kowalski",
        "search: common, by grower": "q=valley&sort=name",
        "search: nothing": "q=nobody-has-this",
        "search in the big partner": "q=castro&partner=p-0",
    }
    found = {"overview": "/staff/"}
    found |= {name: f"{TABLE}?{query}" for name, query in asked.items()}
    return found | {"one connection": f"{TABLE}/{reference}"}


def _shown(client: FlaskClient, engine: sa.Engine, plan: Plan, name: str, url: str) -> Shown:
    with counted(engine) as sent:
        client.get(url)
    queries = len(sent)
    steps = _steps(client, engine, url)
    seconds = []
    for _ in range(plan.requests):
        began = time.perf_counter()
        client.get(url).get_data()
        seconds.append(time.perf_counter() - began)
    cuts = statistics.quantiles(seconds, n=20, method="inclusive")
    return Shown(name, cuts[9] * MS, cuts[18] * MS, queries, steps)


def _steps(client: FlaskClient, engine: sa.Engine, url: str) -> list[str]:
    """How the database finds the rows of a page: the steps at the bottom of its plan."""
    asked: list[tuple[str, Any]] = []

    def note(_one: object, _cursor: object, text: str, given: Any, *_more: object) -> None:
        if "FROM listing" in text and "LIMIT" in text and "JOIN grower" in text:
            asked.append((text, given))

    sa.event.listen(engine, "before_cursor_execute", note)
    client.get(url)
    sa.event.remove(engine, "before_cursor_execute", note)
    if not asked:
        return []
    text, given = asked[-1]
    is_postgresql = engine.dialect.name == "postgresql"
    with engine.connect() as connection:
        explain = "EXPLAIN (COSTS OFF) " if is_postgresql else "EXPLAIN QUERY PLAN "
        rows = connection.exec_driver_sql(explain + text, given).all()
    lines = [str(row[0] if is_postgresql else row[3]).strip(" ->") for row in rows]
    if is_postgresql:  # the second time that it names the table is for the page
        lines = [line for line in lines if "listing_1" in line or line.startswith("Bitmap Index")]
    kept = [line for line in lines if any(word in line for word in STEPS)]
    return list(dict.fromkeys(line.replace(" on listing listing_1", "") for line in kept))


def _export(client: FlaskClient) -> Exported:
    """Read as it comes, as a browser does."""
    Path("/proc/self/clear_refs").write_text("5")  # the highest so far is forgotten
    before, began, lines = _memory("VmRSS"), time.perf_counter(), 0
    answer = client.get(f"{TABLE}.csv", buffered=False)
    for part in answer.iter_encoded():
        lines += part.count(b"\n")
    lasted = time.perf_counter() - began
    answer.close()
    return Exported((lines - 1) / lasted, _memory("VmHWM") - before)


def _memory(what: str) -> float:
    """MiB of this process, now (`VmRSS`) or at its highest (`VmHWM`)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(what))


def _table(kind: str, result: Result) -> str:
    names = [page.name for page in result.sizes[-1].pages]
    heading = ("page", *(f"{one.connections:,}" for one in result.sizes), "queries", "found by")
    rows = [_row(name, result.sizes) for name in names]
    exports: Sequence[tuple[str, ...]] = [
        (
            f"{one.connections:,}",
            f"{one.export.rows_per_second:,.0f}",
            f"{one.export.grown:.0f}",
        )
        for one in result.sizes
    ]
    export = report.columns(("connections", "CSV rows/s", "MiB more"), exports)
    return f"== {kind}, p50 / p95 in ms\n\n{report.columns(heading, rows)}\n\n{export}\n"


def _row(name: str, sizes: Sequence[Size]) -> tuple[str, ...]:
    shown = [next((page for page in one.pages if page.name == name), None) for one in sizes]
    last = shown[-1]
    return (
        name,
        *(f"{one.p50:.1f} / {one.p95:.1f}" if one else "-" for one in shown),
        f"{last.queries}" if last else "-",
        "; ".join(last.plan[:2]) if last else "-",
    )


if __name__ == "__main__":
    main()
