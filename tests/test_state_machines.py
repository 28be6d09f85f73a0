"""Long random histories: the components against plain Python, fake against server.

Each machine drives one component on embedded fakeredis and on a real server at
the same time, beside a model of a few lines, and wants three equal answers.
"""

import secrets
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)

from adcache import Cap, FrequencyCapManager, ManualClock, RealTimeBiddingCache, connect
from tests.conftest import leave

USERS = st.sampled_from(["u", "a:b"])
CAMPAIGNS = st.sampled_from(["c", "c:d"])
IMPRESSIONS = st.sampled_from([None, "i1", "i2", "i3"])
CAPS = st.lists(
    st.builds(Cap, st.integers(0, 4), st.sampled_from([1, 5, 60])),
    min_size=1,
    max_size=2,
    unique_by=lambda cap: cap.window,
)
STEPS = settings(
    max_examples=40,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


class FixedModel:
    """Anchored fixed windows, all or nothing, in plain Python."""

    def __init__(self, clock):
        self.clock, self.windows, self.records = clock, {}, {}
        self.held, self.fates = {}, {}  # open leases of a pair; what became of each

    def _window(self, pair, cap):
        key, now = (*pair, cap.window), self.clock.now_ms()
        expiry, count = self.windows.get(key, (0, 0))
        return key, *((expiry, count) if expiry > now else (now + cap.window * 1000, 0))

    def check(self, pair, caps, impression):
        if impression and (*pair, impression) in self.records:
            return self.records[(*pair, impression)][0]
        windows = [self._window(pair, cap) for cap in caps]
        allowed = self.room(pair, caps)
        for key, expiry, count in windows if allowed else ():
            self.windows[key] = (expiry, count + 1)
        if impression:
            counted = [(key, expiry) for key, expiry, _ in windows] if allowed else []
            self.records[(*pair, impression)] = (allowed, counted)
        return allowed

    def refund(self, pair, impression):
        allowed, counted = self.records.get((*pair, impression), (False, []))
        if not allowed:
            return False
        for key, expiry in counted:
            if self.windows.get(key, (0, 0))[0] == expiry:
                count = self.windows[key][1] - 1
                self.windows[key] = (expiry, count) if count else (0, 0)
        self.records[(*pair, impression)] = (False, [])
        return True

    def reset(self, pair):
        self.held.pop(pair, None)
        for key in [key for key in self.windows if key[:2] == pair]:
            del self.windows[key]

    def open(self, pair):
        now, held = self.clock.now_ms(), self.held.setdefault(pair, {})
        for lease in [lease for lease, ends in held.items() if ends <= now]:
            del held[lease]
        return held

    def room(self, pair, caps):
        held = len(self.open(pair))
        return all(self._window(pair, cap)[2] + held < cap.limit for cap in caps)

    def lease(self, user, choices, lease, ttl):
        chosen = []
        for choice in choices:
            new = [each for each in choice if each[0] not in chosen]
            shared = [each for each in choice if each[0] in chosen]
            holds = [each for each in new if self._holds((user, each[0]), lease)]
            free = [each for each in new if self._free((user, each[0]), each[1], lease)]
            best = (holds or free or shared or [(None, ())])[0]
            if not holds and free:
                self.held[user, best[0]][lease] = self.clock.now_ms() + ttl * 1000
                self.fates[user, best[0], lease] = ["open", best[1]]
            chosen.append(best[0])
        return chosen

    def _holds(self, pair, lease):
        fate = self.fates.get((*pair, lease), [""])[0]
        return fate == "counted" or lease in self.open(pair)

    def _free(self, pair, caps, lease):
        released = self.fates.get((*pair, lease), [""])[0] == "released"
        return not released and self.room(pair, caps)

    def confirm(self, pair, lease, caps):
        fate, known = self.fates.get((*pair, lease), ("unlisted", caps))
        if fate == "counted":
            return "duplicate", False
        if known is None:
            return "unknown", False
        held = self.open(pair).pop(lease, None)
        over = not self.room(pair, known)
        for key, expiry, count in [self._window(pair, cap) for cap in known]:
            self.windows[key] = (expiry, count + 1)
        self.fates[(*pair, lease)] = ["counted", ()]
        return "in_time" if held else "late" if fate == "open" else fate, over

    def release(self, pair, lease):
        fate = self.fates.get((*pair, lease), [""])
        if fate[0] != "open":
            return False
        fate[0] = "released"
        return self.open(pair).pop(lease, None) is not None


class LogModel(FixedModel):
    """Exact sliding windows: the list of impression times."""

    def __init__(self, clock):
        super().__init__(clock)
        self.log = {}

    def check(self, pair, caps, impression):
        if impression and (*pair, impression) in self.records:
            return self.records[(*pair, impression)][0]
        now, log = self.clock.now_ms(), self.log.setdefault(pair, [])
        allowed = all(
            sum(t > now - cap.window * 1000 for t, _ in log) < cap.limit for cap in caps
        )
        entry = (now, object())
        if allowed:
            log.append(entry)
        if impression:
            self.records[(*pair, impression)] = (allowed, entry)
        return allowed

    def refund(self, pair, impression):
        allowed, entry = self.records.get((*pair, impression), (False, None))
        if not allowed:
            return False
        if entry in self.log.get(pair, []):
            self.log[pair].remove(entry)
        self.records[(*pair, impression)] = (False, None)
        return True

    def reset(self, pair):
        self.log.pop(pair, None)


class CounterModel(FixedModel):
    """Sliding counter: exact fractions instead of the script's doubles."""

    def _window(self, pair, cap):
        key, now, length = (*pair, cap.window), self.clock.now_ms(), cap.window * 1000
        ends, count, previous = self.windows.get(key, (0, 0, 0))
        if now >= ends + length:
            ends, count, previous = now + length, 0, 0
        elif now >= ends:
            ends, count, previous = ends + length, 0, count
        return key, ends, count, previous, Fraction(previous * (ends - now), length)

    def check(self, pair, caps, impression):
        if impression and (*pair, impression) in self.records:
            return self.records[(*pair, impression)][0]
        windows = [self._window(pair, cap) for cap in caps]
        allowed = all(
            count + share + 1 <= cap.limit
            for (_, _, count, _, share), cap in zip(windows, caps, strict=True)
        )
        for key, ends, count, previous, _ in windows if allowed else ():
            self.windows[key] = (ends, count + 1, previous)
        if impression:
            counted = [(w[0], w[1]) for w in windows] if allowed else []
            self.records[(*pair, impression)] = (allowed, counted)
        return allowed

    def refund(self, pair, impression):
        allowed, counted = self.records.get((*pair, impression), (False, []))
        if not allowed:
            return False
        for key, mark in counted:
            ends, count, previous = self.windows.get(key, (0, 0, 0))
            if ends == mark:
                count = max(0, count - 1)
            elif ends == mark + key[2] * 1000:
                previous = max(0, previous - 1)
            self.windows[key] = (ends, count, previous)
        self.records[(*pair, impression)] = (False, [])
        return True


class CapMachine(RuleBasedStateMachine):
    """Random checks, refunds, resets and passing time."""

    algorithm, model_class, url = "fixed", FixedModel, ""

    @initialize()
    def connect_both(self):
        self.clock = ManualClock()
        self.caches = [
            connect(url, namespace=f"test-{secrets.token_hex(6)}", clock=self.clock)
            for url in ("fakeredis://machines", self.url)
        ]
        self.both = [FrequencyCapManager(c, self.algorithm) for c in self.caches]
        self.model = self.model_class(self.clock)

    def _agree(self, answers):
        assert answers[0] == answers[1], "fakeredis and the server differ"
        return answers[0]

    @rule(user=USERS, campaign=CAMPAIGNS, caps=CAPS, impression=IMPRESSIONS)
    def check(self, user, campaign, caps, impression):
        options = {"caps": caps, "impression_id": impression}
        if impression is None and len(caps) == 1:  # the short script
            options = {"limit": caps[0].limit, "window": caps[0].window}
        looks = [each.peek(user, campaign, caps=caps) for each in self.both]
        decision = self._agree(
            [each.check_frequency_cap(user, campaign, **options) for each in self.both]
        )
        if impression is None:
            assert bool(self._agree(looks)) == bool(decision), "peek said otherwise"
        assert self.model.check((user, campaign), caps, impression) == bool(decision)

    @rule(
        user=USERS, campaign=CAMPAIGNS, impression=st.sampled_from(["i1", "i2", "no"])
    )
    def refund(self, user, campaign, impression):
        given = self._agree([m.refund(user, campaign, impression) for m in self.both])
        assert self.model.refund((user, campaign), impression) == given

    @rule(user=USERS, campaign=CAMPAIGNS)
    def reset(self, user, campaign):
        self._agree([m.reset_frequency_cap(user, campaign) for m in self.both])
        self.model.reset((user, campaign))

    @rule(seconds=st.sampled_from([0.001, 0.5, 0.999, 1, 2.5, 5, 59, 60, 121]))
    def pass_time(self, seconds):
        self.clock.advance(seconds)

    def teardown(self):
        leave(*getattr(self, "caches", ()))


class LeaseMachine(CapMachine):
    """The same with leases: taken, confirmed, given back, over."""

    LEASES = st.sampled_from(["i1", "l2", "l:3"])
    CHOICES = st.lists(st.lists(st.tuples(CAMPAIGNS, CAPS), max_size=3), max_size=3)

    @rule(user=USERS, choices=CHOICES, lease=LEASES, ttl=st.sampled_from([1, 5, 60]))
    def lease_best(self, user, choices, lease, ttl):
        chosen = self._agree(
            [m.lease_best(user, choices, lease, ttl) for m in self.both]
        )
        assert self.model.lease(user, choices, lease, ttl) == chosen

    @rule(user=USERS, campaign=CAMPAIGNS, caps=CAPS, lease=LEASES)
    def lease(self, user, campaign, caps, lease):
        wanted = {campaign: caps}
        told = self._agree(
            [m.lease(user, wanted, lease, 5)[campaign] for m in self.both]
        )
        (chosen,) = self.model.lease(user, [[(campaign, caps)]], lease, 5)
        assert (chosen == campaign) == bool(told)

    @rule(user=USERS, campaign=CAMPAIGNS, lease=LEASES, caps=st.one_of(st.none(), CAPS))
    def confirm(self, user, campaign, lease, caps):
        told = self._agree(
            [m.confirm(user, campaign, lease, caps=caps) for m in self.both]
        )
        assert self.model.confirm((user, campaign), lease, caps) == (
            told.reason,
            told.over_cap,
        )

    @rule(user=USERS, campaign=CAMPAIGNS, lease=LEASES)
    def release(self, user, campaign, lease):
        given = self._agree([m.release(user, campaign, lease) for m in self.both])
        assert self.model.release((user, campaign), lease) == given


def test_leases_equal_their_model(redis_url):
    """Whatever is leased, confirmed, released and counted, all three agree."""
    machine = type("Machine", (LeaseMachine,), {"url": redis_url})
    run_state_machine_as_test(machine, settings=STEPS)


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("fixed", FixedModel),
        ("sliding_log", LogModel),
        ("sliding_counter", CounterModel),
    ],
)
def test_caps_equal_their_model(name, model, redis_url):
    """Whatever happens, fake, server and model answer alike."""
    values = {"algorithm": name, "model_class": model, "url": redis_url}
    machine = type("Machine", (CapMachine,), values)
    run_state_machine_as_test(machine, settings=STEPS)


class AuctionMachine(RuleBasedStateMachine):
    """Random auctions opened, bid on, closed, and passing time."""

    url = ""
    AUCTIONS = st.sampled_from(["a", "b:{x}"])
    PRICES = st.integers(0, 6)

    @initialize()
    def connect_both(self):
        self.clock = ManualClock()
        self.caches = [
            connect(url, namespace=f"test-{secrets.token_hex(6)}", clock=self.clock)
            for url in ("fakeredis://machines", self.url)
        ]
        self.both = [RealTimeBiddingCache(cache) for cache in self.caches]
        self.model = {}

    def _agree(self, call):
        answers = [call(each) for each in self.both]
        assert answers[0] == answers[1], "fakeredis and the server differ"
        return answers[0]

    @rule(auction=AUCTIONS, floor=PRICES, at=st.sampled_from([1, 2]))
    def create(self, auction, floor, at):
        opened = self._agree(lambda a: a.create_auction(auction, floor, ttl=10, at=at))
        known = self.model.get(auction)
        if known is None:
            ends = self.clock.now_ms() + 10_000
            self.model[auction] = {"terms": (floor, at), "ends": ends, "bids": []}
            assert opened.created
        else:
            assert not opened.created
            open_still = self.clock.now_ms() < known["ends"] and "closed" not in known
            assert opened.open == (open_still and known["terms"] == (floor, at))

    @rule(auction=AUCTIONS, bids=st.lists(st.tuples(CAMPAIGNS, PRICES), max_size=4))
    def bid(self, auction, bids):
        results = self._agree(lambda a: a.submit_many(auction, bids))
        known = self.model.get(auction)
        for (campaign, price), result in zip(bids, results, strict=True):
            if known is None:
                assert "no_auction" == result.reason
            elif "closed" in known:
                assert "closed" == result.reason
            elif self.clock.now_ms() >= known["ends"]:
                assert "expired" == result.reason
            elif price < known["terms"][0]:
                assert "below_floor" == result.reason
            else:
                known["bids"].append((campaign, price))
                assert (self._winner(known)[0] == campaign) == result.leading

    @rule(auction=AUCTIONS, close=st.booleans())
    def look_or_close(self, auction, close):
        known = self.model.get(auction)
        if close and known:
            known["closed"] = True
        found = self._agree(
            lambda a: (
                a.close_auction(auction) if close else a.get_auction_winner(auction)
            )
        )
        if known is None or not known["bids"]:
            assert None is found
        else:
            told = (found["campaign_id"], found["winning_bid"], found["clearing_price"])
            assert self._winner(known) == told

    def _winner(self, known):
        best = max(price for _, price in known["bids"])
        winner = next(who for who, price in known["bids"] if price == best)
        floor, at = known["terms"]
        others = [price for who, price in known["bids"] if who != winner]
        return winner, best, best if at == 1 else max([floor, *others])

    @rule(seconds=st.sampled_from([0.001, 3, 9.999]))
    def pass_time(self, seconds):
        self.clock.advance(seconds)

    teardown = CapMachine.teardown


def test_auctions_equal_their_model(redis_url):
    """Whatever happens, fake, server and model agree on results and reasons."""
    machine = type("Machine", (AuctionMachine,), {"url": redis_url})
    run_state_machine_as_test(machine, settings=STEPS)
