"""The benchmarks still run; what they measure depends on the machine and is no test."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.browser import STEPS
from tests.support.postgres import programs
from tests.support.stack import ROOT

SECONDS = 240
"""Half a minute when the machine has nothing else to do."""


def quick_run(name: str, *arguments: str) -> str:
    """What a benchmark prints, if it ends well."""
    done = subprocess.run(
        [sys.executable, f"benchmarks/{name}.py", "--quick", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.timeout(SECONDS + 10)
def test_a_quick_sweep_writes_every_figure_and_keeps_the_limit(tmp_path: Path) -> None:
    written = tmp_path / "figures.json"
    said = quick_run("sweep", "--database", "sqlite", "--json", str(written))
    assert "fullest minute" in said
    found = json.loads(written.read_text())["sqlite"]
    (swept,) = found["swept"]
    assert swept["connections"] == 1000
    assert all(swept[figure] > 0 for figure in ("checks_per_second", "cpu_ms", "rss"))
    assert swept["find_ms"].keys() == {"p10", "p50", "p95"}
    (limited,) = found["limited"]
    assert limited["workers"] == 2
    assert 0 < limited["most_in_a_minute"] <= limited["limit"]


@pytest.mark.skipif(programs() is None, reason="PostgreSQL is not installed")
@pytest.mark.timeout(SECONDS + 10)
def test_workers_that_are_killed_lose_nothing_and_do_nothing_twice_at_leaf() -> None:
    said = quick_run("chaos")
    assert "Nothing was lost, and nothing done twice." in said
    assert "100 hand-overs, 100 checks, 100 disconnects, " in said


@pytest.mark.timeout(SECONDS + 10)
def test_a_quick_run_walks_whole_flows_and_writes_every_figure(tmp_path: Path) -> None:
    written = tmp_path / "figures.json"
    said = quick_run("onboarding", "--database", "sqlite", "--json", str(written))
    assert "one flow takes as long as" in said
    found = json.loads(written.read_text())["sqlite"]
    assert found["connected"] > 0
    assert all(flows["per_second"] > 0 for flows in found["flows"])
    assert set(found["commits"]["steps"]) == set(STEPS)
    assert found["commits"]["steps"]["callback"] >= 2, "state is used before the exchange"
    assert found["hand_overs"]["per_second"] > 0
    assert found["memory_after"].keys() == {"web", "w1"}
    assert found["slow"]["p95_ms"]


@pytest.mark.timeout(SECONDS + 10)
def test_a_quick_run_of_work_on_all_connections_does_all_of_it(tmp_path: Path) -> None:
    written = tmp_path / "figures.json"
    said = quick_run("many", "--database", "sqlite", "--json", str(written))
    assert "others waited at most" in said
    (size,) = json.loads(written.read_text())["sqlite"]["sizes"]
    assert size["all"]["collected"]["rows"] == size["connections"] == 1000
    assert 0 < size["all"]["worked"]["rows"] <= 1000
    assert size["file"]["imported"]["rows"] == 300


@pytest.mark.timeout(SECONDS + 10)
def test_a_quick_run_of_the_api_asks_for_every_list(tmp_path: Path) -> None:
    written = tmp_path / "figures.json"
    quick_run("api", "--database", "sqlite", "--json", str(written))
    (size,) = json.loads(written.read_text())["sqlite"]["sizes"]
    assert len(size["asked"]) == 30
    assert all(0 < one["p50"] <= one["p95"] for one in size["asked"])
