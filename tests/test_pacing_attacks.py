"""Budgets under attack: lossy lines, racing processes, killed and full servers."""

import contextlib
import multiprocessing
import os
import random
import signal
import threading
from collections import Counter

import pytest

from adcache import (
    BudgetPacer,
    CommandRefused,
    ManualClock,
    RedisAdCache,
    RedisUnavailable,
    connect,
)
from adcache.backends import LocalCluster, LocalServer
from tests.budget_help import END, campaign, charge, store
from tests.conftest import need_binary
from tests.test_attacks import LOST, until_answered
from tools.soak.lossy import LossyProxy

LATER = END.replace(year=2099)
THREADS, PROCESSES, BIDS = 32, 4, 40


def work(cache: RedisAdCache, worker: str, results: Counter) -> None:
    """Bid, win, bill, lose and forget at random; each call until it is answered."""
    pacer, luck = BudgetPacer(cache), random.Random(worker)
    for number in range(BIDS):
        name, cpm = f"{worker}-{number}", luck.choice([0.4567, 1, 2.0005, 4.999999])
        ids = "tea", name

        def ask(method, *args, ids=ids):
            return until_answered(lambda: method(*ids, *args), 60)

        held = ask(pacer.reserve, cpm)
        results["refused"] += not held
        results[held.reason] += 1
        if not held:
            continue
        fate = luck.random()
        if fate < 0.2:
            results["open"] += held.amount
        elif fate < 0.4:
            assert ask(pacer.release)
        else:
            if fate < 0.7:
                assert ask(pacer.keep)
            bill = ask(pacer.settle, cpm)
            results["cost"] += bill.cost
            results["overrun"] += bill.overrun
            results["late"] += bill.late
            results["cpm"] += round(cpm * 1e6)


def work_in_process(url, worker, queue):
    """Work in a process of its own, and report."""
    results = Counter()
    work(connect(url, namespace="race"), worker, results)
    queue.put(results)


def check(pacer: BudgetPacer, total: Counter, budget: int) -> None:
    """Nothing overspent, nothing lost, nothing doubled: sums exactly equal."""
    status = pacer.status("tea")
    assert total["cost"] == status.spent == status.today
    assert total["open"] == status.reserved
    assert 0 == total["overrun"] == total["late"] == status.overrun
    assert status.spent + status.reserved <= budget
    assert total["refused"] > 0  # the budget was fought for
    assert {"", "budget", "refused", "open", "cost", "cpm"} >= {
        key for key, count in total.items() if count
    }
    # Fractions of a micro are carried, whoever bills: no more than one is missing.
    assert total["cpm"] // 1000 == status.spent


def test_32_threads_and_4_processes_on_a_lossy_line(own_server):
    """Every 25th reply is lost and repeated: no overspend, sums exactly equal."""
    proxy, budget = LossyProxy(own_server.port, LOST), 1.5
    direct = connect(own_server.url, namespace="race")
    store(direct, campaign(budget=budget, end_date=LATER))
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    racers = [
        context.Process(target=work_in_process, args=(proxy.url, f"p{n}", queue))
        for n in range(PROCESSES)
    ]
    shared, reports = connect(proxy.url, namespace="race"), []

    def thread(number):
        results = Counter()
        work(shared, f"t{number}", results)
        reports.append(results)

    threads = [threading.Thread(target=thread, args=(n,)) for n in range(THREADS)]
    for each in (*racers, *threads):
        each.start()
    reports += [queue.get(timeout=100) for _ in racers]
    for each in (*racers, *threads):
        each.join()
    proxy.close()

    assert THREADS + PROCESSES == len(reports)
    assert proxy.lost > 20
    check(BudgetPacer(direct), sum(reports, Counter()), round(budget * 1e6))


@pytest.mark.parametrize("backend", ["fakeredis", "redis-8.2", "valkey-8.1", "cluster"])
def test_threads_race_on_every_backend(cache):
    """8 threads: no overspend, sums exactly equal."""
    store(cache, campaign(budget=0.3, end_date=LATER))
    reports = []

    def thread(number):
        results = Counter()
        work(cache, f"t{number}", results)
        reports.append(results)

    threads = [threading.Thread(target=thread, args=(n,)) for n in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert 8 == len(reports)
    check(BudgetPacer(cache), sum(reports, Counter()), 300_000)


def test_a_killed_server_loses_no_acknowledged_settlement():
    """SIGKILL in mid-run with appendfsync always: what was answered is there."""
    options = {"appendonly": "yes", "appendfsync": "always"}
    with LocalServer(need_binary("redis"), **options) as server:
        store(connect(server.url), campaign(budget=1000, end_date=LATER))
        acknowledged, running = [], threading.Event()

        def bill(worker):
            pacer = BudgetPacer(connect(server.url))
            with contextlib.suppress(RedisUnavailable):
                for number in range(100_000):
                    name = f"{worker}-{number}"
                    pacer.reserve("tea", name, 3)
                    if pacer.settle("tea", name, 2.5):
                        acknowledged.append(name)
                    if len(acknowledged) > 200:
                        running.set()

        threads = [threading.Thread(target=bill, args=(n,)) for n in range(4)]
        for each in threads:
            each.start()
        assert running.wait(60)
        server.stop()
        for each in threads:
            each.join()
        server.start()

        pacer = BudgetPacer(connect(server.url))
        known = pacer.status("tea").spent // 2500
        assert len(acknowledged) <= known <= len(acknowledged) + len(threads)
        again = [pacer.settle("tea", name, 2.5) for name in acknowledged]
        assert {(True, 2500)} == {(each.duplicate, each.cost) for each in again}
        assert known * 2500 == pacer.status("tea").spent


def test_replicas_are_waited_for(own_server):
    """True with a replica that has it, False without one; a duplicate waits too."""
    cache = connect(own_server.url)
    store(cache, campaign(end_date=LATER))
    pacer = BudgetPacer(cache)
    for name in ("r1", "r2"):
        pacer.reserve("tea", name, 5)
    alone = pacer.settle("tea", "r1", 5, replicas=1, wait=0.05)
    assert (True, False) == (alone.counted, alone.acknowledged)

    with LocalServer(need_binary("redis")) as copy:
        replica = connect(copy.url)
        replica.redis_client.replicaof("127.0.0.1", own_server.port)
        second = until_true(
            lambda: pacer.settle("tea", "r2", 5, replicas=1), "acknowledged"
        )
        again = pacer.settle("tea", "r1", 5, replicas=1)
        two = pacer.settle("tea", "r1", 5, replicas=2, wait=0.05)
        spend = replica.get_key("campaign_spend", campaign_id="tea")
        seen = replica.redis_client.hget(spend, "spent")

    assert second.acknowledged
    assert (True, True, 5000) == (again.duplicate, again.acknowledged, again.cost)
    assert False is two.acknowledged
    assert "10000" == seen


@pytest.mark.parametrize("backend", ["redis", "redis-8.2", "valkey-8.1"])
def test_a_hung_replica_is_not_counted(backend):
    """It does not answer: False, also for a duplicate; the cost is recorded."""
    binary = need_binary(backend)
    with LocalServer(binary) as server, LocalServer(binary) as copy:
        cache = connect(server.url)
        store(cache, campaign(end_date=LATER))
        pacer, client = BudgetPacer(cache), connect(copy.url).redis_client
        client.replicaof("127.0.0.1", server.port)
        pacer.reserve("tea", "r1", 5)
        until_true(lambda: pacer.settle("tea", "r1", 5, replicas=1), "acknowledged")
        pacer.reserve("tea", "r2", 5)
        process = client.info("server")["process_id"]
        os.kill(process, signal.SIGSTOP)
        try:
            hung = pacer.settle("tea", "r2", 5, replicas=1, wait=0.1)
            other = BudgetPacer(connect(server.url))  # a line without writes
            again = other.settle("tea", "r2", 5, replicas=1, wait=0.1)
        finally:
            os.kill(process, signal.SIGCONT)
        back = pacer.settle("tea", "r2", 5, replicas=1, wait=0.9)

    assert (True, False, False) == (hung.counted, hung.duplicate, hung.acknowledged)
    assert (True, False) == (again.duplicate, again.acknowledged)
    assert (True, True, True) == (back.counted, back.duplicate, back.acknowledged)


def until_true(call, attribute):
    """Repeat a call until its answer says so; a new replica takes its time."""
    for _ in range(100):
        answer = call()
        if getattr(answer, attribute):
            return answer
    return answer


def test_the_fake_cannot_tell_about_replicas():
    """It has none: counted, and None instead of a made-up answer."""
    cache = connect("fakeredis://replicas", namespace="r", clock=ManualClock())
    store(cache, campaign())
    pacer = BudgetPacer(cache)
    pacer.reserve("tea", "r1", 5)
    billed = pacer.settle("tea", "r1", 5, replicas=1)

    assert (True, None) == (billed.counted, billed.acknowledged)


def test_a_cluster_waits_for_the_replica_of_the_slot():
    """WAIT travels to the primary that has the campaign."""
    with LocalCluster(need_binary("cluster"), replicas=1) as nodes:
        cache = connect(nodes.url)
        pacer = BudgetPacer(cache)
        for name in ("tea", "coffee", "milk"):
            store(cache, campaign(name, end_date=LATER))
            pacer.reserve(name, "r1", 5)
            billed = pacer.settle(name, "r1", 5, replicas=1)
            more = pacer.settle(name, "r1", 5, replicas=2, wait=0.05)
            assert (False, True) == (billed.duplicate, billed.acknowledged)
            assert (True, False) == (more.duplicate, more.acknowledged)


def test_a_full_server_still_settles_what_was_reserved(own_server):
    """Out of memory: no new bids, but bills, late ones too, and losses are recorded."""
    cache = connect(own_server.url)
    store(cache, campaign(end_date=LATER))
    pacer = BudgetPacer(cache)
    for name in ("r1", "r2", "r3"):
        pacer.reserve("tea", name, 5)
    pacer.release("tea", "r3")
    cache.redis_client.config_set("maxmemory", 1)

    with pytest.raises(CommandRefused, match="maxmemory"):
        pacer.reserve("tea", "r4", 5)
    with pytest.raises(CommandRefused, match="maxmemory"):
        charge(cache, "tea", 1)
    assert 5000 == pacer.settle("tea", "r1", 5).cost
    assert pacer.release("tea", "r2")
    assert pacer.settle("tea", "r3", 5).late
    assert (10_000, 0) == (pacer.status("tea").spent, pacer.status("tea").reserved)
