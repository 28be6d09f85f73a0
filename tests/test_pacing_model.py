"""Long random histories of a budget: fake, server and plain Python agree."""

import secrets
from datetime import timedelta

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from adcache import BudgetPacer, BudgetStatus, ManualClock, connect
from tests.budget_help import END, START, campaign, charge, store
from tests.budget_model import BudgetModel
from tests.conftest import empty

LEASE, HORIZON = 300, 3600
IDS = st.integers(0, 9).map("r:{}".format)
# A few impressions exhaust a budget of 20,000 micros.
CPMS = st.sampled_from([0, 0.001, 1.2345, 2.5, 4.999999, 5, 7.5])
CAMPAIGNS = st.fixed_dictionaries(
    {
        "budget": st.sampled_from([0.012345, 0.02, 0.05, 0.5]),
        "daily_budget": st.sampled_from([None, 0.008, 0.03]),
        "pacing": st.sampled_from(["asap", "even", "front_loaded", "token_bucket"]),
        "time_zone": st.sampled_from(["UTC", "Europe/Berlin", "America/New_York"]),
        "status": st.sampled_from(["active"] * 6 + ["paused", "draft"]),
        "bid_price": st.sampled_from([5.0, 5.0, 2.5]),
        "spent": st.sampled_from([0, 0.001]),
        "targeting": st.sampled_from([{}, {"burst": 21600}]),
    }
)
PAUSES = st.sampled_from([0.001, 1, 1, 299.999, 300, 3599.999, 3600, 20_000])
STEPS = settings(
    max_examples=80,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


class BudgetMachine(RuleBasedStateMachine):
    """Drives fake, server and model with the same calls."""

    url = ""

    @initialize(
        fields=CAMPAIGNS,
        night=st.booleans(),
        hours=st.sampled_from([-1, 0, 12, 22, 27]),
    )
    def begin(self, fields, night, hours):
        # Over New Year in some zones, or over Berlin's day of 23 hours.
        self.shift = timedelta(days=87 * night)
        self.clock = ManualClock(START + self.shift + timedelta(hours=hours))
        namespace = f"test-{secrets.token_hex(6)}"
        self.caches = [
            connect(url, namespace=namespace, clock=self.clock)
            for url in ("fakeredis://tests", self.url)
        ]
        self.pacers = [BudgetPacer(cache, LEASE, HORIZON) for cache in self.caches]
        self.model = BudgetModel(self.clock, LEASE * 1000, HORIZON * 1000)
        if hours < 27:  # else it is unknown until a rule sets it
            self.set_campaign(fields, 3)

    def agree(self, call):
        """Both servers give one answer; it."""
        fake, server = (call(pacer) for pacer in self.pacers)
        assert fake == server
        return fake

    @rule(fields=CAMPAIGNS, days=st.sampled_from([1, 3, 30]))
    def change_campaign(self, fields, days):
        self.set_campaign(fields, days)

    def set_campaign(self, fields, days):
        start = START + self.shift
        end = min(start + timedelta(days=days), END + self.shift)
        data = campaign(**fields, start_date=start, end_date=end)
        for cache in self.caches:
            store(cache, data)
        self.model.set_campaign(data)

    @rule(name=IDS, cpm=CPMS)
    def reserve(self, name, cpm):
        answer = self.agree(lambda p: p.reserve("tea", name, cpm, note=f"{cpm} {name}"))
        verdict, amount = self.model.reserve(name, round(cpm * 1e6), f"{cpm} {name}")
        assert (verdict == "held", amount) == (answer.held, answer.amount)
        assert verdict == (answer.reason or "held")

    @rule(cpms=st.lists(CPMS, min_size=1, max_size=4), first=st.integers(0, 9))
    def reserve_several(self, cpms, first):
        for number, cpm in enumerate(cpms):
            self.reserve(f"r:{(first + number) % 10}", cpm)

    @precondition(lambda self: self.model.ledger)
    @rule(
        pick=st.data(),
        notices=st.lists(
            st.sampled_from(["keep", "settle", "settle", "release"]),
            min_size=1,
            max_size=3,
        ),
        pause=st.sampled_from([0, 0, 0.001, 299.999]),
        cpm=CPMS,
    )
    def notify(self, pick, notices, pause, cpm):
        names = sorted(self.model.ledger)
        name = pick.draw(st.sampled_from([*names, "never seen"]))
        for notice in notices:
            getattr(self, notice)(name, cpm)
            self.clock.advance(pause)

    def keep(self, name, _):
        answer = self.agree(lambda p: p.keep("tea", name))
        assert self.model.keep(name) == answer.state
        assert (answer.state == "kept") == bool(answer)
        self.check_note(name, answer)

    def release(self, name, _):
        answer = self.agree(lambda p: p.release("tea", name))
        assert self.model.release(name) == answer.state
        assert (answer.state == "released") == bool(answer)
        self.check_note(name, answer)

    def settle(self, name, cpm):
        answer = self.agree(lambda p: p.settle("tea", name, cpm))
        verdict, *figures = self.model.settle(name, round(cpm * 1e6))
        assert (verdict != "unknown") == bool(answer)
        assert (verdict == "duplicate") == answer.duplicate
        assert figures == [answer.cost, answer.overrun, answer.late]
        self.check_note(name, answer)

    @rule(
        amount=st.sampled_from([0, 1, 2500, 9000]),
        name=st.none() | st.sampled_from(["r:1", "op", "op2"]),
    )
    def charge(self, amount, name):
        answer = self.agree(lambda p: charge(p.cache, "tea", amount, name))
        assert self.model.charge(amount, name) == answer

    @rule(pause=PAUSES)
    def pass_time(self, pause):
        self.clock.advance(pause)

    def check_note(self, name, answer):
        entry = self.model.ledger.get(name, {"state": "charged"})
        assert ("" if entry["state"] == "charged" else entry["note"]) == answer.note

    @rule()
    def look(self):
        status = self.agree(lambda p: p.status("tea"))
        wanted = self.model.status()
        assert (None if wanted is None else BudgetStatus(*wanted)) == status
        if status is None:
            return
        budget = self.model.campaign["budget"]
        assert status.spent + status.reserved <= budget + status.overrun

    def teardown(self):
        for cache in getattr(self, "caches", ()):
            empty(cache)
            cache.close()


def test_budgets_equal_their_model(redis_url):
    """Whatever happens, fake, server and model agree on verdicts and micros."""
    machine = type("Machine", (BudgetMachine,), {"url": redis_url})
    run_state_machine_as_test(machine, settings=STEPS)
