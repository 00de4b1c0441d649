"""The figures as tables for people."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING

from benchmarks.processes import Memory
from benchmarks.scenarios import Commits, Flows, HandOvers, SlowUpstreams
from tests.support.stack import WEB

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

LIBRARIES = ("Flask", "gunicorn", "SQLAlchemy", "dbos", "requests", "psycopg")


@dataclass(frozen=True)
class Result:
    """All figures of one kind of database."""

    flows: list[Flows]
    commits: Commits
    hand_overs: HandOvers
    memory_before: dict[str, Memory]
    memory_after: dict[str, Memory]
    connected: int
    """How many growers were connected before the upstreams became slow."""
    slow: SlowUpstreams


def conditions(plan: DataclassInstance) -> dict[str, object]:
    """Where and when, and with what."""
    return {
        "began": datetime.now(UTC).isoformat(timespec="minutes"),
        "cores": os.cpu_count(),
        "load_before": os.getloadavg(),
        "python": platform.python_version(),
        "libraries": {name: version(name) for name in LIBRARIES},
        "plan": asdict(plan),
    }


def table(kind: str, result: Result) -> str:
    """Everything as plain text."""
    parts = [
        f"== {kind}",
        _flows(result.flows),
        _cpu(result.flows),
        *(_steps(flows, result.commits) for flows in result.flows),
        _worker(result),
        _memory(result),
        _slow(result.slow),
    ]
    return "\n\n".join(parts) + "\n"


def _flows(found: Sequence[Flows]) -> str:
    heads = ("growers at once", "flows/s", "bare pages/s", "one flow takes as long as", "worker")
    rows = [
        (
            f"{one.growers}",
            f"{one.per_second:.1f}",
            f"{one.bare_per_second:.0f}",
            f"{one.bare_per_second / one.per_second:.1f} bare pages",
            f"{one.worker_behind:.1f} s behind",
        )
        for one in found
    ]
    return columns(heads, rows)


def _cpu(found: Sequence[Flows]) -> str:
    programs = list(found[0].cpu_ms)
    heads = ("CPU ms per flow, growers", *programs, "one bare page", "web / bare page")
    rows = [
        (
            f"{one.growers}",
            *(f"{one.cpu_ms[name]:.1f}" for name in programs),
            f"{one.bare_cpu_ms:.2f}",
            f"{one.cpu_ms[WEB] / one.bare_cpu_ms:.0f}",
        )
        for one in found
    ]
    return columns(heads, rows)


def _steps(found: Flows, commits: Commits) -> str:
    heads = (f"step, growers: {found.growers}", "share", "p50 ms", "p95 ms", "commits")
    rows = [
        (
            step.name,
            f"{step.share:.0%}",
            f"{step.p50_ms:.1f}",
            f"{step.p95_ms:.1f}",
            f"{commits.steps.get(step.name, 1):g}",
        )
        for step in (*found.steps, found.bare)
    ]
    return columns(heads, rows)


def _worker(result: Result) -> str:
    found = result.hand_overs
    return (
        f"commits per flow: web {sum(result.commits.steps.values()):g}, "
        f"worker {result.commits.worker:.1f}; an idle worker: "
        f"{result.commits.idle_worker_per_second:.1f} commits and "
        f"{result.commits.idle_worker_cores * 1000:.0f} ms of CPU per second\n"
        f"hand-overs: {found.per_second:.1f} per second, {found.cpu_seconds * 1000:.1f} ms of CPU "
        f"each ({found.count} that waited, each with its first check)\n"
        f"growers connected in all: {result.connected}"
    )


def _memory(result: Result) -> str:
    heads = ("memory, MiB", "idle PSS", "idle RSS", "after PSS", "after RSS")
    rows = []
    for name, before in result.memory_before.items():
        after = result.memory_after[name]
        sizes = (before.pss, before.rss, after.pss, after.rss)
        rows.append((name, *(f"{size:.0f}" for size in sizes)))
    return columns(heads, rows)


def _slow(found: SlowUpstreams) -> str:
    heads = ("growers at once", "p95 ms of somebody else's status page")
    rows = [(f"{growers}", f"{p95:.0f}") for growers, p95 in found.p95_ms.items()]
    title = (
        f"the token endpoint takes {found.token_seconds:g} s, Leaf hangs for "
        f"{found.leaf_seconds:g} s: up to {found.growers} growers at once"
    )
    return f"{title}\n{columns(heads, rows)}"


def columns(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, *rows]
    widths = [max(len(line[number]) for line in lines) for number in range(len(heads))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
