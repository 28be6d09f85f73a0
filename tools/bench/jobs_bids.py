"""Bids: one, and a hundred in a call, to an auction that is open.

Each single bid is a little higher than all before it: it leads, so every design
has to write. Of a hundred in a call a few lead.
"""

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

from adcache import RealTimeBiddingCache, RedisAdCache, connect
from adcache.course.naive import Naive
from tools.bench.measure import BARE, OURS, Absent, Contender, Job, Run, each
from tools.bench.replay import bare, plain, recorded, same_script

AUCTIONS = [f"auction_{n}_" for n in range(200)]
HUNDRED = [(f"campaign_{n}", 1 + n * 37 % 100 / 100) for n in range(100)]
ONE, BATCH = "bid", "bid, a hundred in a call"

Found = Iterator[Contender | Absent]
_micros = count(2_500_000)  # CPM; a price is never used twice


def open_auctions(url: str) -> None:
    """Open them for longer than the run takes."""
    cache = connect(url)
    auctions, naive = RealTimeBiddingCache(cache), Naive(cache)
    for name in AUCTIONS:
        auctions.create_auction(name, 0.5, ttl=36_000)
        naive.create_auction(name, 0.5)


def rising(submit: Callable[[str, str, float], Any]) -> Run:
    """Bid in one auction after the other, a micro more each time."""

    def bid(name: str) -> None:
        submit(name, "sneakers", next(_micros) / 1e6)

    return each(bid, AUCTIONS)


def same_script_rising(url: str) -> Run:
    """Our script through redis-py's `evalsha`, with a price of its own each time."""
    cache, client = connect(url), bare(url)
    auctions = RealTimeBiddingCache(cache)
    auctions.submit_bid(AUCTIONS[0], "sneakers", 1.0)
    ((command,),) = recorded(
        cache, lambda: auctions.submit_bid(AUCTIONS[0], "sneakers", 1.0)
    )
    _, sha, count_of_keys, key, now, bidder, campaign, _, deal = command
    keys = [key.replace(AUCTIONS[0], name) for name in AUCTIONS]

    def bid(key: str) -> None:
        price = next(_micros)
        client.evalsha(sha, count_of_keys, key, now, bidder, campaign, price, deal)

    return each(bid, keys)


def crowd(cache: RedisAdCache) -> Callable[[str], Any]:
    """Return a function that sends a hundred bids."""
    auctions = RealTimeBiddingCache(cache)
    return lambda name: auctions.submit_many(name, HUNDRED)


def one_bid(url: str) -> Found:
    """Submit a bid that leads."""
    yield Contender(OURS, rising(RealTimeBiddingCache(connect(url)).submit_bid))
    yield Contender("naive", rising(Naive(plain(url)).submit_bid))
    yield Contender(BARE, same_script_rising(url))


def hundred_bids(url: str) -> Found:
    """Submit a hundred: figures are those of one bid."""
    cache = connect(url)
    yield Contender(OURS, each(crowd(connect(url)), AUCTIONS), per=100)
    yield Contender(BARE, same_script(url, cache, crowd(cache), AUCTIONS), per=100)


JOBS = [Job(ONE, open_auctions, one_bid), Job(BATCH, open_auctions, hundred_bids)]
