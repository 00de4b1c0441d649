#!/usr/bin/env python3
"""Measure whole flows, hand-overs, commits and memory; see docs/performance.md.

    .venv/bin/python benchmarks/onboarding.py [--quick] [--database sqlite|postgresql]...
        [--json FILE]

Everything runs on loopback, in a folder that is removed at the end, and stops by itself after
some minutes (`--quick`: half a minute for each database, to see that it works).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

# This file has the name of the package that it measures, and would hide it.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import report, scenarios
from benchmarks.plan import FULL, QUICK, Plan
from benchmarks.site import Site
from tests.support.postgres import Cluster, programs

KINDS = ("sqlite", "postgresql")


def main() -> None:
    """Measure, print the tables, and write the JSON if asked to."""
    arguments = _arguments()
    plan = QUICK if arguments.quick else FULL
    found = {"conditions": report.conditions(plan)}
    for kind in arguments.database or KINDS:
        with _site(kind) as site:
            result = _measure(site, plan)
        found[kind] = asdict(result)
        print(report.table(kind, result), flush=True)
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="only to see that it works")
    parser.add_argument("--database", action="append", choices=KINDS, help="default: both")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    return parser.parse_args()


@contextmanager
def _site(kind: str) -> Iterator[Site]:
    with (
        tempfile.TemporaryDirectory(prefix="onboarding-benchmark-") as name,
        _urls(kind, name) as (
            url,
            bare_url,
        ),
    ):
        site = Site(Path(name), url, bare_url)
        try:
            site.start()
            yield site
        finally:
            site.close()


@contextmanager
def _urls(kind: str, folder: str) -> Iterator[tuple[str, str]]:
    """Two empty databases; they keep what they have committed, as in production."""
    if kind == "sqlite":
        yield f"sqlite:///{folder}/onboarding.sqlite", f"sqlite:///{folder}/bare.sqlite"
        return
    found = programs()
    if found is None:
        sys.exit("PostgreSQL is not installed; --database sqlite measures without it")
    cluster = Cluster(found, durable=True)
    try:
        yield cluster.new_database(), cluster.new_database()
    finally:
        cluster.stop()


def _measure(site: Site, plan: Plan) -> report.Result:
    steps = scenarios.commits_of_web(site, plan)
    site.stack.start_worker()
    site.wait_until_idle()
    site.put_checks_off()
    before = scenarios.memory(site)
    commits = scenarios.commits(site, plan, steps)
    flows = [scenarios.flows(site, plan, growers) for growers in plan.crowds]
    hand_overs = scenarios.hand_overs(site, plan)
    return report.Result(
        flows=flows,
        commits=commits,
        hand_overs=hand_overs,
        memory_before=before,
        memory_after=scenarios.memory(site),
        connected=scenarios.check_that_all_are_connected(site),
        slow=scenarios.slow_upstreams(site, plan),
    )


if __name__ == "__main__":
    main()
