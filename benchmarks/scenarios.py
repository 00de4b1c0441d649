"""What is measured, one function each."""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue

from benchmarks import processes
from benchmarks.browser import STEPS, Browser, Walk, bare_pages, walk
from benchmarks.commits import counter
from benchmarks.crowd import Window, gather, percentile
from benchmarks.plan import Plan
from benchmarks.processes import Memory
from benchmarks.site import BARE, Site
from onboarding.models import Connection
from onboarding.states import Stage
from tests.support.stack import WEB, WORKER

MS = 1000
MICROSECONDS = 1_000_000
SLOW_PAGE_MS = 200.0
PAUSE_BETWEEN_PAGES = 0.05
WARM_AFTER = 8
TRIES_BEFORE_TOO_SLOW = 3


@dataclass(frozen=True)
class Step:
    """One request of a flow: the median and the 95th percentile, in milliseconds."""

    name: str
    p50_ms: float
    p95_ms: float
    share: float
    """Of the whole flow's time, between 0 and 1."""


@dataclass(frozen=True)
class Flows:
    """Whole flows by a crowd of one size, and the bare page by a crowd of the same size."""

    growers: int
    per_second: float
    """Median of the rounds; the worker hands over at the same time."""
    bare_per_second: float
    """Pages; median of the rounds."""
    rounds: list[tuple[float, float]]
    """Flows and bare pages per second of each round."""
    steps: list[Step]
    bare: Step
    worker_behind: float
    """Seconds that the worker went on after the last grower had left; median."""
    cpu_ms: dict[str, float]
    """Milliseconds of CPU for each flow, by program; `growers` is what makes the load."""
    bare_cpu_ms: float
    """Milliseconds of CPU for each bare page."""


@dataclass(frozen=True)
class HandOvers:
    """A heap of tokens that waited for a worker."""

    count: int
    per_second: float
    cpu_seconds: float
    """For each, its first check at Leaf included."""


@dataclass(frozen=True)
class Commits:
    """Transactions that wrote something, for each flow."""

    steps: dict[str, float]
    worker: float
    """The hand-over and its first check."""
    idle_worker_per_second: float
    """Those of a worker that has nothing to do; not for each flow."""
    idle_worker_cores: float
    """What such a worker keeps busy of one core."""


@dataclass(frozen=True)
class SlowUpstreams:
    """The status page while the upstreams are slow."""

    token_seconds: float
    leaf_seconds: float
    p95_ms: dict[int, float]
    """By the number of growers at once, up to the first that is too many."""
    growers: int
    """The largest number for which the page took no more than 200 ms."""


def flows(site: Site, plan: Plan, growers: int) -> Flows:
    """Bare pages and flows by turns: A B A B. The worker is idle before each turn."""
    turns: list[tuple[Window, Window]] = []
    behind: list[float] = []
    cpu, bare_cpu = Counter[str](), Counter[str]()
    for _ in range(plan.rounds):
        next_walk = _walks(site, plan)
        with _cpu(site, bare_cpu):
            bare = gather(growers, lambda: bare_pages(site.bare_port), plan, plan.bare_seconds)
        with _cpu(site, cpu):
            flow = gather(growers, next_walk, plan, plan.flow_seconds)
            ended = time.perf_counter()
            site.wait_until_idle()
        behind.append(time.perf_counter() - ended)
        site.put_checks_off()
        turns.append((flow, bare))
    rounds = [(flow.per_second, bare.per_second * len(STEPS)) for flow, bare in turns]
    return Flows(
        growers=growers,
        per_second=statistics.median(flow for flow, _ in rounds),
        bare_per_second=statistics.median(bare for _, bare in rounds),
        rounds=rounds,
        steps=_steps([one for flow, _ in turns for one in flow.walks]),
        bare=_step("bare page", [s for _, bare in turns for w in bare.walks for s in w.seconds]),
        worker_behind=statistics.median(behind),
        cpu_ms=_each(cpu, sum(flow.begun for flow, _ in turns)),
        bare_cpu_ms=_each(bare_cpu, sum(bare.begun for _, bare in turns) * len(STEPS))[BARE],
    )


def commits_of_web(site: Site, plan: Plan) -> dict[str, float]:
    """Commits of each step of a flow, while no worker runs."""
    found = Counter[str]()
    _walk_until_warm(site)
    with counter(site.parts.database.engine) as count:
        last = 0

        def after(step: str) -> None:
            nonlocal last
            here = count()
            found[step] += here - last
            last = here

        links = site.invite(plan.counted_flows)
        last = count()
        for link in links:
            walk(site.web_port, link, after=after)
    return {step: found[step] / plan.counted_flows for step in STEPS}


def commits(site: Site, plan: Plan, steps: dict[str, float]) -> Commits:
    """Commits for each hand-over and its first check, without those of an idle worker.

    :param steps: what web commits, as found before
    """
    with counter(site.parts.database.engine) as count:
        before, cpu, began = count(), processes.cpu_seconds(site.pid(WORKER)), time.perf_counter()
        time.sleep(plan.idle_seconds)
        idle_seconds = time.perf_counter() - began
        idle = (count() - before) / idle_seconds
        idle_cores = (processes.cpu_seconds(site.pid(WORKER)) - cpu) / idle_seconds
        before, began = count(), time.perf_counter()
        site.owe_hand_overs(plan.counted_hand_overs)
        site.wait_until_idle()
        ours = 1  # the transaction that has just enqueued all of them
        found = count() - before - ours - idle * (time.perf_counter() - began)
    site.put_checks_off()
    return Commits(steps, found / plan.counted_hand_overs, idle, idle_cores)


def hand_overs(site: Site, plan: Plan) -> HandOvers:
    """Enqueue while no worker runs, then let one begin."""
    site.stack.stop(WORKER)
    done = len(site.hand_over_times())
    site.owe_hand_overs(plan.hand_overs)
    site.stack.start_worker(WORKER)
    before = processes.cpu_seconds(site.pid(WORKER))
    site.wait_until_idle()
    spent = processes.cpu_seconds(site.pid(WORKER)) - before
    site.put_checks_off()
    times = site.hand_over_times()[done:]
    return HandOvers(
        count=len(times),
        per_second=(len(times) - 1) / (times[-1] - times[0]),
        cpu_seconds=spent / len(times),
    )


def memory(site: Site) -> dict[str, Memory]:
    """What web (all its processes) and the worker hold now."""
    return {name: processes.memory(site.pid(name)) for name in (WEB, WORKER)}


def slow_upstreams(site: Site, plan: Plan) -> SlowUpstreams:
    """How many growers at once before somebody else's status page takes too long.

    The last scenario: Leaf hangs, so the worker does not become idle again.
    """
    (link,) = site.invite(1)
    walk(site.web_port, link)
    site.delay(token=plan.token_seconds, leaf=plan.leaf_seconds)
    p95: dict[int, float] = {}
    for growers in plan.slow_crowds:
        p95[growers] = _believed(partial(_page_p95, site, plan, growers, link))
        if p95[growers] > SLOW_PAGE_MS:
            break
    bearable = [growers for growers, found in p95.items() if found <= SLOW_PAGE_MS]
    return SlowUpstreams(plan.token_seconds, plan.leaf_seconds, p95, max(bearable, default=0))


def check_that_all_are_connected(site: Site) -> int:
    """That every token which was received is at Leaf; how many there are.

    :raise RuntimeError: if one is not, and the figures are worth nothing
    """
    connected = site.count(Connection.stage == Stage.CONNECTED)
    begun = site.count(Connection.stage != Stage.INVITED)
    if connected != begun:
        raise RuntimeError(f"{begun} growers went all the way, {connected} are connected")
    return connected


def _walk_until_warm(site: Site) -> None:
    """Every process of web has done each page once."""
    for link in site.invite(WARM_AFTER):
        walk(site.web_port, link)


def _walks(site: Site, plan: Plan) -> Callable[[], Walk]:
    """The flow of the next one of many growers who are invited here and have not begun."""
    supply: SimpleQueue[str] = SimpleQueue()
    for link in site.invite(plan.growers_per_turn):
        supply.put(link)
    return lambda: walk(site.web_port, supply.get_nowait())


@contextmanager
def _cpu(site: Site, spent: Counter[str]) -> Iterator[None]:
    """Add up the microseconds of CPU that each program spends in the context."""
    before = site.cpu_seconds()
    yield
    for name, seconds in site.cpu_seconds().items():
        spent[name] += round((seconds - before[name]) * MICROSECONDS)


def _each(spent: Counter[str], count: int) -> dict[str, float]:
    """Microseconds in all to milliseconds for each."""
    return {name: microseconds / MS / count for name, microseconds in spent.items()}


def _believed(measure: Callable[[], float]) -> float:
    """A page that is too slow must be so in the median of three tries: other work disturbs."""
    found: list[float] = []
    while len(found) < TRIES_BEFORE_TOO_SLOW:
        found.append(measure())
        if found[-1] <= SLOW_PAGE_MS and len(found) == 1:
            break
    return statistics.median(found)


def _page_p95(site: Site, plan: Plan, growers: int, link: str) -> float:
    walks = _walks(site, plan)
    taken: list[float] = []

    def look(until: float) -> None:
        while time.perf_counter() < until:
            taken.append(_open_page(site.web_port, link))
            time.sleep(PAUSE_BETWEEN_PAGES)

    gather(
        growers,
        walks,
        plan,
        plan.slow_seconds,
        arrive=plan.token_seconds,
        during=look,
    )
    return percentile(taken, 0.95) * MS


def _open_page(port: int, link: str) -> float:
    """Seconds until a new visitor has the whole page."""
    began = time.perf_counter()
    browser = Browser(port)
    try:
        browser.get(link)
    finally:
        browser.close()
    return time.perf_counter() - began


def _steps(walks: Sequence[Walk]) -> list[Step]:
    whole = sum(sum(one.seconds) for one in walks)
    return [
        _step(name, [one.seconds[number] for one in walks], whole=whole)
        for number, name in enumerate(STEPS)
    ]


def _step(name: str, seconds: Sequence[float], *, whole: float | None = None) -> Step:
    share = sum(seconds) / (whole or sum(seconds))
    return Step(name, percentile(seconds, 0.5) * MS, percentile(seconds, 0.95) * MS, share)
