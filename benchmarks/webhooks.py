#!/usr/bin/env python3
"""Measure how many webhooks one worker sends; see docs/performance.md.

    .venv/bin/python benchmarks/webhooks.py [--quick] [--database KIND]... [--json FILE]

Ten endpoints on loopback, in a process of their own; one of them never answers. Messages about as
many connections as there are messages wait for all ten. The part of the worker that sends them runs
in this process, as it does in a worker. Everything is in a folder that is removed at the end.
"""

from __future__ import annotations

import ipaddress
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

# This file is in a package that it imports.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import sqlalchemy as sa

from benchmarks import command, report
from benchmarks.processes import own_memory
from benchmarks.town import settle
from onboarding.connections import announcing
from onboarding.db import Database
from onboarding.models import Connection, Grower, Partner, WebhookDelivery, WebhookEndpoint
from onboarding.settings import Settings
from onboarding.states import DeliveryState, WebhookEvent
from onboarding.vault import Vault
from onboarding.webhooks import endpoints
from onboarding.webhooks.courier import Courier
from tests.support.stack import ROOT, Stack

ENDPOINTS = 10
FIRST_SHARE = 0.02
"""What is sent until everything is warm, and not counted."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Messages to each endpoint, by kind of database."""

    messages: dict[str, int]


FULL = Plan(messages={"postgresql": 6000, "sqlite": 3000})
QUICK = Plan(messages={"postgresql": 200, "sqlite": 200})


@dataclass(frozen=True)
class Result:
    """All figures of one kind of database."""

    deliveries: int
    """Taken by the nine that answer."""
    seconds: float
    cpu_seconds: float
    """Of the worker."""
    p95_ms: float
    """Of a request, as the log has it."""
    hanging: int
    """Tries to the one that hangs."""
    grown: float
    """MiB of memory at its highest that were not there before."""

    @property
    def per_second(self) -> float:
        """Deliveries."""
        return self.deliveries / self.seconds


def main() -> None:
    """Measure, print the tables, and write the JSON if asked to."""
    command.run(__doc__ or "", full=FULL, quick=QUICK, measure=_measure_on, table=_table)


def _measure_on(kind: str, plan: Plan) -> Result:
    with command.databases(kind, "onboarding") as (folder, (url,)), _receiver() as port:
        stack = Stack(folder, url)
        stack.cli("db", "upgrade")
        try:
            installation = stack.installation
            allowed = (ipaddress.ip_network("127.0.0.0/8"),)
            settings = replace(installation.settings, webhooks_allow_private=allowed)
            messages = plan.messages[kind]
            settle(installation.database, up_to=messages)
            _fill(installation.database, installation.vault, settings, port, messages)
            return _measure(installation.database, installation.vault, settings, messages)
        finally:
            stack.close()


@contextmanager
def _receiver() -> Iterator[int]:
    """The receivers' port."""
    arguments = [sys.executable, "-m", "benchmarks.receiver"]
    pipe = subprocess.PIPE
    with subprocess.Popen(arguments, stdin=pipe, stdout=pipe, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.communicate("")


def _fill(database: Database, vault: Vault, settings: Settings, port: int, messages: int) -> None:
    """Let so many messages wait for each endpoint."""
    with database.transaction() as session:
        partner = session.scalars(sa.select(Partner).order_by(Partner.slug).limit(1)).one()
        for number in range(ENDPOINTS):
            path = f"{number}" if number else "hang"
            url = f"http://127.0.0.1:{port}/{path}"
            endpoints.add(session, vault, settings, partner, url=url, events=())
    with database.transaction() as session:
        found = session.scalars(sa.select(WebhookEndpoint)).all()
        query = sa.select(Connection.id, Connection.reference, Grower.external_id)
        rows = session.execute(query.join(Grower, Grower.id == Connection.grower_id)).all()
        for connection_id, reference, external_id in rows[:messages]:
            told = {"code": "connected", "label": "Connected", "sentence": "s" * 200}
            data = {"connection": reference, "grower": external_id, "status": told}
            message = announcing.new_message(
                WebhookEvent.CONNECTED, partner.id, data=data, connection_id=connection_id
            )
            announcing.send(session, message, found)


def _measure(database: Database, vault: Vault, settings: Settings, messages: int) -> Result:
    all_of_nine = messages * (ENDPOINTS - 1)
    first = int(all_of_nine * FIRST_SHARE)
    courier = Courier(database, vault, settings)
    thread = threading.Thread(target=courier.run)
    with own_memory() as memory:
        thread.start()
        before = _wait(database, first)
        began, cpu = time.perf_counter(), time.process_time()
        _wait(database, all_of_nine)
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        courier.stop()
        thread.join()
    with database.reading() as session:
        took = session.scalars(
            sa.text("SELECT milliseconds FROM webhook_try WHERE status = 204 ORDER BY 1")
        ).all()
        hung = session.scalar(sa.text("SELECT count(*) FROM webhook_try WHERE status IS NULL"))
    return Result(
        all_of_nine - before, seconds, cpu, took[int(len(took) * 0.95)], hung or 0, memory.grown
    )


def _wait(database: Database, number: int) -> int:
    """Until so many are delivered; how many there are then."""
    query = sa.select(sa.func.count()).where(WebhookDelivery.state == DeliveryState.DELIVERED)
    while True:
        with database.reading() as session:
            found = session.scalar(query) or 0
        if found >= number:
            return found
        time.sleep(0.1)


def _table(kind: str, result: Result) -> str:
    rows = [
        ("delivered by nine endpoints", f"{result.deliveries:,}"),
        ("a second", f"{result.per_second:,.0f}"),
        ("share of a core in the worker", f"{result.cpu_seconds / result.seconds:.0%}"),
        ("a request, p95 ms", f"{result.p95_ms:,.0f}"),
        ("tries to the one that hangs", f"{result.hanging:,}"),
        ("MiB more", f"{result.grown:.0f}"),
    ]
    return f"== {kind}\n\n{report.columns(('', kind), rows)}\n"


if __name__ == "__main__":
    main()
