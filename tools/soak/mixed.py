"""Many processes, all components at once: does any rule break?

Each process does what servers of a platform do, in random order: caps, leases,
reservations, bids, events, profiles, sessions. What it was told is added up and
compared with what Redis has in the end.
"""

import multiprocessing
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from adcache import (
    AdServer,
    BudgetPacer,
    Cap,
    FrequencyCapManager,
    PerformanceStatsCache,
    RealTimeBiddingCache,
    RedisAdCache,
    RedisUnavailable,
    SessionManager,
    UserProfileCache,
    connect,
)
from adcache.adserver_answer import NBR_TECHNICAL
from adcache.money import to_micros
from adcache.simulate import sample_request
from tools.soak.stage import AUCTIONS, CAMPAIGNS, USERS, Scale

PATIENCE = 60.0  # seconds until a server is given up
LARGEST = {("pause ms",)}  # of these the largest of all processes counts

Report = Counter[tuple[str, ...]]


def until_told(call: Callable[[], Any], report: Report) -> Any:
    """Repeat a call, which its id makes safe, until Redis answers."""
    started = time.monotonic()
    while True:
        try:
            answer = call()
        except RedisUnavailable:
            report["unanswered",] += 1
            if time.monotonic() - started > PATIENCE:
                raise
            time.sleep(0.002)
        else:
            waited = int((time.monotonic() - started) * 1000)
            report["pause ms",] = max(report["pause ms",], waited)
            return answer


class Worker:
    """One process of the platform; `report` counts what it was told."""

    def __init__(self, cache: RedisAdCache, number: int, scale: Scale) -> None:
        self.limit = scale.limit
        self.leased_caps = (Cap(scale.leased_limit, 36_000),)
        self.caps = FrequencyCapManager(cache)
        self.budget = BudgetPacer(cache, lease=3600)
        self.auctions = RealTimeBiddingCache(cache)
        self.stats = PerformanceStatsCache(cache)
        self.profiles = UserProfileCache(cache)
        self.sessions = SessionManager(cache)
        self.server = AdServer(cache, lease=3600, network=0.001)
        self.number = number
        self.luck = random.Random(number)  # noqa: S311 - repeatable on purpose
        self.report: Report = Counter()

    def run(self, operations: int) -> Report:
        """Do so many operations, each of a kind that chance picks."""
        kinds = (
            *(self.cap, self.lease, self.money, self.bid),
            *(self.event, self.activity, self.session, self.serve),
        )
        for n in range(operations):
            self.luck.choice(kinds)(f"{self.number}-{n}")
        self._told(self.server.close)  # gives back what was held in vain
        return self.report

    def cap(self, name: str) -> None:
        """One impression under a cap."""
        user, campaign = self.luck.choice(USERS), self.luck.choice(CAMPAIGNS)
        served = self._told(
            lambda: self.caps.check_frequency_cap(
                user, campaign, self.limit, 36_000, impression_id=name
            )
        )
        self.report["cap", user, campaign] += bool(served)

    def lease(self, name: str) -> None:
        """A place at the bid; most are confirmed, some given back, some forgotten."""
        user, campaign = (
            self.luck.choice(USERS),
            "leased " + self.luck.choice(CAMPAIGNS),
        )
        held = self._told(
            lambda: self.caps.lease(user, {campaign: self.leased_caps}, name, ttl=3600)
        )[campaign]
        if not held:
            return
        fate = self.luck.random()
        if fate < 0.6:
            done = self._told(lambda: self.caps.confirm(user, campaign, name))
            self.report["confirmed", user, campaign] += 1
            self.report["over cap",] += done.over_cap
        elif fate < 0.9:
            self._told(lambda: self.caps.release(user, campaign, name))
        else:
            self.report["open", user, campaign] += 1

    def money(self, name: str) -> None:
        """A reservation; most are billed, some given back, some forgotten."""
        campaign = self.luck.choice(CAMPAIGNS)
        price = self.luck.randrange(1_000_000, 5_000_000) / 1e6
        held = self._told(lambda: self.budget.reserve(campaign, name, price))
        if not held:
            return
        fate = self.luck.random()
        if fate < 0.6:
            clearing = round(price * self.luck.random(), 6)
            self._told(lambda: self.budget.settle(campaign, name, clearing))
            self.report["thousandths", campaign] += to_micros(clearing)
            self.report["settled",] += 1
        elif fate < 0.95:
            self._told(lambda: self.budget.release(campaign, name))
        else:
            self.report["reserved", campaign] += held.amount

    def bid(self, _: str) -> None:
        """A bid of this process; its best in each auction is kept."""
        auction, price = self.luck.choice(AUCTIONS), self.luck.randrange(100, 10**6)
        self._told(
            lambda: self.auctions.submit_bid(auction, f"p{self.number}", price / 1e4)
        )
        best = self.report["bid", auction, f"p{self.number}"]
        self.report["bid", auction, f"p{self.number}"] = max(best, price)

    def event(self, name: str) -> None:
        """An impression that two processes report, with one id."""
        campaign, pair = self.luck.choice(CAMPAIGNS), self.number // 2
        event = f"{pair}-{name.partition('-')[2]}"
        values = {"impressions": 1, "cost": 0.001}
        counted = self._told(
            lambda: self.stats.record_event(campaign, values, event_id=event)
        )
        self.report["event", campaign] += bool(counted)
        self.report[f"id {campaign}", event] += 1

    def activity(self, name: str) -> None:
        """A point for a user's score."""
        user = self.luck.choice(USERS)
        self._told(
            lambda: self.profiles.update_user_activity(
                user, {"score_delta": 1}, activity_id=name
            )
        )
        self.report["score", user] += 1

    def session(self, name: str) -> None:
        """A session that begins, is touched, and sometimes ends."""
        user = self.luck.choice(USERS)
        self._told(lambda: self.sessions.create_session(name, {"user_id": user}))
        if self.luck.random() < 0.5:
            self._told(lambda: self.sessions.delete_session(name))
        alive = self._told(lambda: self.sessions.update_session_activity(name))
        gone = self._told(lambda: self.sessions.get_session(name)) is None
        self.report["resurrected",] += alive and gone

    def serve(self, name: str) -> None:
        """A bid request; most bids are billed, some lost, some never heard of."""
        user = self.luck.choice(USERS)
        asked = sample_request("mobile_news") | {"id": name, "regs": {"gdpr": 0}}
        asked |= {"user": {"buyeruid": user}, "tmax": 60_000}
        decision = self.server.decide(asked)
        started = time.monotonic()
        while decision.nbr == NBR_TECHNICAL and time.monotonic() - started < PATIENCE:
            self.report["unanswered",] += 1  # the exchange asks again
            time.sleep(0.002)
            decision = self.server.decide(asked)
        response = decision.response
        for bid in response.seatbid[0].bid if response else []:
            campaign, fate = str(bid.cid), self.luck.random()
            if fate < 0.7:
                price = round(bid.price * self.luck.random(), 6)
                self._told(partial(self.server.billing, bid.id, price))
                self.report["thousandths", campaign] += to_micros(price)
                self.report["confirmed", user, campaign] += 1
            elif fate < 0.95:
                self._told(partial(self.server.loss, bid.id))
            else:
                self.report["reserved", campaign] += -(-to_micros(bid.price) // 1000)
                self.report["open", user, campaign] += 1

    def _told(self, call: Callable[[], Any]) -> Any:
        return until_told(call, self.report)


def add_up(reports: Iterable[Report]) -> Report:
    """Join what all workers were told."""
    total: Report = Counter()
    for report in reports:
        for key, count in report.items():
            largest = max(total[key], count)
            total[key] = largest if key in LARGEST else total[key] + count
    return total


def run(
    url: str,
    namespace: str,
    processes: int,
    operations: int,
    scale: Scale,
    offset: float = 0.0,
) -> Report:
    """Let processes loose on a server; what they were told, added up.

    `offset` is by how many seconds the clock of every second one is wrong.
    """
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    workers = [
        context.Process(
            target=_work,
            args=(url, namespace, n, operations, scale, results, offset * (n % 2)),
        )
        for n in range(processes)
    ]
    for worker in workers:
        worker.start()
    total = add_up(results.get(timeout=1800) for _ in workers)
    for worker in workers:
        worker.join()
    return total


def _work(
    url: str,
    namespace: str,
    number: int,
    operations: int,
    scale: Scale,
    results: Any,
    offset: float,
) -> None:
    if offset:
        true_time = time.time
        time.time = lambda: true_time() + offset
    cache = connect(url, namespace=namespace)
    results.put(Worker(cache, number, scale).run(operations))
    cache.close()
