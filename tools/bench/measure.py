"""Times of calls, taken so that they hold on a busy machine.

All rows take turns: a round gives each of them one slice of calls, in an order
drawn anew, and a row's figure is the median of its slices. Client and server
share one core, and a call's time is what both of them use of it: the time on
the wall, less what other programs took in between. Trips are counted apart from
that, with the same calls on the same data, through `TripCounter`.
"""

import gc
import os
import random
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any

import redis

from tools.bench.proxy import TripCounter

SLICE = 0.008  # seconds that a slice of calls should take
MOST_CALLS, COUNTED_CALLS = 200, 8
BARE = "redis-py"  # the contender that ratios refer to
OURS = "adcache"

Run = Callable[[int], Any]  # makes so many calls


@dataclass(frozen=True)
class Contender:
    """Who does a job; `per` is how many units of it one call does.

    `tidy` is called after each slice, outside of the time: it puts the data
    back into the state that they had.
    """

    name: str
    run: Run
    per: int = 1
    peer: bool = False
    tidy: Callable[[], Any] = lambda: None


@dataclass(frozen=True)
class Absent:
    """A contender that is left out, and why."""

    name: str
    why: str


@dataclass(frozen=True)
class Job:
    """A name, the data it needs, and who does it at a URL."""

    name: str
    prepare: Callable[[str], None]
    contenders: Callable[[str], Iterable[Contender | Absent]]


@dataclass
class Row:
    """One line of the table; times in microseconds a unit."""

    job: str
    name: str
    peer: bool
    micros: float = 0.0
    trips: float = 0.0
    server: float = 0.0
    wall: float = 0.0  # of the slice that was disturbed least


@dataclass
class Figures:
    """All that a run found: rows, single numbers by name, who was left out."""

    rows: list[Row] = field(default_factory=list)
    numbers: dict[str, float] = field(default_factory=dict)
    absent: list[str] = field(default_factory=list)

    def row(self, job: str, name: str) -> Row | None:
        """The row of a contender, or None when it did not take part."""
        found = (row for row in self.rows if (row.job, row.name) == (job, name))
        return next(found, None)

    def micros(self, job: str, name: str = OURS) -> float | None:
        """Microseconds a unit, or None."""
        row = self.row(job, name)
        return row.micros if row else None

    def best_peer(self, job: str) -> Row | None:
        """The fastest of the peers at a job, or None when none took part."""
        peers = [row for row in self.rows if row.job == job and row.peer]
        return min(peers, key=lambda row: row.micros, default=None)


def each(call: Callable[[Any], Any], values: Iterable[Any]) -> Run:
    """Call with one value after the other, beginning anew at the end."""
    following = cycle(list(values)).__next__

    def run(calls: int) -> None:
        for _ in range(calls):
            call(following())

    return run


@dataclass
class _Timed:
    row: Row
    contender: Contender
    calls: int = 1
    times: list[float] = field(default_factory=list)
    busy: list[float] = field(default_factory=list)
    walls: list[float] = field(default_factory=list)

    def take(self, server: "ServerClock") -> None:
        """Run one slice; seconds a unit of the client's and the server's CPU."""
        units = self.calls * self.contender.per
        began, busy, wall = time.process_time(), server.now(), time.perf_counter()
        self.contender.run(self.calls)
        walls = time.perf_counter() - wall
        times, busy = time.process_time() - began, server.now() - busy
        self.contender.tidy()
        self.times.append((times + busy) / units)
        self.busy.append(busy / units)
        self.walls.append(walls / units)

    def sum_up(self) -> None:
        """Put the medians into the row, in microseconds."""
        self.row.micros = statistics.median(self.times) * 1e6
        self.row.server = statistics.median(self.busy) * 1e6
        self.row.wall = min(self.walls) * 1e6


class ServerClock:
    """CPU seconds that a server on this machine has used.

    Linux counts nanoseconds for a process; elsewhere the server's INFO is asked.
    """

    def __init__(self, url: str) -> None:
        self._client: Any = redis.Redis.from_url(url)
        pid = self._client.info("server")["process_id"]
        self._file = Path(f"/proc/{pid}/schedstat")
        self._linux = self._file.exists()

    def now(self) -> float:
        """Return the seconds used by now."""
        if self._linux:
            return int(self._file.read_text("ascii").split()[0]) / 1e9
        info = self._client.info("cpu")
        return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])


def measure(jobs: Iterable[Job], url: str, seconds: float) -> Figures:
    """Prepare all jobs on the server at `url`, time them, count their trips."""
    figures = Figures()
    jobs = list(jobs)
    timed: list[_Timed] = []
    for job in jobs:
        job.prepare(url)
        for contender in job.contenders(url):
            if isinstance(contender, Absent):
                figures.absent.append(
                    f"{contender.name} at {job.name}: {contender.why}"
                )
                continue
            entry = _Timed(Row(job.name, contender.name, contender.peer), contender)
            figures.rows.append(entry.row)
            timed.append(entry)
    for entry in timed:
        entry.calls = _calls_in_a_slice(entry.contender.run)
    _take_turns(timed, url, seconds)
    for entry in timed:
        entry.sum_up()
    with TripCounter(url) as proxy:
        for job in jobs:
            for name, trips in count_trips(job, proxy):
                if row := figures.row(job.name, name):
                    row.trips = trips
    return figures


def count_trips(job: Job, proxy: TripCounter) -> Iterator[tuple[str, float]]:
    """Yield each contender's waits a unit, after a first call that connects."""
    proxy.counting = False
    for contender in job.contenders(proxy.url):
        if isinstance(contender, Contender):
            contender.run(2)
            proxy.counting, before = True, proxy.trips
            contender.run(COUNTED_CALLS)
            proxy.counting = False
            waits = (proxy.trips - before) / COUNTED_CALLS
            contender.tidy()
            yield contender.name, waits / contender.per


def _calls_in_a_slice(run: Run) -> int:
    """Warm up, then find how many calls fill a slice."""
    run(3)
    started = time.process_time()
    run(5)
    took = (time.process_time() - started) / 5 * 1.5  # the server takes its part
    return max(3, min(MOST_CALLS, int(SLICE / took)))


def _take_turns(timed: list[_Timed], url: str, seconds: float) -> None:
    """Let all rows take turns for so many seconds, at least five rounds."""
    server = ServerClock(url)
    gc.collect()
    gc.freeze()  # what the set-up left would be walked through again and again
    deadline, rounds = time.monotonic() + seconds, 0
    while rounds < 5 or time.monotonic() < deadline:
        rounds += 1
        for entry in random.sample(timed, len(timed)):
            entry.take(server)
    gc.unfreeze()


def on_one_core() -> None:
    """Keep this process, and the servers it starts, on one core (Linux only)."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
