"""One OpenRTB bid request from bytes to a bid, with ten candidates and 10,000.

Every call is a request of its own id, so nothing is answered from memory. What
our bids hold is given back after each slice, outside of the time, as the loss
notices of an exchange would do: the state stays as it is.
"""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count, cycle
from typing import Any

from adcache import CampaignData, connect, encode_bid_response
from adcache.adserver import AdServer
from adcache.campaigns import CampaignCache
from adcache.course.naive import Naive
from adcache.course.naive_adserver import NaiveAdServer
from adcache.creatives import CreativeCache
from adcache.models import Creative, UserProfile
from adcache.profiles import UserProfileCache
from adcache.sample_requests import sample_request
from adcache.sessions import SessionManager
from adcache.targeting import SessionTargeting
from tools.bench.measure import BARE, OURS, Absent, Contender, Job
from tools.bench.replay import bare, plain, recorded, same_trips

TEN, MANY = "ad decision, 10 campaigns", "ad decision, 10,000 campaigns"
NEAR = "adcache, near cache"
USERS = [f"user_{n}" for n in range(100)]
NAMESPACES = {TEN: "ten", MANY: "many"}

Found = Iterator[Contender | Absent]


def campaign(number: int) -> CampaignData:
    """One of the candidates: all are for sports fans everywhere, on other bids."""
    now = datetime.now(UTC)
    return CampaignData(
        campaign_id=f"campaign_{number}",
        advertiser_id=f"advertiser_{number}",
        budget=1_000_000,
        spent=0,
        bid_price=2 + number * 7919 % 10_000 / 10_000,
        targeting={"interests": ["sports"], "locations": ["all"]},
        status="active",
        start_date=now - timedelta(days=1),
        end_date=now + timedelta(days=30),
        caps=[(1_000_000, 86_400)],
        creatives=[f"ad_{number}"],
        adomain=["sneakers.example"],
        cat=["IAB17"],
    )


def creative(number: int) -> Creative:
    """A banner for it."""
    return Creative(
        creative_id=f"ad_{number}",
        campaign_id=f"campaign_{number}",
        format="banner",
        markup="<a href='https://sneakers.example/'><img src='ad.webp'></a>",
        w=300,
        h=250,
    )


def prepare(job: str, campaigns: int) -> Callable[[str], None]:
    """Return what stores users, sessions, campaigns and ads, in both designs."""

    def store(url: str) -> None:
        cache = connect(url, namespace=NAMESPACES[job])
        naive, sessions = Naive(cache), SessionManager(cache)
        ours, ads, profiles = (
            CampaignCache(cache),
            CreativeCache(cache),
            UserProfileCache(cache),
        )
        intent = SessionTargeting(cache, ttl=36_000)
        for number in range(campaigns):
            made, ad = campaign(number), creative(number)
            if job == TEN or made.bid_price > 2.9:  # the others never win
                ads.set_creative(ad, ttl=36_000)
            ours.set_campaign(made, ttl=36_000)
            ours.index_campaign_targeting(made.campaign_id, made.targeting, [ad])
            if job == TEN:
                naive.set_campaign(made, ttl=36_000)
                naive.set_creative(ad, ttl=36_000)
        for user in USERS:
            profile = UserProfile(
                user_id=user,
                interests=["sports"],
                demographics={"age": 28},
                behavior_score=75.5,
                last_activity=datetime.now(UTC),
                segment="regular",
            )
            visitor = {"user_id": user, "interests": ["sports"]}
            profiles.set_user_profile(profile, ttl=36_000)
            naive.set_user_profile(profile, ttl=36_000)
            sessions.create_session(f"s-{user}", visitor, ttl=36_000)
            naive.create_session(f"s-{user}", visitor, ttl=36_000)
            intent.record(f"s-{user}", {"sports": 3})

    return store


_numbers = count()  # request ids are never used twice


def requests() -> Iterator[bytes]:
    """Yield bid requests of all users in turn, as an exchange sends them."""
    request = sample_request("mobile_news")
    request["site"]["keywords"] = "sports"
    request |= {"id": "@id", "tmax": 10_000}
    request["user"] = {"buyeruid": "@user", "ext": {"session_id": "s-@user"}}
    template = json.dumps(request).replace("@user", "%(user)s").replace("@id", "r%(n)d")
    for user in cycle(USERS):
        yield (template % {"user": user, "n": next(_numbers)}).encode()


class Decider:
    """Our ad server on one connection; what it holds is given back by `tidy`."""

    def __init__(self, url: str, job: str, near: bool = False) -> None:
        self.server = AdServer(connect(url, namespace=NAMESPACES[job]), near=near)
        self._requests = requests()
        self._bids: list[str] = []
        if self.server.near and not self.server.near.wait_until_on():
            raise RuntimeError(f"the near cache is {self.server.near.state}")

    def run(self, calls: int) -> None:
        """Decide on so many requests, bytes to bytes; each must get its bid."""
        for _ in range(calls):
            response = self.server.handle(next(self._requests))
            encode_bid_response(response)  # type: ignore[arg-type]
            self._bids.append(response.seatbid[0].bid[0].id)  # type: ignore[union-attr]

    def tidy(self) -> None:
        """Tell that all of the bids were lost."""
        while self._bids:
            self.server.loss(self._bids.pop())


class NaiveDecider:
    """The naive composition, bytes to text; `tidy` forgets whom it has shown ads.

    Else it would soon have fewer than ten candidates, and in the end none.
    """

    def __init__(self, url: str) -> None:
        self.server = NaiveAdServer(plain(url, NAMESPACES[TEN]))
        self._requests = requests()
        key = self.server.naive.key
        self._caps = [key("cap", u, f"campaign_{n}") for u in USERS for n in range(10)]

    def run(self, calls: int) -> None:
        """Decide on so many requests; each must get its bid."""
        for _ in range(calls):
            if self.server.handle(next(self._requests)) is None:
                raise RuntimeError("the naive ad server makes no bid")

    def tidy(self) -> None:
        """Remove all counts of impressions."""
        self.server.naive.client.delete(*self._caps)


class Replay:
    """The same commands through redis-py, a pipeline a trip; nothing is read."""

    def __init__(self, url: str) -> None:
        decider = Decider(url, TEN)
        decider.run(1)
        raw = next(requests())
        ask = decider.server.handle
        self._trips = recorded(decider.server.cache, lambda: ask(raw))
        self._id = str(json.loads(raw)["id"])
        self._bid = str(ask(raw).seatbid[0].bid[0].id)  # type: ignore[union-attr]
        self._server, self._client = decider.server, bare(url)
        self._made: list[str] = [self._id]
        decider.tidy()

    def run(self, calls: int) -> None:
        """Send the trips, with a request id of its own each time."""
        old = self._id
        for _ in range(calls):
            new = f"r{next(_numbers)}"
            same_trips(
                self._client,
                [[_renamed(c, old, new) for c in trip] for trip in self._trips],
            )
            self._made.append(new)

    def tidy(self) -> None:
        """Give back what the replayed bids hold."""
        while self._made:
            self._server.loss(self._bid.replace(self._id, self._made.pop()))


def _renamed(command: tuple[Any, ...], old: str, new: str) -> tuple[Any, ...]:
    return tuple(
        part.replace(old, new) if isinstance(part, str) and old in part else part
        for part in command
    )


def ten(url: str) -> Found:
    """Decide among ten campaigns."""
    for name, near in (OURS, False), (NEAR, True):
        decider = Decider(url, TEN, near)
        yield Contender(name, decider.run, tidy=decider.tidy)
    naive = NaiveDecider(url)
    yield Contender("naive", naive.run, tidy=naive.tidy)
    replay = Replay(url)
    yield Contender(BARE, replay.run, tidy=replay.tidy)


def many(url: str) -> Found:
    """Decide among ten thousand; the naive design would need 20,000 trips."""
    for name, near in (OURS, False), (NEAR, True):
        decider = Decider(url, MANY, near)
        yield Contender(name, decider.run, tidy=decider.tidy)


JOBS = [Job(TEN, prepare(TEN, 10), ten), Job(MANY, prepare(MANY, 10_000), many)]
