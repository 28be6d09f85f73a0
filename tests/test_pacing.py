"""Budgets on every backend: reserved once, counted once, given back by themselves."""

import itertools
import threading

import pytest

from adcache import (
    BudgetPacer,
    CacheConfig,
    CampaignCache,
    CommandRefused,
    InvalidValue,
    RedisUnavailable,
    connect,
)
from tests.budget_help import END, START, campaign, charge, store
from tests.conftest import all_keys
from tests.proxy import Proxy

HOSTILE = ["a:b", "{a}", "a b", "a\nb", "1:a", "🦊", "\ud800", "%", "charge:1", "0"]
LEASE, HORIZON = 300, 3600


@pytest.fixture
def pacer(timed_cache, clock):
    """Pacer with the manual clock, one hour into the campaign `tea` of 100."""
    clock.advance(3600)
    store(timed_cache, campaign())
    return BudgetPacer(timed_cache, LEASE, HORIZON)


def money(pacer, campaign_id="tea"):
    """What is spent, reserved and beyond the budget, in micros."""
    status = pacer.status(campaign_id)
    return status.spent, status.reserved, status.overrun


def test_a_bid_is_reserved_kept_and_settled(pacer):
    """Reserved at the bid, kept at the win, settled at the clearing price."""
    held = pacer.reserve("tea", "r1", 4.5, note="user u, imp 1")
    assert held
    assert (4500, "") == (held.amount, held.reason)
    assert (0, 4500, 0) == money(pacer)

    won = pacer.keep("tea", "r1")
    assert won
    assert ("kept", 4500, "user u, imp 1") == (won.state, won.amount, won.note)
    assert (0, 4500, 0) == money(pacer)

    billed = pacer.settle("tea", "r1", 3.2)
    assert billed
    assert (3200, False, False) == (billed.cost, billed.late, billed.duplicate)
    assert "user u, imp 1" == billed.note
    assert (3200, 0, 0) == money(pacer)


def test_a_lost_bid_gives_its_amount_back_once(pacer):
    """A loss, and the same loss again: the amount is free, and stays so."""
    pacer.reserve("tea", "r1", 4.5, note="n")
    pacer.reserve("tea", "r2", 4.5)
    assert [True, True] == [bool(pacer.release("tea", "r1")) for _ in range(2)]

    assert "n" == pacer.release("tea", "r1").note
    assert (0, 4500, 0) == money(pacer)


def test_a_retry_is_answered_as_the_first_call_was(pacer, clock, timed_cache):
    """One id reserves once, whatever happened to the campaign in between."""
    first = pacer.reserve("tea", "r1", 4.5)
    clock.advance(1)
    store(timed_cache, campaign(status="paused", bid_price=1))
    assert first == pacer.reserve("tea", "r1", 4.5)
    assert first == pacer.reserve("tea", "r1", 2.0)  # the id decides, not the price
    assert (0, 4500, 0) == money(pacer)


def test_a_refusal_is_not_remembered(pacer, timed_cache):
    """Nothing was reserved, so the same id may ask again."""
    store(timed_cache, campaign(status="paused"))
    assert "paused" == pacer.reserve("tea", "r1", 4.5).reason
    store(timed_cache, campaign())
    assert pacer.reserve("tea", "r1", 4.5)


REFUSALS = [
    ({"status": "paused"}, 1, "paused"),
    ({"status": "draft"}, 1, "inactive"),
    ({"status": "Active"}, 1, "inactive"),
    ({"bid_price": 0.999999}, 1, "above bid"),
    ({"budget": 0.000999}, 1, "budget"),
    ({"budget": 0}, 0.000001, "budget"),
    ({"spent": 99.999001}, 1, "budget"),
    ({"daily_budget": 0.000999}, 1, "daily budget"),
    ({"daily_budget": 0.001, "pacing": "even"}, 1, "pacing"),
    ({"pacing": "even", "budget": 0.03}, 1, "pacing"),
]


def test_a_refusal_says_why(timed_cache, clock):
    """A campaign that may not bid now is refused, with the reason; nothing is held."""
    pacer = BudgetPacer(timed_cache)
    clock.advance(60)
    for number, (fields, cpm, reason) in enumerate(REFUSALS):
        name = f"c{number}"
        store(timed_cache, campaign(name, **fields))
        refused = pacer.reserve(name, "r1", cpm)
        assert not refused
        assert (reason, 0) == (refused.reason, refused.amount)
        assert 0 == pacer.status(name).reserved


def test_what_fits_exactly_is_held(timed_cache, clock):
    """A bid at the campaign's own price, for the last micro of budget and day."""
    clock.advance(60)
    store(timed_cache, campaign(budget=0.001, daily_budget=0.001, bid_price=1))
    pacer = BudgetPacer(timed_cache)

    assert pacer.reserve("tea", "r1", 1)
    assert "budget" == pacer.reserve("tea", "r2", 0.000001).reason
    assert 0 == pacer.status("tea").room


def test_a_flight_includes_both_its_ends(timed_cache, clock):
    """A ms before the start and a ms after the end there is no bid."""
    store(timed_cache, campaign(start_date=START, end_date=END))
    pacer = BudgetPacer(timed_cache)
    clock.advance(0)
    seconds = (END - START).total_seconds()
    assert pacer.reserve("tea", "first", 1)
    clock.advance(seconds)
    assert pacer.reserve("tea", "last", 1)
    clock.advance(0.001)
    assert "ended" == pacer.reserve("tea", "late", 1).reason

    later = campaign("later", start_date=END, end_date=END)
    store(timed_cache, later)
    assert "ended" == pacer.reserve("later", "r", 1).reason


def test_a_campaign_that_is_not_there_is_refused(pacer, timed_cache, clock):
    """Unknown, or its record has outlived its ttl: nothing is created."""
    before = all_keys(timed_cache)
    assert "unknown" == pacer.reserve("coffee", "r1", 1).reason
    assert ["unknown"] * 2 == [
        each("coffee", "r1").state for each in (pacer.keep, pacer.release)
    ]
    assert "unknown" == pacer.settle("coffee", "r1", 1).reason
    assert None is pacer.status("coffee")
    assert ("unknown", 0) == charge(timed_cache, "coffee", 1)
    assert before == all_keys(timed_cache)

    store(timed_cache, campaign("short"), ttl=10)
    clock.advance(9.999)
    assert pacer.reserve("short", "r1", 1)
    clock.advance(0.001)
    assert "unknown" == pacer.reserve("short", "r2", 1).reason
    assert ("unknown", 0) == charge(timed_cache, "short", 1)
    assert None is pacer.status("short")
    assert pacer.settle("short", "r1", 1)  # a real cost is recorded all the same


def test_a_bill_is_recorded_though_the_record_is_gone(pacer, timed_cache):
    """The campaign's hash has expired between bid and bill: the cost is counted."""
    pacer.reserve("tea", "r1", 1)
    timed_cache.redis_client.delete(timed_cache.get_key("campaign", campaign_id="tea"))
    assert 1000 == pacer.settle("tea", "r1", 1).cost
    store(timed_cache, campaign())

    assert (1000, 0, 0) == money(pacer)


# The table of the module: before, then what each call answers (truth, state after).
TABLE = {
    "held": [(True, "held"), (True, "kept"), (True, "settled"), (True, "released")],
    "kept": [(True, "kept"), (True, "kept"), (True, "settled"), (True, "released")],
    "expired": [
        *((False, "expired"), (False, "expired")),
        *((True, "settled"), (True, "released")),
    ],
    "released": [
        *((False, "released"), (False, "released")),
        *((True, "settled"), (True, "released")),
    ],
    "settled": [
        *((False, "settled"), (False, "settled")),
        *((True, "settled"), (False, "settled")),
    ],
}
CALLS = ["reserve", "keep", "settle", "release"]


def bring_to(pacer, state, name):
    """Make a reservation of 4500 micros that is in this state."""
    pacer.reserve(name, "r1", 4.5, lease=1 if state == "expired" else None)
    if state == "kept":
        pacer.keep(name, "r1")
    elif state == "expired":
        pacer.cache.clock.advance(1)
    elif state == "released":
        pacer.release(name, "r1")
    elif state == "settled":
        pacer.settle(name, "r1", 3)


def call(pacer, name, cpm=2.0, campaign_id="tea"):
    """Call one of the four methods for r1."""
    prices = {"reserve": [4.5], "settle": [cpm]}.get(name, [])
    return getattr(pacer, name)(campaign_id, "r1", *prices)


@pytest.mark.parametrize("name", CALLS)
def test_every_notice_in_every_state(pacer, timed_cache, name):
    """What a call answers and leaves behind is what the table says."""
    for before, row in TABLE.items():
        store(timed_cache, campaign(before))
        bring_to(pacer, before, before)
        answer = call(pacer, name, 2, before)
        wanted, after = row[CALLS.index(name)]
        cost = 3000 if before == "settled" else 2000 if name == "settle" else 0
        reserved = 4500 if after in ("held", "kept") else 0

        assert wanted == bool(answer)
        assert (cost, reserved, 0) == money(pacer, before)
        if name == "settle":
            assert (before in ("expired", "released")) == answer.late
            assert (before == "settled") == answer.duplicate
            assert (cost, "") == (answer.cost, answer.reason)
        elif not wanted:
            assert after == (answer.reason if name == "reserve" else answer.state)


@pytest.mark.parametrize(
    "order", [*itertools.permutations(["keep", "settle", "release"])]
)
def test_duplicates_in_any_order_count_once(pacer, order):
    """Win, bill and loss in each order, each three times: one cost, nothing held."""
    pacer.reserve("tea", "r1", 4.5)
    for name in order * 3:
        call(pacer, name, 2.5)

    assert (2500, 0, 0) == money(pacer)


def test_a_duplicate_bill_returns_the_first_result(pacer):
    """Also with another price, and after the budget has changed."""
    pacer.reserve("tea", "r1", 4.5)
    first = pacer.settle("tea", "r1", 2.5)
    again = pacer.settle("tea", "r1", 4.5)

    assert (False, True) == (first.duplicate, again.duplicate)
    assert (2500, 2500) == (first.cost, again.cost)


def test_a_lease_ends_to_the_ms(pacer, clock, timed_cache):
    """A ms earlier the amount is held; then it is free without anybody's help."""
    store(timed_cache, campaign(budget=0.005))
    pacer.reserve("tea", "r1", 5)
    clock.advance(LEASE - 0.001)
    assert "budget" == pacer.reserve("tea", "r2", 5).reason
    assert 5000 == pacer.status("tea").reserved
    clock.advance(0.001)
    assert 0 == pacer.status("tea").reserved
    assert pacer.reserve("tea", "r2", 5)


def test_a_win_prolongs_the_lease_to_the_notice_horizon(pacer, clock):
    """At its last ms the win counts; held until the horizon, and no duplicate more."""
    pacer.reserve("tea", "r1", 5)
    clock.advance(LEASE - 0.001)
    assert pacer.keep("tea", "r1")
    clock.advance(HORIZON - 0.001)
    assert pacer.keep("tea", "r1")  # a duplicate does not prolong it again
    assert 5000 == pacer.status("tea").reserved
    clock.advance(0.001)
    assert 0 == pacer.status("tea").reserved
    assert "expired" == pacer.keep("tea", "r1").state


def test_a_lease_of_its_own(pacer, clock):
    """A bid may have another lease than the pacer's; a win never shortens it."""
    long, short = 2 * HORIZON, 1.5
    held = pacer.reserve("tea", "long", 5, lease=long)
    pacer.reserve("tea", "short", 5, lease=short)
    assert clock.now_ms() + long * 1000 == held.lease_ends_ms
    pacer.keep("tea", "long")
    clock.advance(1.5)
    assert 5000 == pacer.status("tea").reserved
    clock.advance(long - 1.501)
    assert 5000 == pacer.status("tea").reserved


@pytest.mark.parametrize("who", ["reserve", "charge"])
def test_many_ended_leases_come_back_in_one_call(pacer, clock, timed_cache, who):
    """Who needs the amounts of 130 ended leases is not refused."""
    store(timed_cache, campaign(budget=0.13, bid_price=130))
    asked = [pacer.ask_reserve("tea", f"r{n}", 1) for n in range(130)]
    assert all(timed_cache.wire.trip(asked))
    assert "budget" == pacer.reserve("tea", "more", 1).reason
    clock.advance(LEASE)
    if who == "reserve":
        assert pacer.reserve("tea", "all", 130)
        assert (0, 130_000, 0) == money(pacer)
    else:
        assert ("charged", 130_000) == charge(timed_cache, "tea", 130_000)
        assert (130_000, 0, 0) == money(pacer)


def test_a_call_sweeps_a_batch_only(pacer, clock, timed_cache):
    """A reserve that has room looks at 50 ended leases, not at all."""
    asked = [pacer.ask_reserve("tea", f"r{n}", 1) for n in range(130)]
    timed_cache.wire.trip(asked)
    clock.advance(LEASE)
    pacer.reserve("tea", "one", 1)
    leases = timed_cache.get_key("budget_leases", campaign_id="tea")

    assert 130 - 50 + 1 == timed_cache.redis_client.zcard(leases)
    assert (0, 1000, 0) == money(pacer)


def test_a_late_cost_beyond_the_budget_is_overrun(pacer, clock, timed_cache):
    """Its amount was given to another: recorded, and reported apart."""
    store(timed_cache, campaign(budget=0.005))
    pacer.reserve("tea", "r1", 5)
    clock.advance(LEASE)
    pacer.reserve("tea", "r2", 5)
    late = pacer.settle("tea", "r1", 4)
    assert late
    assert (4000, 4000, True) == (late.cost, late.overrun, late.late)
    assert (4000, 5000, 4000) == money(pacer)

    on_time = pacer.settle("tea", "r2", 5)
    assert (5000, 4000) == (on_time.cost, on_time.overrun)
    assert (9000, 0, 4000) == money(pacer)
    assert "budget" == pacer.reserve("tea", "r3", 0.000001).reason


def test_a_late_cost_with_room_is_no_overrun(pacer, clock):
    """Nobody has taken the amount in the meantime: all is well."""
    pacer.reserve("tea", "r1", 5)
    clock.advance(LEASE + 1)
    late = pacer.settle("tea", "r1", 5)

    assert (True, 0) == (late.late, late.overrun)
    assert (5000, 0, 0) == money(pacer)


def test_a_cost_above_the_reservation_is_recorded(pacer, timed_cache):
    """The exchange's price is what is owed, also beyond the budget."""
    store(timed_cache, campaign(budget=0.005))
    pacer.reserve("tea", "r1", 3)
    above = pacer.settle("tea", "r1", 6)

    assert (6000, 1000, False) == (above.cost, above.overrun, above.late)
    assert (6000, 0, 1000) == money(pacer)


def test_spent_and_reserved_stay_within_budget_and_overrun(pacer, timed_cache):
    """Also after the budget was lowered: the difference is overrun at once."""
    pacer.reserve("tea", "r1", 5)
    pacer.settle("tea", "r1", 5)
    pacer.reserve("tea", "r2", 5)
    store(timed_cache, campaign(budget=0.004))
    assert (5000, 5000, 6000) == money(pacer)
    pacer.release("tea", "r2")
    assert (5000, 0, 1000) == money(pacer)


def test_a_thousand_impressions_cost_their_cpm(pacer, timed_cache):
    """Fractions of a micro are carried: a thousand cost exactly the CPM."""
    cpm = 1.234567
    step = 250
    for start in range(0, 1000, step):
        names = [f"r{n}" for n in range(start, start + step)]
        held = [pacer.ask_reserve("tea", name, cpm) for name in names]
        bills = [pacer.ask_settle("tea", name, cpm) for name in names]
        assert all(timed_cache.wire.trip([*held, *bills]))

    assert (round(cpm * 1e6), 0, 0) == money(pacer)


def test_a_lost_account_fails_closed(pacer, timed_cache):
    """Without the spend hash nobody knows what is left: no bid, no charge."""
    pacer.reserve("tea", "r1", 5)
    spend = timed_cache.get_key("campaign_spend", campaign_id="tea")
    timed_cache.redis_client.delete(spend)

    assert "lost" == pacer.reserve("tea", "r2", 1).reason
    assert ("lost", 0) == charge(timed_cache, "tea", 1)
    assert None is pacer.status("tea")
    billed = pacer.settle("tea", "r1", 4)
    assert (False, "lost", 0) == (billed.counted, billed.reason, billed.cost)
    assert not timed_cache.redis_client.exists(spend)

    store(timed_cache, campaign(spent=2))  # from the system of record
    assert (2_000_000, 5000, 0) == money(pacer)  # what is reserved is counted again
    assert 4000 == pacer.settle("tea", "r1", 4).cost  # the bill is still welcome
    assert (2_004_000, 0, 0) == money(pacer)


def test_a_lost_account_lets_losses_and_wins_pass(pacer, timed_cache):
    """They need no money; the amount of a lost bid is not counted again."""
    for name in ("r1", "r2"):
        pacer.reserve("tea", name, 5)
    spend = timed_cache.get_key("campaign_spend", campaign_id="tea")
    timed_cache.redis_client.delete(spend)
    assert [True, True] == [
        bool(pacer.release("tea", "r1")),
        bool(pacer.keep("tea", "r2")),
    ]
    store(timed_cache, campaign())

    assert (0, 5000, 0) == money(pacer)


def test_lost_leases_stay_reserved(pacer, timed_cache, clock):
    """Redis lost the list of leases: their money is not given to others."""
    pacer.reserve("tea", "r1", 5)
    leases = timed_cache.get_key("budget_leases", campaign_id="tea")
    timed_cache.redis_client.delete(leases)
    clock.advance(LEASE)

    assert (0, 5000, 0) == money(pacer)
    assert pacer.settle("tea", "r1", 5).late
    assert (5000, 5000, 0) == money(pacer)


def test_durable_keys_outlive_flight_and_notices(cache):
    """Account and leases live to the flight's end and the horizon, at least."""
    data = campaign(start_date=START, end_date=START.replace(year=2099))
    store(cache, data)
    pacer = BudgetPacer(cache, LEASE, HORIZON)
    pacer.reserve("tea", "r1", 1)
    ttl = {
        name: cache.redis_client.pttl(cache.get_key(name, campaign_id="tea"))
        for name in ("campaign_spend", "budget_leases")
    }
    years = 30 * 365 * 86_400_000
    assert all(each == -1 or each > years for each in ttl.values())

    key = cache.get_key("budget_ledger", campaign_id="tea", reservation_id="r1")
    life = [cache.redis_client.pttl(key)]
    for notice in (pacer.keep, pacer.release):
        notice("tea", "r1")
        life.append(cache.redis_client.pttl(key))
    wanted = [LEASE + HORIZON, 2 * HORIZON, 2 * HORIZON]
    assert wanted == [round(each / 1000, -1) for each in life]


def test_a_lease_beyond_the_flight_keeps_the_account(timed_cache, clock):
    """Reserved at the last moment and won: the account waits for the bill."""
    store(timed_cache, campaign(end_date=START))
    pacer = BudgetPacer(timed_cache, LEASE, HORIZON)
    pacer.reserve("tea", "r1", 1)
    names = [
        timed_cache.get_key(name, campaign_id="tea")
        for name in ("campaign_spend", "budget_leases")
    ]
    pttl = timed_cache.redis_client.pttl
    held = [round(pttl(name) / 1000, -1) for name in names]
    pacer.keep("tea", "r1")
    kept = [round(pttl(name) / 1000, -1) for name in names]

    assert [LEASE + HORIZON] * 2 == held
    assert [2 * HORIZON] * 2 == kept


def test_hostile_ids_are_different_reservations(pacer):
    """No two ids share a reservation, and none breaks a key."""
    for name in HOSTILE:
        assert pacer.reserve("tea", name, 1, note="n")
    assert (0, len(HOSTILE) * 1000, 0) == money(pacer)
    for name in HOSTILE:
        assert pacer.settle("tea", name, 1).note == "n"
    assert (len(HOSTILE) * 1000, 0, 0) == money(pacer)


def test_a_note_comes_back_as_it_was(pacer):
    """Opaque text: the ad server's own."""
    notes = ["", " ", "a b", "0 1\n2", "é🦊", "x" * 4096, "\0a\0"]
    for number, note in enumerate(notes):
        ids = "tea", f"r{number}"
        pacer.reserve(*ids, 1, note=note)
        bills = [pacer.settle(*ids, 1) for _ in range(2)]
        others = [pacer.keep(*ids), pacer.release(*ids)]
        assert [note] * 4 == [each.note for each in bills + others]


NONSENSE = [
    *({"cpm": -1}, {"cpm": float("nan")}, {"cpm": float("inf")}, {"cpm": "1,5"}),
    *({"cpm": None}, {"cpm": True}, {"cpm": 1e9 + 1}),
    *({"campaign_id": ""}, {"campaign_id": 7}),
    *({"reservation_id": ""}, {"reservation_id": b"r"}),
    *({"lease": 0}, {"lease": -1}, {"lease": float("nan")}, {"lease": "1"}),
    *({"note": None}, {"note": "x" * 4097}, {"note": "\ud800"}),
]


def test_nonsense_is_refused_before_anything_is_written(pacer, timed_cache):
    """The error names the value; no key is touched."""
    before = all_keys(timed_cache)
    right = {"campaign_id": "tea", "reservation_id": "r1", "cpm": 1}
    for wrong in NONSENSE:
        with pytest.raises(InvalidValue, match=next(iter(wrong))):
            pacer.reserve(**(right | wrong))
        if "cpm" in wrong:
            with pytest.raises(InvalidValue, match="clearing_price must"):
                pacer.settle("tea", "r1", wrong["cpm"])

    assert before == all_keys(timed_cache)


def test_odd_settings_are_refused(cache):
    """Lease and horizon are durations, replicas a count."""
    for wrong in ({"lease": 0}, {"notice_horizon": float("inf")}):
        with pytest.raises(InvalidValue):
            BudgetPacer(cache, **wrong)
    pacer = BudgetPacer(cache)
    for wrong in ({"replicas": -1}, {"replicas": True}, {"replicas": 1, "wait": 1}):
        with pytest.raises(InvalidValue):
            pacer.settle("tea", "r1", 1, **wrong)


def test_the_largest_amounts_stay_exact(pacer, timed_cache):
    """2**53 - 1 micros of budget; a cost that would pass it is an error."""
    budget = 9_007_199_254_000_000
    store(timed_cache, campaign(budget=budget / 1e6, bid_price=1e9))
    most = budget - 10**12
    assert ("charged", most) == charge(timed_cache, "tea", most)
    assert pacer.reserve("tea", "r1", 1e9)
    assert "budget" == pacer.reserve("tea", "r2", 0.000001).reason
    assert pacer.settle("tea", "r1", "1e9")
    assert (budget, 0, 0) == money(pacer)

    spend = timed_cache.get_key("campaign_spend", campaign_id="tea")
    timed_cache.redis_client.hset(spend, "spent", 0)
    pacer.reserve("tea", "r3", 1)
    timed_cache.redis_client.hset(spend, "spent", 2**53 - 1)
    with pytest.raises(CommandRefused, match="2\\^53"):
        pacer.settle("tea", "r3", 1)
    assert (2**53 - 1, 1000) == money(pacer)[:2]


def test_a_charge_fits_or_is_refused(pacer, timed_cache):
    """Spent and reserved leave room or not; an operation id counts once."""
    store(timed_cache, campaign(budget=0.01))
    pacer.reserve("tea", "r1", 4)
    assert ("charged", 6000) == charge(timed_cache, "tea", 6000, "op")
    assert ("charged", 6000) == charge(timed_cache, "tea", 6000, "op")
    assert ("budget", 6000) == charge(timed_cache, "tea", 1)
    assert ("taken", 6000) == charge(timed_cache, "tea", 1, "r1")
    assert "charged" == pacer.reserve("tea", "op", 1).reason
    assert "unknown" == pacer.settle("tea", "op", 1).reason
    pacer.release("tea", "r1")
    assert ("charged", 10_000) == charge(timed_cache, "tea", 4000)


def test_a_stored_campaign_may_spend(cache):
    """What `set_campaign` writes is what the pacer reads."""
    campaigns, pacer = CampaignCache(cache), BudgetPacer(cache)
    data = campaign(end_date=END.replace(year=2099), spent=10, daily_budget=50)
    campaigns.set_campaign(data)
    assert pacer.reserve("tea", "r1", 5)
    assert "above bid" == pacer.reserve("tea", "r2", 5.01).reason
    assert campaigns.update_campaign_spend("tea", 1.5)
    assert 2500 == pacer.settle("tea", "r1", 2.5).cost

    status = pacer.status("tea")
    assert (11_502_500, 1_502_500) == (status.spent, status.today)
    assert (50_000_000, 48_497_500) == (status.allowance, status.room)


def test_questions_of_several_bids_share_a_trip(pacer, timed_cache):
    """Reserve, win, bill and status of different campaigns in one wait."""
    store(timed_cache, campaign("coffee"))
    answers = timed_cache.wire.trip(
        [
            pacer.ask_reserve("tea", "r1", 5),
            pacer.ask_reserve("coffee", "r1", 5),
            pacer.ask_keep("tea", "r1"),
            pacer.ask_settle("tea", "r1", 5),
            pacer.ask_release("coffee", "r1"),
            pacer.ask_status("tea"),
        ]
    )

    assert all(answers)
    assert 5000 == answers[-1].spent


def test_flushed_scripts_do_no_harm(pacer, timed_cache):
    """SCRIPT FLUSH between any two calls: the next counts on."""
    for name in ("reserve", "keep", "settle", "release"):
        timed_cache.redis_client.script_flush()
        call(pacer, name, 5)

    assert (5000, 0, 0) == money(pacer)


def test_a_lost_reply_changes_nothing(own_server):
    """Each call cut after the server's work and repeated: the sums are right."""
    proxy = Proxy(own_server.port)
    store(connect(own_server.url), campaign(end_date=END.replace(year=2099)))
    pacer = BudgetPacer(connect(proxy.url))
    pacer.status("tea")
    for number in range(3):
        for name in ("reserve", "keep", "settle"):
            prices = [] if name == "keep" else [5]
            proxy.lose(1)
            with pytest.raises(RedisUnavailable):
                getattr(pacer, name)("tea", f"r{number}", *prices)
            assert getattr(pacer, name)("tea", f"r{number}", *prices)

    assert (15_000, 0, 0) == money(pacer)


def test_the_library_may_repeat_by_itself(own_server):
    """Every call has an id, so `retry_on_timeout` repeats them all."""
    proxy = Proxy(own_server.port)
    store(connect(own_server.url), campaign(end_date=END.replace(year=2099)))
    config = CacheConfig(retry_on_timeout=True)
    pacer = BudgetPacer(connect(proxy.url, config=config))
    pacer.status("tea")
    for name in CALLS:
        proxy.lose(1)
        call(pacer, name, 5)

    assert (5000, 0, 0) == money(pacer)


def test_threads_never_spend_more_than_the_budget(cache):
    """Of 8 threads with 25 bids each, exactly the budget's 60 are held and billed."""
    store(cache, campaign(budget=0.3, end_date=END.replace(year=2099)))
    pacer, held = BudgetPacer(cache), []

    def bid(worker):
        for number in range(25):
            name = f"{worker}-{number}"
            if pacer.reserve("tea", name, 5):
                held.append(name)
                pacer.settle("tea", name, 5)

    threads = [threading.Thread(target=bid, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 60 == len(held)
    assert (300_000, 0, 0) == money(pacer)


def test_known_and_unknown_are_counted(pacer, timed_cache):
    """The meter says how often a campaign or reservation was not there."""
    pacer.reserve("tea", "r1", 1)
    pacer.settle("tea", "r2", 1)
    meter = timed_cache.metrics.meter("pacing")

    assert (1, 1) == (meter.hits, meter.misses)
