"""What the platform must survive, one scenario after the other.

Each starts a server of its own on loopback, lets the workers of `mixed` loose on
it, does its worst in the middle of the run, and compares in the end.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import redis

from adcache import RedisAdCache, RedisUnavailable, connect
from adcache.backends import LocalCluster, LocalServer
from tools.soak import mixed
from tools.soak.judge import violations
from tools.soak.lossy import LossyProxy
from tools.soak.mixed import Report, Worker, add_up
from tools.soak.stage import Scale, prepare

NAMESPACE = "soak"
NONE = {"calls": 0}
KILLS = 5
Answer = TypeVar("Answer")


@dataclass
class Outcome:
    """What a scenario did and found; `violations` are counts that should be 0."""

    name: str
    operations: int
    violations: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    unanswered: int = 0  # calls that had to be repeated
    pause: float = 0.0  # seconds, the longest that one call took to be answered
    remark: str = ""

    @property
    def clean(self) -> bool:
        """Whether nothing was violated."""
        return not any(self.violations.values())


def processes(workers: int, each: int) -> Outcome:
    """All components at once, from many processes."""
    with LocalServer() as server:
        return _run("many processes", server.url, workers, each)


def wrong_clocks(workers: int, each: int) -> Outcome:
    """Every second process is twenty hours ahead: two windows of its caps."""
    with LocalServer() as server:
        name = "every second clock 20 h ahead"
        return _run(name, server.url, workers, each, offset=72_000.0)


def lost_replies(workers: int, each: int) -> Outcome:
    """One reply in a hundred is lost after the work was done."""
    with LocalServer() as server, LossyProxy(server.port) as line:
        outcome = _run("1 % of the replies lost", line.url, workers, each, server.url)
        outcome.remark = f"{line.lost} replies lost"
        return outcome


def script_flush(workers: int, each: int) -> Outcome:
    """The server forgets all scripts, again and again."""
    with LocalServer() as server:
        client = redis.Redis.from_url(server.url)
        with _meanwhile(client.script_flush, every=0.05) as times:
            outcome = _run("SCRIPT FLUSH in mid-run", server.url, workers, each)
        outcome.remark = f"{times()} flushes"
        return outcome


def killed_server(workers: int, each: int) -> Outcome:
    """The server is killed (SIGKILL) and started again, with AOF fsync always."""
    with LocalServer(appendonly="yes", appendfsync="always") as server:
        client = redis.Redis.from_url(server.url)
        enough, kills = workers * each // 8, []  # scripts between two kills

        def kill() -> None:
            if (
                client.info("commandstats").get("cmdstat_evalsha", NONE)["calls"]
                > enough
            ):
                server.stop()
                server.start()
                kills.append(1)
                if len(kills) == KILLS:
                    raise StopIteration

        with _meanwhile(kill, every=0.01):
            outcome = _run("server killed, AOF always", server.url, workers, each)
        outcome.remark = f"killed {len(kills)} times"
        return outcome


def one_cache_for_threads(workers: int, each: int) -> Outcome:
    """Threads share one cache object."""
    with LocalServer() as server:
        cache = connect(server.url, namespace=NAMESPACE)
        scale = Scale.of(workers * each)
        prepare(cache, scale)
        reports: list[Report] = []
        threads = [
            threading.Thread(
                target=lambda n=n: reports.append(Worker(cache, n, scale).run(each))
            )
            for n in range(workers)
        ]
        started = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        name = f"{workers} threads on one object"
        return _judge(name, cache, add_up(reports), workers * each, started)


def forks(workers: int, each: int) -> Outcome:
    """Children are forked while the parent's connections are in use."""
    with LocalServer() as server:
        cache = connect(server.url, namespace=NAMESPACE)
        scale = Scale.of(workers * each)
        prepare(cache, scale)
        started, reports = time.monotonic(), []
        pipes = [_fork(cache, number, each, scale) for number in range(1, workers)]
        reports.append(Worker(cache, 0, scale).run(each))
        for pipe in pipes:
            with os.fdopen(pipe) as lines:
                reports.append(_read_report(lines.read()))
        name = "forks in mid-connection"
        return _judge(name, cache, add_up(reports), workers * each, started)


def failover(workers: int, each: int) -> Outcome:
    """A primary of a cluster is killed for good; its replica takes over.

    Replication is asynchronous: what the primary had acknowledged and not yet
    sent is lost. How much, this measures; it is no violation.
    """
    with LocalCluster(primaries=3, replicas=1) as cluster:
        victim = cluster.primaries[1]
        client = redis.Redis.from_url(victim.url)
        enough = workers * each // 10  # of its share: about a third of the run
        killed = threading.Event()

        def kill() -> None:
            stats = client.info("commandstats")
            if stats.get("cmdstat_evalsha", NONE)["calls"] > enough:
                victim.stop()
                killed.set()
                raise StopIteration

        with _meanwhile(kill, every=0.05):
            outcome = _run("cluster primary killed", cluster.url, workers, each)
        lost = [f"{what}: {n}" for what, n in outcome.violations.items() if n]
        outcome.remark = "; ".join(lost) or "nothing lost"
        if not killed.is_set():
            outcome.remark = "the primary was never killed"
        return outcome


SCENARIOS: dict[str, Callable[[int, int], Outcome]] = {
    "processes": processes,
    "wrong_clocks": wrong_clocks,
    "lost_replies": lost_replies,
    "script_flush": script_flush,
    "killed_server": killed_server,
    "threads": one_cache_for_threads,
    "forks": forks,
    "failover": failover,
}


def _run(
    name: str,
    url: str,
    workers: int,
    each: int,
    direct: str | None = None,
    offset: float = 0.0,
) -> Outcome:
    """Run the workers on `url`, and judge by what stands at `direct`."""
    judge = connect(direct or url, namespace=NAMESPACE)
    scale = Scale.of(workers * each)
    _patiently(lambda: prepare(judge, scale))
    started = time.monotonic()
    told = mixed.run(url, NAMESPACE, workers, each, scale, offset)
    return _judge(name, judge, told, workers * each, started)


def _judge(
    name: str, cache: RedisAdCache, told: Report, operations: int, started: float
) -> Outcome:
    seconds = time.monotonic() - started
    return Outcome(
        name,
        operations,
        _patiently(lambda: violations(cache, told, Scale.of(operations))),
        seconds,
        told["unanswered",],
        told["pause ms",] / 1000,
    )


def _patiently(call: Callable[[], Answer]) -> Answer:
    """Repeat while the server is away: it may have been killed just now."""
    deadline = time.monotonic() + 30
    while True:
        try:
            return call()
        except RedisUnavailable:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


@contextmanager
def _meanwhile(deed: Callable[[], object], every: float) -> Iterator[Callable[[], int]]:
    """Do it again and again, every so many seconds, until the block ends."""
    over, times = threading.Event(), 0

    def again() -> None:
        nonlocal times
        while not over.wait(every):
            try:
                deed()
            except StopIteration:  # it was the last time
                times += 1
                return
            times += 1

    thread = threading.Thread(target=again, daemon=True)
    thread.start()
    try:
        yield lambda: times
    finally:
        over.set()
        thread.join()


def _fork(cache: RedisAdCache, number: int, each: int, scale: Scale) -> int:
    """Start a worker in a forked child; the pipe that its report comes by."""
    receiving, sending = os.pipe()
    if os.fork():
        os.close(sending)
        return receiving
    code = 1
    try:
        os.close(receiving)
        report = Worker(cache, number, scale).run(each)
        with os.fdopen(sending, "w") as pipe:
            pipe.write(_write_report(report))
        code = 0
    finally:
        os._exit(code)


def _write_report(report: Report) -> str:
    return "\n".join("\t".join((*key, str(count))) for key, count in report.items())


def _read_report(text: str) -> Report:
    report: Report = Report()
    for line in text.splitlines():
        *key, count = line.split("\t")
        report[tuple(key)] = int(count)
    return report
