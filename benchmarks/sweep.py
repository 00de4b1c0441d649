#!/usr/bin/env python3
"""Measure how checks of many connections go; see docs/performance.md.

    .venv/bin/python benchmarks/sweep.py [--quick] [--database sqlite|postgresql]... [--json FILE]

Everything runs on loopback, in a folder that is removed at the end, and stops by itself: PostgreSQL
with 1,000,000 connections after ten minutes or so, SQLite with 100,000 after four.
"""

from __future__ import annotations

import http.client
import json
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

# This file is in a package that it imports.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import sqlalchemy as sa

from benchmarks import command, processes, report
from benchmarks.rows import add_swept
from onboarding.clock import now
from onboarding.connections import checks
from onboarding.local.child import Child
from onboarding.local.supervisor import answers
from onboarding.models import Connection, Pace
from tests.support.stack import WORKER, Stack
from tests.support.wait import wait_until

NO_LIMIT = 100_000
LIMIT = 900
MINUTE = 60.0
FOUND = 24
"""Checks that a worker with nothing else to do claims at once."""
START_SECONDS = 60.0
MS = 1000


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Sizes, and lengths in seconds."""

    sizes: dict[str, tuple[int, ...]]
    """How many connections there are, by the kind of database; the last with the limit, too."""
    warm_up: float
    seconds: float
    limited_seconds: float
    workers: tuple[int, ...]
    batches: int
    limit: int = LIMIT


FULL = Plan(
    sizes={"postgresql": (10_000, 100_000, 1_000_000), "sqlite": (10_000, 100_000)},
    warm_up=8,
    seconds=30,
    limited_seconds=130,
    workers=(1, 3),
    batches=200,
)
QUICK = Plan(
    sizes={"postgresql": (1000,), "sqlite": (1000,)},
    warm_up=0.5,
    seconds=2,
    limited_seconds=4,
    workers=(2,),
    batches=3,
)


@dataclass(frozen=True)
class Spread:
    """10th percentile (which other work on the machine disturbs least), median, 95th."""

    p10: float
    p50: float
    p95: float

    def __str__(self) -> str:
        return f"{self.p10:.1f} / {self.p50:.1f} / {self.p95:.1f}"


@dataclass(frozen=True)
class Swept:
    """One worker, the limit out of the way."""

    connections: int
    bare_ms: Spread
    """For scale: a query that reads nothing."""
    find_ms: Spread
    """To find the next batch."""
    claim_ms: Spread
    """To claim it, the commit included."""
    checks_per_second: float
    requests_per_second: float
    cpu_ms: float
    """Of the worker, for each check."""
    rss: float
    pss: float
    """MiB of the worker at the end."""


@dataclass(frozen=True)
class Limited:
    """So many workers, with the limit."""

    workers: int
    limit: int
    per_minute: float
    most_in_a_minute: int
    """In any minute, wherever it begins."""
    checks_per_second: float


@dataclass(frozen=True)
class Result:
    """All figures of one kind of database."""

    swept: list[Swept]
    limited: list[Limited]


class Site:
    """A database, workers, and a Leaf that answers at once."""

    def __init__(self, folder: Path, database_url: str) -> None:
        self.stack = Stack(folder, database_url)
        self._port = int(self.stack.sandbox_url.rpartition(":")[2])
        self.stack.cli("db", "upgrade")
        self.database = self.stack.installation.database
        self._upstream = Child(
            "upstream",
            [sys.executable, "-m", "benchmarks.upstream", str(self._port)],
            env=self.stack.environment,
            cwd=folder,
            sink=lambda line: print(line, file=sys.stderr),
        )
        wait_until(
            lambda: answers(f"{self.stack.sandbox_url}/arrivals"),
            what="the upstream is up",
            limit=START_SECONDS,
        )

    def close(self) -> None:
        """End everything."""
        self.stack.close()
        self._upstream.kill()

    def start(self, name: str, *, per_minute: int) -> None:
        """Start a worker."""
        self.stack.environment["LEAF_REQUESTS_PER_MINUTE"] = str(per_minute)
        self.stack.start_worker(name)

    def arrivals(self, *, forget: bool = False) -> list[float]:
        """When Leaf was asked, in seconds of some clock."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        try:
            connection.request("PUT" if forget else "GET", "/arrivals")
            found = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        return [] if forget else found

    def checked(self) -> int:
        """How many checks have been written down so far."""
        with self.database.reading() as session:
            return session.scalar(sa.select(sa.func.sum(Connection.checks))) or 0


def main() -> None:
    """Measure, print the tables, and write the JSON if asked to."""
    command.run(__doc__ or "", full=FULL, quick=QUICK, measure=_measure_on, table=_table)


def _measure_on(kind: str, plan: Plan) -> Result:
    with command.databases(kind, "onboarding") as (folder, (url,)):
        site = Site(folder, url)
        try:
            return _measure(site, kind, plan)
        finally:
            site.close()


def _measure(site: Site, kind: str, plan: Plan) -> Result:
    swept = []
    for size in plan.sizes[kind]:
        add_swept(site.database, up_to=size)
        swept.append(_sweep(site, plan, size))
        print(swept[-1], file=sys.stderr, flush=True)
    limited = []
    for workers in plan.workers:
        limited.append(_limited(site, plan, workers))
        print(limited[-1], file=sys.stderr, flush=True)
    return Result(swept, limited)


def _sweep(site: Site, plan: Plan, size: int) -> Swept:
    bare, find, claim = _find(site, plan)
    site.start(WORKER, per_minute=NO_LIMIT)
    time.sleep(plan.warm_up)
    site.arrivals(forget=True)
    pid, began = site.stack.pid(WORKER), time.monotonic()
    checked, cpu = site.checked(), processes.cpu_seconds(site.stack.pid(WORKER))
    wait_until(lambda: site.checked() > checked, what="something is checked")
    time.sleep(plan.seconds)
    checked = site.checked() - checked
    cpu = processes.cpu_seconds(pid) - cpu
    lasted = time.monotonic() - began
    requests, memory = len(site.arrivals()), processes.memory(pid)
    site.stack.stop(WORKER)
    assert checked, site.stack.log(WORKER)
    return Swept(
        connections=size,
        bare_ms=bare,
        find_ms=find,
        claim_ms=claim,
        checks_per_second=checked / lasted,
        requests_per_second=requests / lasted,
        cpu_ms=cpu / checked * MS,
        rss=memory.rss,
        pss=memory.pss,
    )


def _find(site: Site, plan: Plan) -> tuple[Spread, Spread, Spread]:
    """How long nothing, finding and claiming a batch take, without a worker."""
    bare, found, claimed = [], [], []
    for _ in range(plan.batches):
        with site.database.reading() as session:
            session.execute(sa.text("SELECT 1"))  # a connection is there
            began = time.perf_counter()
            session.execute(sa.text("SELECT 1"))
            bare.append(time.perf_counter() - began)
            began = time.perf_counter()
            checks.due(session, looks=FOUND, others=FOUND)
            found.append(time.perf_counter() - began)
        began = time.perf_counter()
        rows = checks.claim(site.database, looks=FOUND, others=FOUND)
        claimed.append(time.perf_counter() - began)
        checks.note_nothing_new(site.database, rows)
    return _spread(bare), _spread(found), _spread(claimed)


def _spread(seconds: Sequence[float]) -> Spread:
    cuts = statistics.quantiles(seconds, n=20, method="inclusive")
    return Spread(*(cuts[place] * MS for place in (1, 9, 18)))


def _limited(site: Site, plan: Plan, workers: int) -> Limited:
    with site.database.transaction() as session:
        session.execute(sa.delete(Pace))
        session.execute(sa.update(Connection).values(check_due_at=now() - timedelta(hours=1)))
    names = [f"w{number}" for number in range(1, workers + 1)]
    for name in names:
        site.start(name, per_minute=plan.limit)
    time.sleep(plan.warm_up)
    site.arrivals(forget=True)
    checked, began = site.checked(), time.monotonic()
    wait_until(lambda: len(site.arrivals()) > 1, what="Leaf is asked")
    time.sleep(plan.limited_seconds)
    checked, lasted = site.checked() - checked, time.monotonic() - began
    found = site.arrivals()
    for name in names:
        site.stack.stop(name)
    span = found[-1] - found[0]
    return Limited(
        workers=workers,
        limit=plan.limit,
        per_minute=(len(found) - 1) / span * MINUTE,
        most_in_a_minute=_most(found),
        checks_per_second=checked / lasted,
    )


def _most(moments: Sequence[float]) -> int:
    """How many fall into the fullest minute."""
    most = first = 0
    for last, moment in enumerate(moments):
        while moments[first] <= moment - MINUTE:
            first += 1
        most = max(most, last - first + 1)
    return most


def _table(kind: str, result: Result) -> str:
    swept = report.columns(
        (
            "connections",
            "bare query ms",
            "find ms",
            "claim ms",
            "checks/s",
            "CPU ms",
            "RSS MiB",
            "PSS MiB",
        ),
        [
            (
                f"{one.connections:,}",
                f"{one.bare_ms}",
                f"{one.find_ms}",
                f"{one.claim_ms}",
                f"{one.checks_per_second:.0f}",
                f"{one.cpu_ms:.2f}",
                f"{one.rss:.0f}",
                f"{one.pss:.0f}",
            )
            for one in result.swept
        ],
    )
    limited = report.columns(
        ("workers", "limit", "requests per minute", "of the limit", "fullest minute"),
        [
            (
                f"{one.workers}",
                f"{one.limit}",
                f"{one.per_minute:.0f}",
                f"{one.per_minute / one.limit:.1%}",
                f"{one.most_in_a_minute}",
            )
            for one in result.limited
        ],
    )
    return f"== {kind}\n\n{swept}\n\n{limited}\n"


if __name__ == "__main__":
    main()
