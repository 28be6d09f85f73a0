"""Attacks on leases and erasure: lossy lines, racing processes, killed programs."""

import multiprocessing
import random
import threading
import time
from typing import Any

import pytest

from adcache import (
    Cap,
    FrequencyCapManager,
    SessionManager,
    UserProfileCache,
    connect,
)
from adcache.privacy import UserPrivacy
from adcache.privacy_search import Search
from tests.test_attacks import LOST, until_answered
from tests.test_privacy import fill, profile
from tools.soak.lossy import LossyProxy

SERVERS = ["redis", "redis-8.2", "valkey-8.1", "cluster"]
PROCESSES, TRIES, LIMIT = 4, 120, 30
CAPS = [Cap(LIMIT, 3600), Cap(1_000_000, 86400)]


def test_on_a_lossy_line_each_impression_counts_once(own_server):
    """Every call repeated until answered: what was confirmed is what is counted."""
    proxy = LossyProxy(own_server.port, LOST)
    caps = FrequencyCapManager(connect(proxy.url))
    many = [Cap(1_000_000, 3600), Cap(1_000_000, 86400)]
    shown: list[int] = []

    def serve(worker: int) -> None:
        confirmed = 0
        for number in range(60):
            name = f"{worker}-{number}"
            chosen = until_answered(
                lambda n=name: caps.lease_best("u", [[("c", many)]], n, 600)
            )
            assert ["c"] == chosen
            if number % 3:
                until_answered(lambda n=name: caps.confirm("u", "c", n))
                confirmed += 1
            else:
                until_answered(lambda n=name: caps.release("u", "c", n))
        shown.append(confirmed)

    threads = [threading.Thread(target=serve, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    proxy.close()
    seen = FrequencyCapManager(connect(own_server.url))

    assert proxy.lost > 5
    assert [40] * 4 == shown
    assert [160, 160] == [
        seen.peek("u", "c", cap.limit, cap.window).count for cap in many
    ]


def bid(url: str, number: int, results: Any) -> None:
    """Lease, win, lose, forget and count at random; report what was shown."""
    cache, luck = connect(url, namespace="lease-race"), random.Random(number)
    caps, shown, most = FrequencyCapManager(cache), 0, 0
    for n in range(TRIES):
        lease, fate = f"{number}-{n}", luck.random()
        if fate < 0.2:
            shown += bool(caps.check_frequency_cap("u", "c", LIMIT, 3600))
        elif caps.lease("u", {"c": CAPS}, lease, ttl=0.05 if fate < 0.4 else 600)["c"]:
            if fate < 0.7:
                assert caps.release("u", "c", lease) or fate < 0.4
            else:
                shown += caps.confirm("u", "c", lease).counted
        most = max(most, caps.peek("u", "c", caps=CAPS[:1]).count)
    results.put((shown, most))


@pytest.mark.parametrize("backend", SERVERS)
def test_racing_processes_never_lease_beyond_the_cap(server_url, make_cache, backend):
    """Confirmed, counted and open together: never more than the limit, at last all."""
    cache = make_cache(backend, namespace="lease-race")
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    racers = [
        context.Process(target=bid, args=(server_url(backend), number, results))
        for number in range(PROCESSES)
    ]
    for racer in racers:
        racer.start()
    reports = [results.get(timeout=90) for _ in racers]
    for racer in racers:
        racer.join()
    caps = FrequencyCapManager(cache)

    assert max(most for _, most in reports) <= LIMIT
    shown = sum(shown for shown, _ in reports)
    assert shown <= LIMIT
    taken = caps.peek("u", "c", caps=CAPS[:1]).count
    assert shown <= taken <= LIMIT
    while caps.check_frequency_cap("u", "c", LIMIT, 3600):
        shown += 1
    assert LIMIT == shown


def write_for_ever(url: str) -> None:
    """Store a user over and over, until killed."""
    cache, number = connect(url, namespace="erase-race"), 0
    while True:
        number += 1
        UserProfileCache(cache).set_user_profile(profile(segment=f"g{number % 5}"))
        SessionManager(cache).create_session(None, {"user_id": "ada"})
        FrequencyCapManager(cache).lease("ada", {"c": CAPS}, f"l{number}")


@pytest.mark.parametrize("backend", SERVERS)
def test_writers_killed_in_the_midst_of_an_erasure(server_url, make_cache, backend):
    """Programs that write the user, and die at any point, leave nothing behind."""
    cache = make_cache(backend, namespace="erase-race")
    context = multiprocessing.get_context("spawn")
    writers = [
        context.Process(target=write_for_ever, args=(server_url(backend),))
        for _ in range(2)
    ]
    for writer in writers:
        writer.start()
    deadline = time.monotonic() + 60
    while len(SessionManager(cache).session_ids("ada")) < 20:
        assert time.monotonic() < deadline
    writers[0].kill()
    proof = UserPrivacy(cache).erase_user("ada")
    writers[1].kill()
    for writer in writers:
        writer.join()
    again = UserPrivacy(cache).erase_user("ada")

    assert proof.removed["sessions"] >= 15  # some were listed and not begun yet
    assert again
    assert {} == again.removed
    assert {} == dict(+Search(cache, "ada").run(1_000_000).removed)


def test_an_erasure_over_a_lossy_line_is_repeated_until_it_is_done(own_server):
    """Cut again and again, it is run again and again; the last one proves it."""
    proxy = LossyProxy(own_server.port, LOST)
    direct, lossy = connect(own_server.url), connect(proxy.url)
    for round_ in range(12):
        user = f"ada{round_}"
        fill(direct, user)
        proof = until_answered(lambda u=user: UserPrivacy(lossy).erase_user(u))
        assert proof.complete
        assert {} == dict(+Search(direct, user).run(1_000_000).removed)
    proxy.close()

    assert proxy.lost > 3
