"""Campaigns and their index against plain Python, and the fake against a server."""

from datetime import timedelta

from hypothesis import strategies as st
from hypothesis.stateful import rule

from adcache import CampaignCache, to_micros
from tests.campaign_help import START, campaign
from tests.model_help import Twins, run

NAMES = st.sampled_from(["c1", "c:{2}", "c3"])
INTERESTS = st.lists(st.sampled_from(["tea", "a:b"]), max_size=2, unique=True)
PLACES = st.lists(st.sampled_from(["GBR", "x y", "all"]), max_size=2, unique=True)
KEEP = 86_400  # seconds that copies are found
BUDGET = 10


class CampaignMachine(Twins):
    """Random edits, pauses, indexes, charges and passing time."""

    pauses = st.sampled_from([0.001, 60, 3599.999, 3600, 7200, 86_400])

    def begin(self):
        self.both = [CampaignCache(each) for each in self.caches]
        self.records, self.spent, self.index, self.charged = {}, {}, {}, {}
        self.copied = {}  # campaign -> when its copies were renewed last

    @property
    def now(self):
        return self.clock.now_ms()

    def known(self, name):
        record, ends = self.records.get(name, (None, 0))
        return record if self.now < ends else None

    def renewed(self, name):
        if name in self.index:
            self.copied[name] = self.now

    @rule(
        name=NAMES,
        bid=st.sampled_from([0, 1, 2.5, 7]),
        status=st.sampled_from(["active", "active", "paused", "draft"]),
        flight=st.sampled_from([(-1, 90), (0, 1), (1, 2), (-2, -1)]),
        spent=st.sampled_from([0, 4, BUDGET]),
        ttl=st.sampled_from([3600, 7200, 8 * 86_400]),
    )
    def set(self, name, bid, status, flight, spent, ttl):
        first, last = (START + timedelta(days=days) for days in flight)
        given = {"bid_price": bid, "status": status, "budget": BUDGET, "spent": spent}
        record = campaign(name, start_date=first, end_date=last, **given)
        assert self.agree(lambda ads: ads.set_campaign(record, ttl)) is None
        self.spent.setdefault(name, to_micros(spent))
        self.records[name] = (record, self.now + ttl * 1000)
        self.renewed(name)

    @rule(name=NAMES, status=st.sampled_from(["active", "paused", "ended"]))
    def set_status(self, name, status):
        told = self.agree(lambda ads: ads.set_status(name, status))
        record = self.known(name)
        assert (record is not None) == told
        if record:
            record.status = status
            self.renewed(name)

    @rule(name=NAMES)
    def delete(self, name):
        told = self.agree(lambda ads: ads.delete_campaign(name))
        assert (self.known(name) is not None) == told
        self.records.pop(name, None)
        if name in self.index:
            self.index[name] = ()

    @rule(name=NAMES, interests=INTERESTS, places=PLACES)
    def set_index(self, name, interests, places):
        targeting = {"interests": interests, "locations": places}
        told = self.agree(lambda ads: ads.index_campaign_targeting(name, targeting))
        assert (self.known(name) is not None) == told
        self.index[name] = [
            (interest, place)
            for interest in interests or ["any"]
            for place in places or ["all"]
        ]
        self.renewed(name)

    @rule(
        name=NAMES,
        amount=st.sampled_from([0, 0.000001, 2.5, BUDGET]),
        operation=st.sampled_from([None, "o1", "o:2"]),
    )
    def charge(self, name, amount, operation):
        told = self.agree(
            lambda ads: ads.update_campaign_spend(name, amount, operation_id=operation)
        )
        spent, micros = self.spent.get(name, 0), to_micros(amount)
        if operation and (name, operation) in self.charged:
            assert "charged" == told.reason
        elif not self.known(name):
            assert ("unknown", False) == (told.reason, bool(told))
        elif spent + micros > to_micros(BUDGET):
            assert ("budget", False) == (told.reason, bool(told))
        else:
            assert "charged" == told.reason
            self.spent[name] = spent + micros
            if operation:
                self.charged[name, operation] = micros
        if self.known(name):
            assert self.spent[name] == to_micros(told.spent)

    def state(self, name):
        """Why a campaign may not run now, or that it is active."""
        record = self.known(name)
        if record is None:
            return "unknown"
        if record.status != "active":
            return "paused" if record.status == "paused" else "inactive"
        if self.clock.now() < record.start_date:
            return "not started"
        if self.clock.now() > record.end_date:
            return "ended"
        return "budget" if self.spent[name] >= to_micros(BUDGET) else "active"

    @rule(name=NAMES)
    def look(self, name):
        told = self.agree(lambda ads: ads.get_state(name))
        assert self.state(name) == told.reason
        record, found = self.known(name), self.agree(lambda ads: ads.get_campaign(name))
        assert (record is None) == (found is None)
        if record:
            assert self.spent[name] == to_micros(found.spent)
            assert (record.bid_price, record.status) == (found.bid_price, found.status)

    def in_cell(self, name, interests, places):
        cells = self.index.get(name, ())
        fresh = self.now < self.copied.get(name, 0) + KEEP * 1000
        return fresh and any(i in interests and p in places for i, p in cells)

    @rule(interests=INTERESTS, place=st.sampled_from(["all", "GBR", "x y"]))
    def find(self, interests, place):
        criteria = {"interests": interests, "location": place}
        told = self.agree(lambda ads: ads.get_active_campaigns(criteria))
        found = [
            name
            for name in self.index
            if self.in_cell(name, [*interests, "any"], [place, "all"])
            and self.state(name) == "active"
        ]
        found.sort(key=lambda name: (-self.known(name).bid_price, name))
        assert found == told

    @rule(
        interest=st.sampled_from(["tea", "any"]), place=st.sampled_from(["GBR", "all"])
    )
    def read_ads(self, interest, place):
        told = self.agree(lambda ads: ads.get_ads(interest, place))
        wanted = [
            name
            for name in self.index
            if self.in_cell(name, [interest], [place])
            and self.state(name) in ("active", "budget")
        ]
        now = self.now
        assert set(wanted) == {ad.campaign_id for ad in told if ad.start_ms <= now}
        bids = [ad.bid for ad in told]
        assert sorted(bids, reverse=True) == bids


def test_campaigns_equal_their_model(redis_url):
    """Whatever happens, records, money and the index are as a dict would have it."""
    run(CampaignMachine, redis_url, examples=40, steps=40)
