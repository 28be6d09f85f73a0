"""What the design settles, one test by the name of each decision.

Caps, money, second price, consent, durable keys, and the order in which keys of
different slots are written: a process may die after any of its commands.
"""

import contextlib
import string
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import redis

from adcache import (
    AdServer,
    AuctionDeal,
    BudgetPacer,
    CacheMonitor,
    CampaignCache,
    Cap,
    CommandRefused,
    FrequencyCapManager,
    ManualClock,
    PerformanceStatsCache,
    RealTimeBiddingCache,
    RedisAdCache,
    RedisUnavailable,
    SessionManager,
    UserProfileCache,
    connect,
)
from adcache.keys import KEYS
from adcache.simulate import SAMPLES, campaigns
from tests.adserver_help import put, request, stage
from tests.budget_help import campaign, store
from tests.conftest import all_keys, keys_without_ttl
from tests.test_profiles import profile

ONE_AN_HOUR = [(1, 3600)]
CAP = [Cap(1, 3600)]
# What losing it loses money, counts or writes: nothing else may live for ever.
DURABLE = {
    *("campaign_spend", "budget_leases", "budget_ledger"),
    *("write_queue", "write_order", "write_due", "write_versions"),
}


@pytest.fixture
def stand(make_cache, backend):
    """Make caches of their own with the cast, its best campaign once an hour."""

    def make() -> RedisAdCache:
        cache = make_cache(backend, clock=ManualClock())
        stage(cache)
        put(cache, replace(campaigns(6)[5], caps=ONE_AN_HOUR))
        return cache

    return make


@pytest.fixture
def empty_cache(make_cache, backend):
    """Make caches of their own, with nothing on them."""
    return lambda: make_cache(backend, clock=ManualClock())


def bid_of(server, **changes):
    """The only bid of a decision."""
    return server.handle(request(**changes)).seatbid[0].bid[0]


def money(cache, name="holiday"):
    """Micros spent and reserved."""
    status = BudgetPacer(cache).status(name)
    return status.spent, status.reserved


def peek(cache):
    """Whether ada may see the holiday now."""
    return FrequencyCapManager(cache).peek("ada", "holiday", caps=CAP)


# Caps count impressions, not bids: a place is leased, then confirmed or given back.


def test_semantics_caps_are_leased_at_bid(stand):
    """From the bid on the place is taken for every check, and yet not counted."""
    cache = stand()
    assert "holiday" == bid_of(AdServer(cache)).cid

    assert not peek(cache)
    assert 1 == FrequencyCapManager(cache).peek("ada", "holiday", 9, 3600).count
    key = cache.get_key("frequency_cap", user_id="ada", campaign_id="holiday")
    windows = [f for f in cache.redis_client.hkeys(key) if f"{f}".endswith(":3600")]
    assert [] == windows, "counted at the bid"


def test_semantics_caps_are_confirmed_at_billing(stand):
    """The window opens when the impression is billed, and opens once."""
    cache = stand()
    server = AdServer(cache)
    bid = bid_of(server)
    cache.clock.advance(200)
    assert server.win(bid.id)
    assert server.billing(bid.id, bid.price)
    assert not server.billing(bid.id, bid.price)

    cache.clock.advance(3599.999)
    assert not peek(cache), "the window began at the bid"
    cache.clock.advance(0.001)
    assert peek(cache)


def test_semantics_caps_come_back_after_a_loss_and_a_time_out(stand):
    """A lost bid and a silent one take no place from the next."""
    cache = stand()
    server = AdServer(cache)
    assert server.loss(bid_of(server).id)
    assert peek(cache)
    bid = bid_of(server, id="silent")
    cache.clock.advance(bid.exp + 30)
    assert peek(cache)
    assert (0, 0) == money(cache)


# Budget: reserve, keep, settle, release; a real cost is always recorded.


def test_semantics_reservations_stay_within_the_budget(timed_cache):
    """Reserved money is as good as spent: the last impression must fit whole."""
    store(timed_cache, campaign(budget=0.012))  # two impressions at a CPM of 5
    pacer = BudgetPacer(timed_cache)
    held = [bool(pacer.reserve("tea", f"r{n}", 5)) for n in range(3)]
    assert pacer.release("tea", "r0")

    assert [True, True, False] == held
    assert pacer.reserve("tea", "r4", 5)
    status = pacer.status("tea")
    assert (0, 10_000, 0) == (status.spent, status.reserved, status.overrun)


def test_semantics_a_late_cost_is_recorded_as_overrun_and_reported_apart(
    timed_cache, clock
):
    """The bill comes after the lease, and its money was spent by another."""
    store(timed_cache, campaign(budget=0.01))
    pacer = BudgetPacer(timed_cache, lease=300)
    pacer.reserve("tea", "late", 5)
    clock.advance(300)
    for name in ("a", "b"):
        assert pacer.reserve("tea", name, 5)
        assert pacer.settle("tea", name, 5)
    bill = pacer.settle("tea", "late", 5)

    assert (True, 5000, 5000, True) == (
        bill.counted,
        bill.cost,
        bill.overrun,
        bill.late,
    )
    status = pacer.status("tea")
    assert (15_000, 0, 5000) == (status.spent, status.reserved, status.overrun)
    assert status.spent + status.reserved <= 10_000 + status.overrun
    assert not pacer.reserve("tea", "more", 0.001)
    assert pacer.settle("tea", "late", 5).duplicate
    assert 15_000 == pacer.status("tea").spent


# Second price: the best bid of a different bidder; a lone bid pays the floor.


def test_semantics_the_second_price_is_a_different_bidders(cache):
    """A bidder's own second bid, or second campaign, does not raise its price."""
    auctions = RealTimeBiddingCache(cache)
    auctions.create_auction("a", 1)
    auctions.submit_bid("a", "shoes", 9, bidder_id="sport")
    auctions.submit_bid("a", "socks", 8, bidder_id="sport")
    auctions.submit_bid("a", "shoes", 7, bidder_id="sport")
    auctions.submit_bid("a", "tea", 3, bidder_id="teahouse")
    result = auctions.close_auction("a")

    assert ("shoes", 9, 3) == (
        result["campaign_id"],
        result["winning_bid"],
        result["clearing_price"],
    )


@pytest.mark.parametrize(("floor", "bid"), [(1.25, 9), (0, 9), (2, 2)])
def test_semantics_a_lone_bid_pays_the_floor(cache, floor, bid):
    """Nobody else bids: the floor is the price, be it 0."""
    auctions = RealTimeBiddingCache(cache)
    auctions.create_auction("a", floor)
    for campaign_id in ("shoes", "socks"):
        auctions.submit_bid("a", campaign_id, bid, bidder_id="sport")

    assert floor == auctions.close_auction("a")["clearing_price"]


def test_semantics_a_fixed_price_is_the_deals(cache):
    """`at` 3 of a deal: its floor is the price that was agreed."""
    auctions = RealTimeBiddingCache(cache)
    auctions.create_auction("a", 1, deals=[AuctionDeal(id="d", floor=4, at=3)])
    auctions.submit_bid("a", "tea", 9, deal_id="d")

    assert 4 == auctions.close_auction("a")["clearing_price"]


# Consent: without a basis nothing of a person is read or written.

PHONE = SAMPLES["mobile_news"]["device"]
FLAGS = {
    "coppa": {"regs": {"coppa": 1}},
    "gdpr without consent": {"regs": {"gdpr": 1}},
    "gdpr of OpenRTB 2.5": {"regs": {"ext": {"gdpr": 1}}},
    "a consent that cannot be read": {
        "regs": {"gdpr": 1},
        "user": SAMPLES["mobile_news"]["user"] | {"consent": "nonsense"},
    },
    "gpp without its string": {"regs": {"gpp": "", "gpp_sid": [2]}},
    "lmt": {"regs": {"gdpr": 0}, "device": PHONE | {"lmt": 1}},
    "dnt": {"regs": {"gdpr": 0}, "device": PHONE | {"dnt": 1}},
}


@pytest.mark.parametrize("flags", FLAGS)
def test_semantics_consent_flags_are_honoured(stand, flags):
    """No key of the user is read or written, and no capped ad can be shown."""
    cache = stand()
    touched: list[str] = []
    cache.wire.observer = lambda pairs, _: touched.extend(
        f"{word}" for command, _ in pairs for word in command
    )
    decision = AdServer(cache).decide(request(**FLAGS[flags]))
    cache.wire.observer = None

    assert decision.contextual
    assert "holiday" not in str(decision.response)
    assert [] == [word for word in touched if "ada" in cache.keys.strip(word)]


# Durable keys: the list in keys.py, what it means, and what their loss costs.


def test_semantics_durable_keys_are_those_of_the_list():
    """Money, leases, the ledger and queued writes; all else is cache."""
    assert {name for name, key in KEYS.items() if key.durable} == DURABLE


@pytest.mark.parametrize("name", sorted(KEYS))
def test_semantics_the_ttl_gate_knows_the_list(timed_cache, name):
    """Tests and monitor pass a durable key without a TTL, and name any other."""
    parts = string.Formatter().parse(KEYS[name].template)
    ids = {part: "x" for _, part, _, _ in parts if part}
    key = timed_cache.get_key(name, **ids)
    timed_cache.redis_client.set(key, "forgotten")
    reported = CacheMonitor(timed_cache).keys_without_ttl().keys
    gate = keys_without_ttl(timed_cache)
    timed_cache.redis_client.delete(key)

    assert ([] if name in DURABLE else [key]) == gate
    assert (name not in DURABLE) == bool(reported)


def test_semantics_durable_keys_want_noeviction(own_server):
    """A full server with noeviction keeps them and refuses new ones; LRU drops them."""
    cache = connect(own_server.url, clock=ManualClock())
    store(cache, campaign())
    pacer, client = BudgetPacer(cache), cache.redis_client
    pacer.reserve("tea", "r1", 5)
    client.config_set("maxmemory-policy", "noeviction")
    client.config_set("maxmemory", 1)
    with pytest.raises(CommandRefused, match="maxmemory"):
        pacer.reserve("tea", "r2", 5)
    assert 5000 == pacer.settle("tea", "r1", 5).cost

    client.config_set("maxmemory-policy", "allkeys-lru")
    with contextlib.suppress(CommandRefused):
        pacer.reserve("tea", "r3", 5)  # makes room, by whatever it finds
    client.config_set("maxmemory", 0)
    spend = cache.get_key("campaign_spend", campaign_id="tea")
    assert not client.exists(spend)
    store_record_only(cache)
    assert "lost" == pacer.reserve("tea", "r4", 5).reason


def store_record_only(cache):
    """The record comes back from the advertisers' tool; the counter does not."""
    data = campaign()
    store(cache, data)
    key = cache.get_key("campaign_spend", campaign_id="tea")
    cache.redis_client.delete(key)


def test_semantics_a_lost_spend_counter_fails_closed(stand):
    """No reservation, no charge, no active campaign, no bid, until it is reseeded."""
    cache = stand()
    store_of, pacer = CampaignCache(cache), BudgetPacer(cache)
    cache.redis_client.delete(cache.get_key("campaign_spend", campaign_id="holiday"))

    assert "lost" == pacer.reserve("holiday", "r", 1).reason
    assert "lost" == store_of.update_campaign_spend("holiday", 1).reason
    assert "lost" == store_of.get_state("holiday").reason
    decision = AdServer(cache).decide(request())
    assert "holiday" not in [b.cid for b in bids_in(decision)]
    key = cache.get_key("campaign_spend", campaign_id="holiday")
    assert not cache.redis_client.exists(key)


def bids_in(decision):
    """All bids of a decision."""
    return decision.response.seatbid[0].bid if decision.response else []


# Cluster write order: a process may die between any two of its commands.


class Death:
    """Lets some more commands through; then the process is gone in mid-call."""

    def __init__(self, cache: RedisAdCache, left: int) -> None:
        self.wire, self.left, self.came = cache.wire, left, False
        self._send, self._send_all = cache.wire._send, cache.wire._send_all
        cache.wire._send = lambda command: self.send([command])[0]
        cache.wire._send_all = self.send

    def send(self, commands):
        """Send what is let through, with the source of scripts; then die."""
        alive = [self.with_source(command) for command in commands[: self.left]]
        self.left -= len(alive)
        replies = self._send_all(alive) if alive else []
        if len(alive) < len(commands):
            self.came = True
            raise redis.ConnectionError("the process died")
        return replies

    def with_source(self, command):
        """No server needs to be taught: that would be one more command."""
        if command[0] != "EVALSHA":
            return command
        return ("EVAL", self.wire.scripts[command[1]], *command[2:])

    def end(self) -> None:
        """Another process goes on, with the same cache object."""
        self.wire._send, self.wire._send_all = self._send, self._send_all


def deaths(
    make: Callable[[], RedisAdCache],
    prepare: Callable[[RedisAdCache], object],
    call: Callable[[RedisAdCache], object],
) -> Iterator[RedisAdCache]:
    """Yield a cache for each point at which the call can die: 0, 1, 2 ... commands."""
    for left in range(30):
        cache = make()
        prepare(cache)
        death = Death(cache, left)
        with contextlib.suppress(RedisUnavailable):
            call(cache)
        death.end()
        if not death.came:
            assert left > 1, "nothing spans two commands here"
            return
        yield cache
    pytest.fail("the call takes more than 30 commands")


def test_semantics_write_order_of_profile_and_segment(empty_cache):
    """The user's list always names every segment that lists the user; a set repairs."""

    def prepare(cache):
        UserProfileCache(cache).set_user_profile(profile(segment="old"))

    def move(cache):
        UserProfileCache(cache).set_user_profile(profile(segment="new"))

    for cache in deaths(empty_cache, prepare, move):
        users = UserProfileCache(cache)
        key = cache.get_key("user_segments_of", user_id="ada")
        noted = cache.redis_client.zrange(key, 0, -1)
        listed = {s for s in ("old", "new") if "ada" in users.get_users_by_segment(s)}
        assert listed <= set(noted), "a segment lists a user who does not know it"
        assert users.get_user_profile("ada").segment in noted

        move(cache)
        assert ([], ["ada"]) == (
            users.get_users_by_segment("old"),
            users.get_users_by_segment("new"),
        )
        assert ["new"] == users.segments_of("ada")


def test_semantics_write_order_of_a_deleted_profile(empty_cache):
    """What a deletion left half done, the next one completes: nothing remains."""

    def prepare(cache):
        users = UserProfileCache(cache)
        users.set_user_profile(profile(segment="readers"))
        users.add_user_to_segment("ada", "vip")

    def delete(cache):
        UserProfileCache(cache).delete_user_profile("ada", everywhere=True)

    for cache in deaths(empty_cache, prepare, delete):
        users = UserProfileCache(cache)
        key = cache.get_key("user_segments_of", user_id="ada")
        noted = cache.redis_client.zrange(key, 0, -1)
        for name in ("readers", "vip"):
            assert "ada" not in users.get_users_by_segment(name) or name in noted

        delete(cache)
        assert [] == all_keys(cache)


CHANGES = {
    "a pause": lambda ads: ads.pause("tea"),
    "another bid": lambda ads: ads.set_campaign(campaign(bid_price=1)),
    "another index": lambda ads: ads.index_campaign_targeting(
        "tea", {"interests": ["music", "art"]}
    ),
    "a deletion": lambda ads: ads.delete_campaign("tea"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_semantics_write_order_of_record_and_index_copies(empty_cache, change):
    """Record first: a copy that is behind reserves no money that the record forbids."""

    def prepare(cache):
        ads = CampaignCache(cache)
        ads.set_campaign(campaign())
        ads.index_campaign_targeting("tea", {"interests": ["sports", "art"]})

    def apply(cache):
        CHANGES[change](CampaignCache(cache))

    whole = empty_cache()
    prepare(whole)
    apply(whole)
    cells = ("sports", "art", "music")
    wanted = [ad_bids(whole, cell) for cell in cells]
    for n, cache in enumerate(deaths(empty_cache, prepare, apply)):
        status = CampaignCache(cache).get_state("tea").reason
        for ad in CampaignCache(cache).get_ads("art"):
            price = ad.bid / 10**6
            held = BudgetPacer(cache).reserve("tea", f"r{n}", price)
            record = CampaignCache(cache).get_campaign("tea")
            allowed = record and record.status == "active" and price <= record.bid_price
            assert bool(held) == bool(allowed), "an old copy reserved money"
            assert ("active" == status) == bool(record and record.status == "active")

        apply(cache)
        assert wanted == [ad_bids(cache, cell) for cell in cells]


def ad_bids(cache, cell):
    """Campaigns and bids of a cell."""
    return [(ad.campaign_id, ad.bid) for ad in CampaignCache(cache).get_ads(cell)]


def test_semantics_write_order_of_session_and_list(empty_cache):
    """List first: no session lives that "log out everywhere" cannot find."""

    def login(cache):
        data = {"user_id": "ada", "cart": []}
        SessionManager(cache, max_sessions=1).create_session("s2", data)

    def prepare(cache):
        SessionManager(cache).create_session("s1", {"user_id": "ada"}, max_age=60)

    for cache in deaths(empty_cache, prepare, login):
        sessions = SessionManager(cache)
        living = {name for name in ("s1", "s2") if sessions.get_session(name)}
        assert living <= set(sessions.session_ids("ada"))

        login(cache)
        assert "ada" == sessions.get_session("s2")["user_id"]
        assert ["s2"] == sessions.session_ids("ada"), "one too many was not ended"
        assert 1 == sessions.revoke_all("ada")
        assert sessions.get_session("s2") is None


def test_semantics_write_order_of_revocation(empty_cache):
    """Sessions first, then the list: what a crash left open is found again."""

    def prepare(cache):
        for name in ("s1", "s2", "s3"):
            SessionManager(cache).create_session(name, {"user_id": "ada"})

    def revoke(cache):
        SessionManager(cache).revoke_all("ada")

    for cache in deaths(empty_cache, prepare, revoke):
        sessions = SessionManager(cache)
        names = ("s1", "s2", "s3")
        living = {name for name in names if sessions.get_session(name)}
        assert living <= set(sessions.session_ids("ada"))

        revoke(cache)
        assert [None] * 3 == [sessions.get_session(name) for name in names]
        assert [] == sessions.session_ids("ada")


def decide(cache):
    """One request by a new ad server: what a crashed one knew is gone."""
    return AdServer(cache).decide(request(id="r"))


def nothing(cache):
    """No preparation."""


def test_semantics_write_order_of_cap_lease_and_reservation(stand):
    """After a crash at the bid, lease and money are held once or come back alone."""
    for cache in deaths(stand, nothing, decide):
        spent, reserved = money(cache)
        assert (0, True) == (spent, reserved in (0, 3800))

        again = decide(cache)  # the exchange asks once more
        bids = bids_in(again)
        assert not bids or ("holiday", 3800) == (bids[0].cid, money(cache)[1])
        assert bool(bids) == bool(again), again.reason
        if bids:
            assert not peek(cache), "bid without a place under the cap"
            assert AdServer(cache).billing(bids[0].id, bids[0].price)
            assert (3800, 0) == money(cache)
        else:
            cache.clock.advance(bid_of(AdServer(cache), id="other").exp + 30)
            assert peek(cache)
            assert (0, 0) == money(cache)
            assert "holiday" == bid_of(AdServer(cache), id="next").cid


NOTICES = {
    "win": lambda server, bid: server.win(bid),
    "billing": lambda server, bid: server.billing(bid, 2.0),
    "loss": lambda server, bid: server.loss(bid),
}


@pytest.mark.parametrize("kind", NOTICES)
def test_semantics_write_order_of_notices(stand, kind):
    """A notice that died half-way is repeated by the exchange, and counts once."""
    bid_id: list[str] = []

    def prepare(cache):
        bid_id[:] = [bid_of(AdServer(cache)).id]

    def notify(cache):
        return NOTICES[kind](AdServer(cache), bid_id[0])

    for cache in deaths(stand, prepare, notify):
        spent, reserved = money(cache)
        assert spent + reserved <= 3800, "spent and still reserved"
        assert kind == "loss" or not peek(cache), "the place was given away"

        notify(cache)
        assert not notify(cache)
        counted = PerformanceStatsCache(cache).get_daily_stats("holiday")
        wanted = {"win": "wins", "billing": "impressions", "loss": "losses"}[kind]
        assert 1 == counted[wanted]
        assert {"win": (0, 3800), "billing": (2000, 0), "loss": (0, 0)}[kind] == money(
            cache
        )
        assert bool(peek(cache)) == (kind == "loss")
        cache.clock.advance(3600)
        assert peek(cache)
