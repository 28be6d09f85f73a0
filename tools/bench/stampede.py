"""How often is a record loaded when two processes with 25 callers want it?

Worker processes are started ahead, one pair per contender, so that a crowd is
let loose at one moment: every caller asks for one record that nobody has, and
whose loader takes 50 ms. What counts is the worst of several crowds.
"""

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from importlib import util
from typing import Any

import redis

from tools.bench.loaders import CONTENDERS
from tools.bench.measure import Figures
from tools.bench.peers import PEERS

Worker = subprocess.Popen[str]
PROCESSES, CALLERS, CROWDS, LOAD_SECONDS = 2, 25, 3, 0.05


def measure_loads(url: str, figures: Figures) -> None:
    """Count each contender's loads; the worst crowd goes into the figures."""
    workers: dict[str, list[Worker]] = {}
    try:
        for label, (package, _, _) in CONTENDERS.items():
            if package and util.find_spec(PEERS[package].partition(".")[0]) is None:
                figures.absent.append(f"{package} at stampede: not installed")
                continue
            workers[label] = [_worker(label, url) for _ in range(PROCESSES)]
        for label, crew in workers.items():
            for worker in crew:
                _expect(worker, "ready")
            loads = loads_of_crowds(label, url, crew)
            figures.numbers[f"loads: {label}"] = max(loads)
    finally:
        for worker in [each for crew in workers.values() for each in crew]:
            worker.kill()
            worker.communicate()


def loads_of_crowds(label: str, url: str, crew: list[Worker]) -> list[int]:
    """Let several crowds loose, one after the other; return the loads of each."""
    client: Any = redis.Redis.from_url(url)
    loads = []
    for crowd in range(CROWDS):
        key = f"crowd-{label}-{crowd}".replace(" ", "")
        for worker in crew:
            _tell(worker, key)
        for worker in crew:
            _expect(worker, "done")
        loads.append(int(client.get(f"loads:{key}") or 0))
    return loads


def _worker(label: str, url: str) -> Worker:
    command = [sys.executable, "-m", "tools.bench.stampede", label, url]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def _tell(worker: Worker, line: str) -> None:
    if worker.stdin:
        worker.stdin.write(line + "\n")
        worker.stdin.flush()


def _expect(worker: Worker, line: str) -> None:
    heard = worker.stdout.readline().strip() if worker.stdout else ""
    if heard != line:
        raise RuntimeError(f"a worker of the stampede said {heard!r}, not {line!r}")


def work(label: str, url: str) -> None:
    """Be one of the processes: a crowd of callers for each key on stdin."""
    _, make, is_async = CONTENDERS[label]
    client: Any = redis.Redis.from_url(url)

    def load(key: str) -> dict[str, Any]:
        client.incr(f"loads:{key}")
        time.sleep(LOAD_SECONDS)
        return {"key": key}

    crowd = _tasks(make, url, load) if is_async else _threads(make(url, load))
    print("ready", flush=True)
    for line in sys.stdin:
        crowd(line.strip())
        print("done", flush=True)


def _threads(get: Callable[[str], Any]) -> Callable[[str], None]:
    def crowd(key: str) -> None:
        barrier = threading.Barrier(CALLERS)

        def caller() -> None:
            barrier.wait()
            get(key)

        threads = [threading.Thread(target=caller) for _ in range(CALLERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    return crowd


def _tasks(make: Any, url: str, load: Any) -> Callable[[str], None]:
    loop = asyncio.new_event_loop()

    async def begin() -> Any:
        return make(url, load)

    get = loop.run_until_complete(begin())

    async def all_of_them(key: str) -> None:
        await asyncio.gather(*(get(key) for _ in range(CALLERS)))

    return lambda key: loop.run_until_complete(all_of_them(key))


if __name__ == "__main__":
    work(*sys.argv[1:])
