#!/usr/bin/env python3
"""Measure the partners' API with many connections; see docs/performance.md.

    .venv/bin/python benchmarks/api.py [--quick] [--database KIND]... [--json FILE]

Web is one process behind gunicorn, asked over a socket by one program that waits for each answer;
with its keys in turn, so that no limit is what is measured. Beside it stands how long PostgreSQL
itself takes for the rows of a list. Everything is in a folder that is removed at the end.
"""

from __future__ import annotations

import http.client
import itertools
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

# This file is in a package that it imports.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import sqlalchemy as sa
from flask import Flask
from sqlalchemy.orm import Session

from benchmarks import command, report
from benchmarks.crowd import percentile
from benchmarks.town import measured
from onboarding import create_app
from onboarding.clock import now
from onboarding.models import Connection, Grower, Listing, Partner
from onboarding.partners import keys
from onboarding.staff import partners
from onboarding.states import ApiScope
from onboarding.views.api import pages
from tests.support.stack import WEB, Stack

MS = 1000
ROWS = 50
DEEP = 1000
"""Pages."""
BIG, SMALL = "p-0", "p-7"
"""One has half of all connections, the other an eightieth."""
KEYS = 40
AIM_MS = 30
ABSENT, NOTHING = "/nothing-here", "an address that there is not"
"""What the machine takes for a request in which nothing is done."""
EXPLAINED = 5
"""Times that a query is."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Sizes, and how often each address is asked for."""

    sizes: dict[str, tuple[int, ...]]
    requests: int


FULL = Plan(sizes={"postgresql": (10_000, 1_000_000), "sqlite": (10_000, 1_000_000)}, requests=200)
QUICK = Plan(sizes={"postgresql": (1000,), "sqlite": (1000,)}, requests=5)


@dataclass(frozen=True)
class Asked:
    """One kind of request: how long it took, in milliseconds."""

    name: str
    p50: float
    p95: float
    in_database: float | None
    """Of the query for a list's rows, by PostgreSQL's own clock; the median of a few."""


@dataclass(frozen=True)
class Size:
    """All figures with so many connections."""

    connections: int
    asked: list[Asked]


@dataclass(frozen=True)
class Result:
    """All figures of one kind of database."""

    sizes: list[Size]


def main() -> None:
    """Measure, print the tables, and write the JSON if asked to."""
    command.run(__doc__ or "", full=FULL, quick=QUICK, measure=_measure_on, table=_table)


def _measure_on(kind: str, plan: Plan) -> Result:
    def of_size(stack: Stack, size: int) -> Size:
        stack.start_web()
        found = Size(size, list(_measure(stack, plan, size)))
        stack.stop(WEB)
        return found

    return Result(measured(kind, plan.sizes[kind], of_size, WEB_CONCURRENCY="1"))


def _measure(stack: Stack, plan: Plan, size: int) -> Iterator[Asked]:
    app = create_app(stack.installation.settings)
    engine = app.extensions["onboarding"].database.engine
    if engine.dialect.name == "postgresql":
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("CHECKPOINT")  # what was loaded is no longer written then
    for slug in (BIG, SMALL):
        with stack.installation.database.transaction() as session:
            partner = partners.named(session, slug)
            given = [_key(session, partner, number) for number in range(KEYS)]
            addresses = _addresses(session, partner, plan)
        program = Program(stack.public_url.rpartition(":")[2], given)
        whose = "half" if slug == BIG else "few"
        for name, paths in addresses.items():
            took = program.ask(paths, times=plan.requests)
            asked = Asked(
                f"{name}, partner with {whose}",
                percentile(took, 0.5),
                percentile(took, 0.95),
                _in_database(app, engine, given[0], paths[0]),
            )
            print(size, asked, file=sys.stderr, flush=True)
            yield asked
        program.close()
    engine.dispose()


def _in_database(app: Flask, engine: sa.Engine, key: str, path: str) -> float | None:
    sent: list[tuple[str, Any]] = []

    def note(_one: object, _cursor: object, text: str, given: Any, *_more: object) -> None:
        if "FROM listing" in text and "LIMIT" in text:
            sent.append((text, given))

    sa.event.listen(engine, "before_cursor_execute", note)
    app.test_client().get(f"/api/v1{path}", headers={"Authorization": f"Bearer {key}"})
    sa.event.remove(engine, "before_cursor_execute", note)
    if not sent or engine.dialect.name != "postgresql":
        return None
    text, given = sent[-1]
    with engine.connect() as connection:
        explain = f"EXPLAIN (ANALYZE, FORMAT JSON) {text}"
        told = [connection.exec_driver_sql(explain, given).scalar() for _ in range(EXPLAINED)]
    times: list[float] = [one[0]["Execution Time"] for one in told if one is not None]
    return statistics.median(times)


def _key(session: Session, partner: Partner, number: int) -> str:
    _made, key = keys.make(session, partner, name=f"key {number}", scopes=[ApiScope.READ])
    return key


def _addresses(session: Session, partner: Partner, plan: Plan) -> dict[str, list[str]]:
    """What is asked for, by name; where it is one of many, another one each time."""
    theirs = sa.select(Connection.reference, Grower.external_id).join(
        Grower, Grower.id == Connection.grower_id
    )
    some = theirs.where(Grower.partner_id == partner.id).limit(plan.requests)
    known = session.execute(some).all()
    references = [reference for reference, _external_id in known]
    month = (now() - timedelta(days=30)).isoformat()
    lists = {
        "all": {},
        f"page {DEEP:,} deep": {"after": _place(session, partner)},
        "status=connected": {"status": "connected"},
        "status=denied": {"status": "denied"},
        "status=failed": {"status": "failed"},
        "health=OK": {"health": "OK"},
        "health=UNAUTHENTICATED": {"health": "UNAUTHENTICATED"},
        "changed_since a month ago": {"changed_since": month},
        "all three": {"status": "reconnect", "health": "UNAUTHENTICATED", "changed_since": month},
    }
    return {
        NOTHING: [ABSENT],
        "one connection": [f"/connections/{one}" for one in references],
        "its history": [f"/connections/{one}/history" for one in references],
        "its organizations": [f"/connections/{one}/organizations" for one in references],
        "one grower": [f"/growers/{external_id}" for _reference, external_id in known],
        "growers": ["/growers"],
    } | {
        f"connections: {name}": [f"/connections?{urlencode(query)}"]
        for name, query in lists.items()
    }


def _place(session: Session, partner: Partner) -> str:
    """What `next` is so many pages deep, or in the middle of fewer."""
    of_partner = sa.select(Listing).where(Listing.partner_id == partner.id)
    count = session.scalar(sa.select(sa.func.count()).select_from(of_partner.subquery())) or 0
    order = of_partner.order_by(Listing.since.desc(), Listing.number.desc())
    row = session.scalars(order.offset(min(DEEP * ROWS, count // 2)).limit(1)).one()
    return pages.mark(f"{row.number}~{row.since.isoformat()}")


class Program:
    """A partner's program with one connection that it keeps."""

    def __init__(self, port: str, given: Sequence[str]) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=60)
        self._keys = itertools.cycle(given)

    def ask(self, paths: Sequence[str], *, times: int) -> list[float]:
        """Ask so often, for one path after the other; milliseconds."""
        turns = itertools.cycle(paths)
        for _warm in range(3):
            self._get(next(turns))
        return [self._get(next(turns)) * MS for _ in range(times)]

    def _get(self, path: str) -> float:
        headers = {"Authorization": f"Bearer {next(self._keys)}"}
        wanted = 404 if path == ABSENT else 200
        began = time.perf_counter()
        self._connection.request("GET", f"/api/v1{path}", headers=headers)
        answer = self._connection.getresponse()
        said = answer.read()
        lasted = time.perf_counter() - began
        if answer.status != wanted:
            raise RuntimeError(f"{path}: {answer.status} {said.decode()}")
        return lasted

    def close(self) -> None:
        """Close its connection."""
        self._connection.close()


def _table(kind: str, result: Result) -> str:
    last = result.sizes[-1]
    heading = ("asked for", *(f"{one.connections:,}" for one in result.sizes), "in the database")
    rows = [
        (
            asked[0].name,
            *(f"{one.p50:.1f} / {one.p95:.1f}" for one in asked),
            "-" if asked[-1].in_database is None else f"{asked[-1].in_database:.1f}",
        )
        for asked in zip(*(size.asked for size in result.sizes), strict=True)
    ]
    late = [one.name for one in last.asked if one.p95 > AIM_MS]
    end = f"Above {AIM_MS} ms: {', '.join(late) or 'none'}."
    return f"== {kind}, p50 / p95 in ms\n\n{report.columns(heading, rows)}\n\n{end}\n"


if __name__ == "__main__":
    main()
