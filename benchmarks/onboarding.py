#!/usr/bin/env python3
"""Measure whole flows, hand-overs, commits and memory; see docs/performance.md.

    .venv/bin/python benchmarks/onboarding.py [--quick] [--database sqlite|postgresql]...
        [--json FILE]

Everything runs on loopback, in a folder that is removed at the end, and stops by itself after
some minutes (`--quick`: half a minute for each database, to see that it works).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# This file has the name of the package that it measures, and would hide it.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import command, report, scenarios
from benchmarks.plan import FULL, QUICK, Plan
from benchmarks.site import Site


def main() -> None:
    """Measure, print the tables, and write the JSON if asked to."""
    command.run(__doc__ or "", full=FULL, quick=QUICK, measure=_measure_on, table=report.table)


def _measure_on(kind: str, plan: Plan) -> report.Result:
    with _site(kind) as site:
        return _measure(site, plan)


@contextmanager
def _site(kind: str) -> Iterator[Site]:
    with command.databases(kind, "onboarding", "bare") as (folder, (url, bare_url)):
        site = Site(folder, url, bare_url)
        try:
            site.start()
            yield site
        finally:
            site.close()


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
