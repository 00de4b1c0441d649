"""What the measuring commands share: arguments, a database for each, and what they write."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from benchmarks import report
from tests.support.postgres import Cluster, programs

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Plan = TypeVar("Plan", bound="DataclassInstance")
Result = TypeVar("Result", bound="DataclassInstance")
KINDS = ("sqlite", "postgresql")


def run(
    description: str,
    *,
    full: Plan,
    quick: Plan,
    measure: Callable[[str, Plan], Result],
    table: Callable[[str, Result], str],
) -> None:
    """Measure, print the tables, and write the JSON if asked to.

    :param measure: is given the kind of database, `sqlite` or `postgresql`
    """
    arguments = _arguments(description)
    plan = quick if arguments.quick else full
    found: dict[str, object] = {"conditions": report.conditions(plan)}
    for kind in arguments.database or KINDS:
        result = measure(kind, plan)
        found[kind] = asdict(result)
        print(table(kind, result), flush=True)
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")


@contextmanager
def databases(kind: str, *names: str) -> Iterator[tuple[Path, list[str]]]:
    """A folder, and the URLs of empty databases that keep what they commit, as in production."""
    with tempfile.TemporaryDirectory(prefix="onboarding-benchmark-") as made:
        folder = Path(made)
        if kind == "sqlite":
            yield folder, [f"sqlite:///{folder / name}.sqlite" for name in names]
            return
        found = programs()
        if found is None:
            sys.exit("PostgreSQL is not installed; --database sqlite measures without it")
        cluster = Cluster(found, durable=True)
        try:
            yield folder, [cluster.new_database() for _ in names]
        finally:
            cluster.stop()


def _arguments(description: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=description.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="only to see that it works")
    parser.add_argument("--database", action="append", choices=KINDS, help="default: both")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    return parser.parse_args()
