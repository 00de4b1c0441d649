"""One module tells the time; who asks another clock is listed here, with the reason."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.stack import ROOT

PACKAGE = ROOT / "onboarding"
CLOCK = "onboarding/clock.py"
OTHER_CLOCKS = {
    *(f"time.{name}" for name in ("time", "time_ns", "localtime", "gmtime", "ctime", "strftime")),
    *(f"datetime.{name}" for name in ("now", "utcnow", "today")),
    "date.today",
    "utils.localtime",
    *(f"func.{name}" for name in ("now", "current_timestamp", "clock_timestamp", "localtimestamp")),
    "clock.real",
}
"""That of the machine, and that of the database. `time.monotonic` tells no time: it measures how
long something takes, which a moved clock does not change."""
DEFENDED = {
    "onboarding/connections/pace/row.py": "a minute of Leaf's limit takes a minute",
    "onboarding/connections/workers.py": "heartbeats: who is silent now has ended",
    "onboarding/doctor.py": "the same heartbeats",
    "onboarding/sandbox/clock.py": "the stamp of the clock's own file",
    "onboarding/sandbox/gate.py": "the journal shows how long requests really took",
    "onboarding/sandbox/journal.py": "the same journal",
    "onboarding/staff/figures.py": "pauses between two counts are real ones",
    "onboarding/partners/quota.py": "a minute of a limit takes a minute",
    "onboarding/views/api/allowance.py": "the same minute",
    "onboarding/webhooks/courier.py": "receivers hold the stamp of a request against their clock",
    "onboarding/worker/process.py": "heartbeats",
    "onboarding/worker/upkeep.py": "the age of the queue's rows, which is the machine's, too",
}


def clocks_in(text: str) -> set[str]:
    """The clocks that a module names, whether it calls them or hands them on."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Attribute):
            found.add(f"{_last_name(node.value)}.{node.attr}")
        elif isinstance(node, ast.ImportFrom):
            module = (node.module or "").rpartition(".")[2]
            found |= {f"{module}.{name.name}" for name in node.names}
    return found & OTHER_CLOCKS


def _last_name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def modules() -> Iterator[tuple[str, Path]]:
    """All of the package, with the names by which they are listed."""
    for path in sorted(PACKAGE.rglob("*.py")):
        yield str(path.relative_to(ROOT)), path


def test_only_the_defended_ask_another_clock() -> None:
    asking = {name for name, path in modules() if clocks_in(path.read_text())}
    assert asking == {CLOCK, *DEFENDED}


def test_no_template_and_no_table_asks_the_database_for_the_time() -> None:
    words = ("CURRENT_TIMESTAMP", "server_default=sa.func")
    files = [*(PACKAGE / "models").glob("*.py"), *(PACKAGE / "migrations").rglob("*.py")]
    files += [path for path in (ROOT / "templates").rglob("*") if path.is_file()]
    asking = [str(path) for path in files if any(word in path.read_text() for word in words)]
    assert asking == []


@pytest.mark.parametrize(
    "text",
    [
        "import time\ntime.time()",
        "import time\ndef f(clock=time.time): ...",
        "from time import time",
        "from datetime import datetime\ndatetime.now()",
        "import datetime\ndatetime.datetime.now()",
        "import datetime as dt\ndt.date.today()",
        "import sqlalchemy as sa\nsa.func.now()",
        "from onboarding import clock\nclock.real()",
        "from onboarding.clock import real",
    ],
)
def test_the_rule_sees_a_clock(text: str) -> None:
    assert clocks_in(text)


@pytest.mark.parametrize(
    "text", ["from onboarding.clock import now\nnow()", "import time\ntime.monotonic()"]
)
def test_the_rule_lets_pass_what_is_none(text: str) -> None:
    assert not clocks_in(text)
