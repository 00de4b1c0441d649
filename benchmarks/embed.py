#!/usr/bin/env python3
"""Measure the frame in partners' portals; see docs/performance.md.

    .venv/bin/python benchmarks/embed.py [--quick] [--part PART]... [--json FILE]

The parts: `loaders` (what a page loads, beside others' SDKs from the npm registry), `walks` (real
Chromium, web, worker and sandbox) and `crowd` (frames that ask at the same time). The last two run
on PostgreSQL. Everything is on loopback, in folders that are removed, and ends by itself.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

# This file is in a package that it imports.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import sqlalchemy as sa
from playwright.sync_api import Browser, sync_playwright

from benchmarks import command, framed, frames, loaders, processes, report
from benchmarks.crowd import percentile
from benchmarks.town import settle
from onboarding.connections import embedding
from onboarding.models import Connection, Grower, Partner
from tests.browser.portal import portal
from tests.support import browser as browsers
from tests.support.people import People
from tests.support.stack import ROOT, WEB, Stack

MS = 1000
CROWDED = "p-0"
"""The partner with half of the town."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much is measured; times are in seconds."""

    openings: int
    walks: int
    frames: int
    pauses: tuple[float, ...]
    """Between an answer and the next question: two minutes, up to ten, and from then on."""
    turns: int
    """Pauses that are measured."""
    shortest: float
    warm_up: float
    """In which the frames come."""


FULL = Plan(openings=10, walks=30, frames=1000, pauses=(1, 3, 15), turns=3, shortest=30, warm_up=30)
QUICK = Plan(openings=1, walks=2, frames=20, pauses=(1,), turns=2, shortest=2, warm_up=1)


@dataclass(frozen=True)
class Crowd:
    """So many frames that ask at the same time."""

    frames: int
    pause: float
    per_second: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    unchanged: float
    """The share of answers that were 304."""
    web_cpu_ms: float
    """For each answer."""
    own_cpu_ms: float


def main() -> None:
    """Measure, print the tables, and write the JSON if asked to."""
    parts: dict[str, Callable[[Plan], dict[str, object]]] = {
        "loaders": _loaders,
        "walks": _walks,
        "crowd": _crowd,
    }
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="only to see that it works")
    parser.add_argument("--part", action="append", choices=parts, help="default: all")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    arguments = parser.parse_args()
    plan = QUICK if arguments.quick else FULL
    found: dict[str, object] = {"conditions": report.conditions(plan)}
    for part in arguments.part or parts:
        found |= parts[part](plan)
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")


def _loaders(_plan: Plan) -> dict[str, object]:
    found, missing = loaders.measure(ROOT / "static" / framed.LOADER)
    rows = [
        (one.name, f"{one.plain:,}", f"{one.brotli_4:,}", f"{one.brotli_11:,}") for one in found
    ]
    heads = ("loader", "bytes", "brotli 4", "brotli 11")
    print(report.columns(heads, rows))
    print(f"Others are not measured: {missing}.\n" if missing else "", flush=True)
    return {"loaders": [asdict(one) for one in found]}


def _walks(plan: Plan) -> dict[str, object]:
    with _stack() as stack, _chromium() as browser, portal(stack, framed.SLUG) as made:
        stack.start()
        people = People(stack)
        opening = framed.opening(browser, people, made, plan.openings)
        lags = framed.lags(browser, people, made, plan.walks)
        people.close()
    loader = opening.sizes[framed.LOADER_PATH]
    rows = [(path.split("?")[0], f"{size:,}") for path, size in opening.sizes.items()]
    print(report.columns(("to the first button", "bytes"), rows))
    print(
        f"{len(opening.sizes)} requests, {loader + opening.of_frame:,} bytes of bodies, of them "
        f"{opening.of_frame:,} of the frame; {percentile(opening.ms, 0.5):.0f} ms (median of "
        f"{len(opening.ms)}) on loopback\n"
    )
    shown = {**lags, "both": [lag for one in lags.values() for lag in one]}
    lines = [(name, f"{len(one)}", *_spread(one)) for name, one in shown.items()]
    heads = ("the frame shows the callback", "walks", "p50 ms", "p95 ms", "longest")
    print(report.columns(heads, lines), end="\n\n", flush=True)
    return {"opening": asdict(opening), "lags": lags}


def _spread(seconds: Sequence[float]) -> tuple[str, str, str]:
    found = (percentile(seconds, 0.5), percentile(seconds, 0.95), max(seconds))
    half, most, longest = (f"{one * MS:.0f}" for one in found)
    return half, most, longest


def _crowd(plan: Plan) -> dict[str, object]:
    with _stack() as stack:
        tokens = _tokens(stack, plan.frames)
        stack.start_web()
        found = [_asked(stack, tokens, plan, pause) for pause in plan.pauses]
    rows = [
        (
            f"{one.frames:,}",
            f"{one.pause:g} s",
            f"{one.per_second:.0f}",
            f"{one.p50_ms:.1f}",
            f"{one.p95_ms:.1f}",
            f"{one.p99_ms:.1f}",
            f"{one.unchanged:.1%}",
            f"{one.web_cpu_ms:.2f}",
            f"{one.own_cpu_ms:.2f}",
        )
        for one in found
    ]
    heads = ("frames", "pause", "answers/s", "p50 ms", "p95 ms", "p99 ms", "304", "CPU ms of web")
    print(report.columns((*heads, "of the frames"), rows), flush=True)
    return {"crowd": [asdict(one) for one in found]}


def _asked(stack: Stack, tokens: Sequence[str], plan: Plan, pause: float) -> Crowd:
    seconds = max(plan.shortest, plan.turns * pause)
    before = processes.cpu_seconds(stack.pid(WEB))
    asked = frames.poll(
        int(stack.public_url.rpartition(":")[2]),
        CROWDED,
        tokens,
        pause=pause,
        warm_up=plan.warm_up,
        seconds=seconds,
    )
    cpu = processes.cpu_seconds(stack.pid(WEB)) - before
    answers = asked.answers
    return Crowd(
        frames=len(tokens),
        pause=pause,
        per_second=len(answers) / seconds,
        p50_ms=percentile(answers, 0.5) * MS,
        p95_ms=percentile(answers, 0.95) * MS,
        p99_ms=percentile(answers, 0.99) * MS,
        unchanged=asked.unchanged / len(answers),
        web_cpu_ms=cpu * MS / asked.all,
        own_cpu_ms=asked.own_cpu * MS / asked.all,
    )


def _tokens(stack: Stack, count: int) -> list[str]:
    """Of frames of so many growers, who stand where growers stand."""
    settle(stack.installation.database, up_to=3 * count)
    parts = stack.installation
    theirs = sa.select(Connection).join(Grower).join(Partner).where(Partner.slug == CROWDED)
    with parts.database.transaction() as session:
        connections = session.scalars(theirs.limit(count)).all()
        links = [embedding.new_link(session, one) for one in connections]
        session.flush()
        return [parts.links.token(link.id) for link in links]


@contextmanager
def _stack() -> Iterator[Stack]:
    with command.databases("postgresql", "onboarding") as (folder, (url,)):
        stack = Stack(folder, url)
        try:
            stack.cli("db", "upgrade")
            yield stack
        finally:
            stack.close()


@contextmanager
def _chromium() -> Iterator[Browser]:
    if reason := browsers.missing():
        sys.exit(reason)
    with sync_playwright() as playwright:
        browser = browsers.launch(playwright)
        yield browser
        browser.close()


if __name__ == "__main__":
    main()
