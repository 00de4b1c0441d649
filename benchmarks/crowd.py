"""Many growers at once, each beginning anew as soon as the last walk has ended."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from benchmarks.browser import Walk
from benchmarks.plan import Plan


@dataclass(frozen=True)
class Window:
    """What a crowd did in a measured stretch of time."""

    seconds: float
    walks: Sequence[Walk]
    """Those that ended within it."""
    begun: int
    """All, before and after it included; every one was walked to its end."""

    @property
    def per_second(self) -> float:
        """Walks per second."""
        return len(self.walks) / self.seconds


def gather(
    size: int,
    walk: Callable[[], Walk],
    plan: Plan,
    seconds: float,
    *,
    arrive: float = 0.0,
    during: Callable[[float], None] = lambda _until: None,
) -> Window:
    """Let a crowd walk, and measure after they have arrived and the plan's warm-up is over.

    :param size: how many walk at once
    :param seconds: how long to measure
    :param arrive: seconds over which they arrive, instead of all at once
    :param during: called when the measured time begins, with its end (`time.perf_counter`)
    """
    begin = time.perf_counter() + arrive + plan.warm_up
    end = begin + seconds

    def grower() -> list[Walk]:
        time.sleep(random.uniform(0, arrive))
        done = []
        while time.perf_counter() < end:
            done.append(walk())
        return done

    with ThreadPoolExecutor(size) as pool:
        growers = [pool.submit(grower) for _ in range(size)]
        time.sleep(max(0.0, begin - time.perf_counter()))
        during(end)
        walks = [one for future in growers for one in future.result()]
    return Window(seconds, [one for one in walks if begin <= one.ended < end], len(walks))


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that this share of the values does not exceed.

    :raise ValueError: if there are none
    """
    if not values:
        raise ValueError("nothing was measured")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
