"""What processes cost, read from Linux's /proc."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
PROC = Path("/proc")
KIB_PER_MIB = 1024


@dataclass(frozen=True)
class Memory:
    """MiB of a process and all below it.

    :ivar rss: resident; memory that processes share is counted once for each of them
    :ivar pss: proportional; shared memory is divided among those who share it
    """

    rss: float
    pss: float


def cpu_seconds(pid: int) -> float:
    """Seconds of CPU of a process, of all below it, and of their children that have ended."""
    return sum(_ticks(one) for one in _tree(pid)) / TICKS_PER_SECOND


def memory(pid: int) -> Memory:
    """The memory of a process and of all below it."""
    found = [(PROC / str(one) / "smaps_rollup").read_text() for one in _tree(pid)]
    return Memory(rss=_mib("Rss", found), pss=_mib("Pss", found))


@dataclass
class Growth:
    """MiB of this process at its highest that were not there before; known at the end."""

    grown: float = 0.0


@contextmanager
def own_memory() -> Iterator[Growth]:
    """How much more memory this process takes meanwhile than before."""
    (PROC / "self" / "clear_refs").write_text("5")  # the highest so far is forgotten (proc(5))
    before, growth = _own("VmRSS"), Growth()
    yield growth
    growth.grown = max(0.0, _own("VmHWM") - before)


def _own(name: str) -> float:
    return _mib(name, [(PROC / "self" / "status").read_text()])


def _tree(pid: int) -> list[int]:
    parents: dict[int, list[int]] = {}
    for folder in PROC.iterdir():
        if folder.name.isdecimal() and (fields := _stat(int(folder.name))):
            parents.setdefault(int(fields[1]), []).append(int(folder.name))
    found = [pid]
    for one in found:  # grows while it is walked
        found += parents.get(one, [])
    return found


def _ticks(pid: int) -> int:
    """utime, stime, cutime and cstime (proc(5), numbers 14 to 17)."""
    return sum(map(int, _stat(pid)[11:15]))


def _stat(pid: int) -> list[str]:
    """The fields behind the program's name, from number 3 on; empty if it has ended."""
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def _mib(name: str, rollups: list[str]) -> float:
    values = [re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE) for text in rollups]
    return sum(int(value[1]) for value in values if value) / KIB_PER_MIB
