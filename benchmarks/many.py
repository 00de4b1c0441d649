#!/usr/bin/env python3
"""Measure work on many connections at once, and a file of growers; see docs/performance.md.

    .venv/bin/python benchmarks/many.py [--quick] [--database KIND]... [--json FILE]

What people wait for is the time of the server alone: Flask's test client in one process. The
worker's part is done in the same process, part by part, as the worker does it. Everything is in a
folder that is removed at the end.
"""

from __future__ import annotations

import io
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

# This file is in a package that it imports.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import sqlalchemy as sa
from flask.testing import FlaskClient

from benchmarks import command, report
from benchmarks.processes import own_memory
from benchmarks.town import measured
from onboarding import create_app
from onboarding.clock import now
from onboarding.db import Database
from onboarding.models import BulkJob, Import, Partner
from onboarding.staff.rounds import POLLING_SECONDS, Rounds
from onboarding.states import BulkState, Role
from tests.support.desk import Desk
from tests.support.stack import Stack

MS = 1000
WRITER_PAUSE = 0.05


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Sizes, rows of a file, seconds to work on a job of all, and requests of its page."""

    sizes: dict[str, tuple[int, ...]]
    file: int
    seconds: float
    requests: int


FULL = Plan(
    sizes={"postgresql": (10_000, 1_000_000), "sqlite": (10_000, 100_000)},
    file=10_000,
    seconds=20,
    requests=40,
)
QUICK = Plan(sizes={"postgresql": (1000,), "sqlite": (1000,)}, file=300, seconds=1, requests=3)


@dataclass(frozen=True)
class Parts:
    """What the worker did."""

    rows: int
    seconds: float
    longest_ms: float
    grown: float
    """MiB of memory at its highest that were not there before."""
    others_ms: float
    """The longest that another writer waited meanwhile."""

    @property
    def per_second(self) -> float:
        """Rows."""
        return self.rows / self.seconds


@dataclass(frozen=True)
class OfAll:
    """New links for every connection."""

    ask_ms: float
    """The page that says with how many, and asks whether to begin."""
    begin_ms: float
    web_grown: float
    collected: Parts
    worked: Parts
    page_p50: float
    page_p95: float
    stop_ms: float


@dataclass(frozen=True)
class OfFile:
    """A file of new growers."""

    show_ms: float
    confirm_ms: float
    imported: Parts


@dataclass(frozen=True)
class Size:
    """All figures with so many connections."""

    connections: int
    all: OfAll
    file: OfFile


@dataclass(frozen=True)
class Result:
    """All figures of one kind of database."""

    sizes: list[Size]


def main() -> None:
    """Measure, print the tables, and write the JSON if asked to."""
    command.run(__doc__ or "", full=FULL, quick=QUICK, measure=_measure_on, table=_table)


def _measure_on(kind: str, plan: Plan) -> Result:
    def of_size(stack: Stack, size: int) -> Size:
        found = measure(stack, plan, size)
        print(found, file=sys.stderr, flush=True)
        return found

    return Result(measured(kind, plan.sizes[kind], of_size))


def measure(stack: Stack, plan: Plan, size: int) -> Size:
    """All figures, with so many connections as there are."""
    app = create_app(stack.installation.settings)
    desk = Desk(app, stack.installation.database)
    try:
        client = desk.browser(Role.OPERATOR)
        return Size(size, _of_all(desk, client, plan), _of_file(desk, client, plan))
    finally:
        app.extensions["onboarding"].database.engine.dispose()


def _of_all(desk: Desk, client: FlaskClient, plan: Plan) -> OfAll:
    job_id = uuid4()
    data = {"csrf_token": desk.token(client), "kind": "new_link", "all": "1", "view": ""}
    with own_memory() as web:
        ask_ms = _timed(lambda: client.post("/staff/bulk", data=data).status_code == 200)
        data["job"] = str(job_id)
        begin_ms = _timed(lambda: client.post("/staff/bulk", data=data).status_code == 303)
    collected = _worked(
        desk,
        is_over=lambda: _job(desk, job_id).state is not BulkState.COLLECTING,
        done=lambda: _job(desk, job_id).total,
    )
    until = time.perf_counter() + plan.seconds
    worked = _worked(
        desk,
        is_over=lambda: time.perf_counter() > until or _job(desk, job_id).ended_at is not None,
        done=lambda: _job(desk, job_id).worked,
    )
    page = f"/staff/bulk/{job_id}"
    shown = [_timed(lambda: client.get(page).status_code == 200) for _ in range(plan.requests)]
    cuts = statistics.quantiles(shown, n=20, method="inclusive")
    press = {"csrf_token": desk.token(client)}
    stop_ms = _timed(lambda: client.post(f"{page}/stop", data=press).status_code == 303)
    assert _job(desk, job_id).ended_at is not None
    return OfAll(ask_ms, begin_ms, web.grown, collected, worked, cuts[9], cuts[18], stop_ms)


def _of_file(desk: Desk, client: FlaskClient, plan: Plan) -> OfFile:
    data = {"csrf_token": desk.token(client), "partner": "p-7"}
    file = (io.BytesIO(_file(plan.file)), "growers.csv")
    show_ms = _timed(
        lambda: client.post("/staff/imports", data=data | {"file": file}).status_code == 303
    )
    with desk.database.reading() as session:
        shown = session.scalars(sa.select(Import).order_by(Import.created_at.desc())).first()
    assert shown is not None
    press = {"csrf_token": desk.token(client), "seen": "0"}
    page = f"/staff/imports/{shown.id}/confirm"
    confirm_ms = _timed(lambda: client.post(page, data=press).status_code == 303)

    def found() -> Import:
        with desk.database.reading() as session:
            return session.get_one(Import, shown.id)

    imported = _worked(
        desk, is_over=lambda: found().ended_at is not None, done=lambda: found().worked
    )
    assert imported.rows == plan.file
    return OfFile(show_ms, confirm_ms, imported)


def _file(rows: int) -> bytes:
    mark = uuid4()
    lines = (f"{mark}-{one},Farm {one},{one}@farm.example,555 {one}" for one in range(rows))
    return "\n".join(["id,name,email,phone", *lines]).encode()


def _worked(desk: Desk, *, is_over: Callable[[], bool], done: Callable[[], int]) -> Parts:
    """Part after part, as a worker does them, and somebody else who writes now and then."""
    rounds = Rounds(desk.database, desk.app.extensions["onboarding"].settings)
    had, longest, began = done(), 0.0, time.perf_counter()
    with own_memory() as memory, _writer(desk.database) as waited:
        while not is_over():
            started = time.perf_counter()
            pause = rounds.round()
            longest = max(longest, time.perf_counter() - started)
            assert pause < POLLING_SECONDS, "there was nothing to do"
            time.sleep(pause)
    seconds = time.perf_counter() - began
    return Parts(done() - had, seconds, longest * MS, memory.grown, max(waited, default=0.0))


@contextmanager
def _writer(database: Database) -> Iterator[list[float]]:
    """Somebody who writes a row again and again: how long that took each time, in ms."""
    over = threading.Event()
    waited: list[float] = []

    def write() -> None:
        while not over.wait(WRITER_PAUSE):
            began = time.perf_counter()
            with database.transaction() as session:
                session.execute(
                    sa.update(Partner).where(Partner.slug == "p-9").values(created_at=now())
                )
            waited.append((time.perf_counter() - began) * MS)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield waited
    finally:
        over.set()
        thread.join()


def _job(desk: Desk, job_id: UUID) -> BulkJob:
    with desk.database.reading() as session:
        return session.get_one(BulkJob, job_id)


def _timed(action: Callable[[], bool]) -> float:
    """How many milliseconds it took; it has to go well."""
    began = time.perf_counter()
    assert action()
    return (time.perf_counter() - began) * MS


def _table(kind: str, result: Result) -> str:
    heading = ("", *(f"{one.connections:,}" for one in result.sizes))
    rows: dict[str, Callable[[Size], str]] = {
        "ask, ms": lambda one: f"{one.all.ask_ms:,.0f}",
        "begin, ms": lambda one: f"{one.all.begin_ms:,.0f}",
        "MiB more in web": lambda one: f"{one.all.web_grown:.0f}",
        "collect": lambda one: _parts(one.all.collected),
        "new links": lambda one: _parts(one.all.worked),
        "page, ms": lambda one: f"{one.all.page_p50:.0f}; {one.all.page_p95:.0f}",
        "stop, ms": lambda one: f"{one.all.stop_ms:,.0f}",
        "show a file, ms": lambda one: f"{one.file.show_ms:,.0f}",
        "confirm it, ms": lambda one: f"{one.file.confirm_ms:,.0f}",
        "import": lambda one: _parts(one.file.imported),
    }
    lines = [(name, *(text(one) for one in result.sizes)) for name, text in rows.items()]
    return f"== {kind}\n\n{report.columns(heading, lines)}\n"


def _parts(found: Parts) -> str:
    return (
        f"{found.rows:,} in {found.seconds:.1f} s, {found.per_second:,.0f}/s, longest part "
        f"{found.longest_ms:,.0f} ms, {found.grown:.0f} MiB more, others waited at most "
        f"{found.others_ms:,.0f} ms"
    )


if __name__ == "__main__":
    main()
