#!/usr/bin/env python3
"""Kill one of two workers again and again while they have much to do; see docs/performance.md.

    .venv/bin/python benchmarks/chaos.py [--quick]

Two workers on PostgreSQL hand 2,000 tokens over, check 2,000 connections and end 2,000 others, all
of it within five minutes, and every 20 seconds one of them is killed and started anew (`--quick`:
100 of each in 40 seconds). It ends with an error if anything was lost, or done twice at Leaf.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

# This file is in a package that it imports.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import sqlalchemy as sa

from benchmarks.rows import CHECKS, add_swept, number
from benchmarks.site import AT_LEAF, Site
from benchmarks.upstream import SWEPT
from onboarding.models import Connection
from onboarding.states import Stage
from tests.support.postgres import Cluster, programs
from tests.support.wait import wait_until

WORKERS = ("w1", "w2")
A_PORTION = 2.0
"""Seconds between two portions of tokens that come in, and of connections that are to end."""
REST_SECONDS = 600.0
"""From the last kill until all is done: a dead worker's work is free again after a minute."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much, and for how long."""

    count: int
    """Hand-overs, and as many connections to check, and as many to end."""
    seconds: float
    killed_every: float


FULL = Plan(count=2000, seconds=300, killed_every=20)
QUICK = Plan(count=100, seconds=40, killed_every=10)


def main() -> None:
    """Run it, and say what came of it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="only to see that it works")
    plan = QUICK if parser.parse_args().quick else FULL
    found = programs()
    if found is None:
        sys.exit("PostgreSQL is not installed")
    cluster = Cluster(found)
    with tempfile.TemporaryDirectory(prefix="onboarding-chaos-") as folder:
        site = Site(Path(folder), cluster.new_database(), cluster.new_database())
        try:
            site.start()
            complaints = list(_run(site, plan))
        finally:
            site.close()
            cluster.stop()
    for complaint in complaints:
        print(f"WRONG {complaint}")
    if complaints:
        sys.exit(1)
    print("Nothing was lost, and nothing done twice.")


def _run(site: Site, plan: Plan) -> Iterator[str]:
    """Everything; what was wrong at the end."""
    add_swept(site.parts.database, up_to=2 * plan.count)
    for name in WORKERS:
        site.stack.start_worker(name)
    began = time.monotonic()
    with ThreadPoolExecutor(1) as pool:
        coming_in = pool.submit(_owe_all, site, plan)
        # Not in a thread that ends: what it has started would end with it.
        kills = _kill(site, plan)
        coming_in.result()
    try:
        wait_until(lambda: _is_done(site, plan), what="all is done", limit=REST_SECONDS)
    except AssertionError:
        yield f"not all is done: {_undone(site)}"
    took = time.monotonic() - began
    each = ", ".join(f"{plan.count} {what}" for what in ("hand-overs", "checks", "disconnects"))
    print(f"{each}, {kills} kills, {took:.0f} s")
    yield from _complaints(site, plan)


def _owe_all(site: Site, plan: Plan) -> None:
    """Let tokens come in and connections end, portion by portion, all before the last kill."""
    began, done = time.monotonic(), 0
    while done < plan.count:
        passed = time.monotonic() - began
        wanted = min(plan.count, int(plan.count * passed / plan.seconds * 1.25) + 1)
        site.owe_hand_overs(wanted - done)
        site.owe_disconnects(_ended(plan.count + done, plan.count + wanted))
        done = wanted
        time.sleep(A_PORTION)


def _kill(site: Site, plan: Plan) -> int:
    """Kill workers by turns until the time is over; how often."""
    began = time.monotonic()
    for kills, victim in enumerate(cycle(WORKERS), start=1):
        time.sleep(max(0.0, began + kills * plan.killed_every - time.monotonic()))
        if time.monotonic() - began > plan.seconds:
            return kills - 1
        site.stack.kill(victim)
        site.stack.start_worker(victim)  # returns when it works, so that none is killed before
    raise AssertionError("workers never run out")


def _ended(after: int, last: int) -> sa.ColumnElement[bool]:
    """Those of `add_swept` with these numbers: the second half of them is to end."""
    return sa.and_(Connection.reference > number(after), Connection.reference <= number(last))


def _swept() -> sa.ColumnElement[bool]:
    return Connection.leaf_credential_id.is_(None)


def _undone(site: Site) -> str:
    """What is left, by stage, cause and whether it is due."""
    with site.parts.database.reading() as session:
        rows = session.execute(
            sa.select(
                Connection.stage,
                Connection.cause,
                Connection.checked_at.is_(None),
                sa.func.count(),
                sa.func.min(Connection.hand_over_due_at),
                sa.func.min(Connection.check_due_at),
            ).group_by(Connection.stage, Connection.cause, Connection.checked_at.is_(None))
        ).all()
    return "; ".join(map(str, rows))


def _is_done(site: Site, plan: Plan) -> bool:
    waiting = sa.or_(
        Connection.stage.in_({Stage.HANDING_OVER, Stage.DISCONNECTING}),
        sa.and_(Connection.stage.in_(AT_LEAF), Connection.checked_at.is_(None)),
        sa.and_(_swept(), Connection.checks == CHECKS),
    )
    return site.count(waiting) == 0 and site.count(~_swept()) == plan.count


def _complaints(site: Site, plan: Plan) -> Iterator[str]:
    if held := site.count(Connection.refresh_token.is_not(None)):
        yield f"{held} tokens are still here"
    to_end = _ended(plan.count, 2 * plan.count)
    if elsewhere := site.count(sa.and_(Connection.stage.not_in(AT_LEAF), ~to_end)):
        yield f"{elsewhere} connections are not at Leaf"
    if left := site.count(sa.and_(Connection.stage != Stage.DISCONNECTED, to_end)):
        yield f"{left} connections are not disconnected"
    if troubled := site.count(Connection.cause.is_not(None)):
        yield f"{troubled} connections have a cause"
    for what, names in site.done_at_leaf().items():
        if len(names) != plan.count:
            yield f"{what}: {len(names)} instead of {plan.count}"
        if twice := [name for name, times in names.items() if times > 1]:
            yield f"{what}: {len(twice)} more than once"
    ends = {SWEPT + number(place) for place in range(plan.count + 1, 2 * plan.count + 1)}
    if wrong := site.done_at_leaf()["deletes"].keys() - ends:
        yield f"deletes: {len(wrong)} that nobody asked for"


if __name__ == "__main__":
    main()
