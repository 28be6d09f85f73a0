"""The ad server against plain Python: caps, money and notices in any order.

Two campaigns with small budgets compete for pages with one or two places. What
the ad server answers, what is held, spent, counted and capped follows from the
models of caps and budgets alone, on the fake as on a server.
"""

from dataclasses import replace
from datetime import timedelta

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from adcache import (
    AdServer,
    BudgetPacer,
    BudgetStatus,
    CampaignCache,
    Cap,
    CreativeCache,
    FrequencyCapManager,
    PerformanceStatsCache,
)
from adcache.bid_ids import BidId
from adcache.simulate import campaigns, creatives
from tests.adserver_help import request
from tests.budget_model import BudgetModel
from tests.model_help import Twins, run
from tests.test_state_machines import FixedModel

USERS = st.sampled_from(["ada", "b:{c}"])
LEASE, HORIZON = 330, 3600  # seconds: bid.exp and its margin; how late notices come
DEAR, CHEAP = (  # in the order of their bids
    replace(each, bid_price=cpm, budget=budget, caps=caps, targeting={}, cat=[])
    for each, cpm, budget, caps in zip(
        campaigns(2),
        (4.0, 2.0005),
        (0.0121, 0.0075),  # three impressions each, and a little more
        ([(2, 3600)], [(1, 60), (3, 3600)]),
        strict=True,
    )
)
BOTH = {each.campaign_id: each for each in (DEAR, CHEAP)}
PRICES = st.sampled_from([0, 1.2345, 2, 4, 6.5])
KINDS = st.sampled_from(["win", "billing", "billing", "loss", "click"])
STATS = ("impressions", "clicks", "wins", "losses")


class AdServerMachine(Twins):
    """Requests, their copies, notices, pauses, crashes of the ad server, and time."""

    pauses = st.sampled_from([0.001, 59.999, 60, 329.999, 330, 3600])

    def begin(self):
        for cache in self.caches:
            ads = CreativeCache(cache)
            for creative in creatives(2):
                ads.set_creative(creative)
            shop = CampaignCache(cache, index_ttl=timedelta(days=30))
            for each in BOTH.values():
                shop.set_campaign(replace(each), timedelta(days=30))
                shop.index_campaign_targeting(each.campaign_id, {})
        self.both = [AdServer(cache) for cache in self.caches]
        self.caps = FixedModel(self.clock)
        self.money = {}
        for name, each in BOTH.items():
            self.money[name] = BudgetModel(self.clock, LEASE * 1000, HORIZON * 1000)
            self.money[name].set_campaign(each)
        self.requests, self.answers, self.bids = [], {}, []
        self.owed = []  # what the ad server gives back with the next request
        self.stats = {(name, metric): set() for name in BOTH for metric in STATS}
        self.cost = dict.fromkeys(BOTH, 0)

    @rule(user=USERS, imps=st.sampled_from([1, 1, 2]))
    def ask(self, user, imps):
        name = f"r{len(self.requests)}"
        self.requests.append((name, user, imps))
        self.pay_back()
        self.answers[name] = self.chosen(user, imps)
        self.decide(name, user, imps)

    @precondition(lambda self: self.requests)
    @rule(data=st.data())
    def ask_again(self, data):
        name, user, imps = data.draw(st.sampled_from(self.requests[-3:]))
        self.pay_back()
        self.decide(name, user, imps)

    def pay_back(self):
        """What the next request carries along."""
        for campaign, user, lease, reservation in self.owed:
            self.money[campaign].release(reservation)
            self.caps.release((user, campaign), lease)
        self.owed = []

    def chosen(self, user, imps):
        """Who bids on which imp: the dearest first, nobody twice on a page."""
        free = [
            name
            for name, each in BOTH.items()
            if self.money[name].campaign["status"] == "active"
            and self.caps.room((user, name), self.caps_of(each))
        ]
        return [(f"{n + 1}", name) for n, name in enumerate(free[:imps])]

    @staticmethod
    def caps_of(each):
        return [Cap(limit, window) for limit, window in each.caps]

    def decide(self, name, user, imps):
        """Ask both, and compare the bids with those that hold place and money."""
        page = request(id=name)
        page["user"] = {"buyeruid": user}
        page["imp"] = [
            page["imp"][0] | {"id": f"{n + 1}", "bidfloor": 0.5} for n in range(imps)
        ]
        told = self.agree(lambda server: self.asked(server, page))
        lease, wanted = f"default~{name}", []
        chosen = self.answers[name]
        held = [
            self.money[campaign].reserve(
                f"{lease}~{imp}", self.micros(campaign), f'["{user}",true]'
            )[0]
            for imp, campaign in chosen
        ]
        choices = [[(each, self.caps_of(BOTH[each]))] for _, each in chosen]
        places = self.caps.lease(user, choices, lease, LEASE)
        for (imp, campaign), verdict, place in zip(chosen, held, places, strict=True):
            if verdict == "held" and place == campaign:
                bid = str(BidId(campaign, "default", name, imp))
                wanted.append((bid, imp, BOTH[campaign].bid_price))
                self.bids.append((bid, user))
            else:
                self.owed.append((campaign, user, lease, f"{lease}~{imp}"))
        assert wanted == told

    def asked(self, server, page):
        """Bids of an answer; no campaign rests, that would be by the wall clock."""
        server._resting.clear()
        response = server.handle(page)
        bids = response.seatbid[0].bid if response else []
        return [(bid.id, bid.impid, bid.price) for bid in bids]

    def micros(self, campaign):
        return BOTH[campaign].bid_price_micros

    @precondition(lambda self: self.bids)
    @rule(data=st.data(), kind=KINDS, price=PRICES)
    def notify(self, data, kind, price):
        bid, user = data.draw(st.sampled_from(self.bids[-6:]))
        self.tell(kind, bid, user, price)

    @rule(kind=KINDS, name=st.sampled_from(list(BOTH)))
    def forge(self, kind, name):
        self.tell(kind, f"{name}~default~never~1", "ada", 1)

    def tell(self, kind, bid, user, price):
        """Send a notice to both, and to the model."""
        arguments = (bid, price) if kind == "billing" else (bid,)
        told = self.agree(lambda server: getattr(server, kind)(*arguments))
        name, reservation, lease = self.names_of(bid)
        wanted = getattr(self, kind)(name, reservation, lease, bid, user, price)
        figures = (told.state, told.cost, told.overrun, told.over_cap)
        assert wanted == figures
        assert (told.state in ("won", "billed", "lost", "clicked")) == bool(told)

    @staticmethod
    def names_of(bid):
        parsed = BidId.parse(bid)
        return parsed.campaign_id, parsed.reservation_id, parsed.lease_id

    def once(self, name, metric, bid, word):
        """Count an event of a bid once; the state that the notice has."""
        new = bid not in self.stats[name, metric]
        self.stats[name, metric].add(bid)
        return word if new else "duplicate"

    def win(self, name, reservation, lease, bid, user, price):
        state = self.money[name].keep(reservation)
        if state == "kept":
            state = self.once(name, "wins", bid, "won")
        return state, 0.0, 0.0, False

    def billing(self, name, reservation, lease, bid, user, price):
        micros = round(price * 1_000_000)
        verdict, cost, over, _ = self.money[name].settle(reservation, micros)
        if verdict == "unknown":
            return "unknown", 0.0, 0.0, False
        state = self.once(name, "impressions", bid, "billed")
        self.cost[name] += cost if state == "billed" else 0
        over_cap = self.caps.confirm((user, name), lease, None)[1]
        return state, cost / 10**6, over / 10**6, over_cap

    def loss(self, name, reservation, lease, bid, user, price):
        state = self.money[name].release(reservation)
        if state == "released":
            state = self.once(name, "losses", bid, "lost")
            self.caps.release((user, name), lease)
        return state, 0.0, 0.0, False

    def click(self, name, reservation, lease, bid, user, price):
        known = reservation in self.money[name].ledger
        state = self.once(name, "clicks", bid, "clicked") if known else "unknown"
        return state, 0.0, 0.0, False

    @rule(
        name=st.sampled_from(list(BOTH)), status=st.sampled_from(["active", "paused"])
    )
    def pause_or_resume(self, name, status):
        assert self.agree(lambda s: CampaignCache(s.cache).set_status(name, status))
        self.money[name].campaign["status"] = status

    @rule()
    def the_ad_server_dies(self):
        """Another takes over, and does not know what was to be given back."""
        self.both = [AdServer(cache) for cache in self.caches]
        self.owed = []

    @rule(user=USERS)
    def look(self, user):
        for name, each in BOTH.items():
            status = self.agree(lambda s, n=name: BudgetPacer(s.cache).status(n))
            assert BudgetStatus(*self.money[name].status()) == status
            assert status.spent + status.reserved <= (
                each.budget_micros + status.overrun
            )
            caps = self.caps_of(each)
            seen = self.agree(
                lambda s, n=name, c=caps: FrequencyCapManager(s.cache).peek(
                    user, n, caps=c
                )
            )
            assert self.caps.room((user, name), caps) == bool(seen)
            self.look_at_the_stats(name)

    def look_at_the_stats(self, name):
        days = {f"2026-01-{day:02}" for day in range(1, 1 + self.clock.now().day)}
        counted = dict.fromkeys((*STATS, "cost"), 0)
        for day in sorted(days):
            of_day = self.agree(
                lambda s, d=day: PerformanceStatsCache(s.cache).get_daily_stats(name, d)
            )
            for metric, value in of_day.items():
                counted[metric] += value
        for metric in STATS:
            assert len(self.stats[name, metric]) == counted[metric], metric
        assert self.cost[name] == round(counted["cost"] * 10**6)


def test_the_ad_server_equals_its_models(redis_url):
    """Whatever is asked and told, both answer as caps and budgets alone would."""
    run(AdServerMachine, redis_url, examples=30, steps=40)
