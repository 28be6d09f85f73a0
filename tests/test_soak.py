"""The reliability suite at the size of a test; `make soak` runs it at full length."""

import pytest

from adcache import BudgetPacer, FrequencyCapManager, UserProfileCache
from adcache.stats import PerformanceStatsCache
from tests.conftest import need_binary
from tools.soak import mixed, stage
from tools.soak.__main__ import table
from tools.soak.judge import violations
from tools.soak.scenarios import SCENARIOS, Outcome

SCALE = stage.Scale.of(300)
NAMES = (
    *("caps exceeded", "impressions lost or doubled", "budgets overspent"),
    *("micros lost or doubled", "wrong winners", "events lost or doubled"),
    *("scores wrong", "sessions resurrected", "keys without TTL"),
)


@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_the_platform_survives(name):
    """Races, lost replies, kills, wrong clocks, forks, flushes: no rule is broken.

    A failover may lose what was not replicated yet; work must go on all the same.
    """
    need_binary("redis")
    outcome = SCENARIOS[name](8, 250)

    assert 2000 == outcome.operations
    assert set(NAMES) == set(outcome.violations)
    if name == "failover":
        assert outcome.remark != "the primary was never killed"
        assert outcome.pause < 15
    else:
        assert {} == {k: n for k, n in outcome.violations.items() if n}
    if name in ("lost_replies", "killed_server"):
        assert outcome.unanswered > 0


def move_money(cache):
    """Make one micro disappear."""
    key = cache.get_key("campaign_spend", campaign_id=stage.CAMPAIGNS[0])
    cache.redis_client.hincrby(key, "spent", -1)


def pass_the_budget(cache):
    """Spend more than there is, behind the scripts' back."""
    key = cache.get_key("campaign_spend", campaign_id=stage.CAMPAIGNS[0])
    cache.redis_client.hincrby(key, "spent", 3_000_000)


def count_twice(cache):
    """Count an impression that nobody was told of."""
    FrequencyCapManager(cache).check_frequency_cap(
        stage.USERS[0], stage.CAMPAIGNS[0], 10**6, 36_000
    )


def drop_a_bid(cache):
    """Let an auction forget its best bid."""
    for name in stage.AUCTIONS:
        key = cache.get_key("real_time_bid", auction_id=name)
        if cache.redis_client.hget(key, "campaign"):
            cache.redis_client.hset(key, mapping={"price": 1, "clearing": 1})


def count_an_event_twice(cache):
    """Count an event without its id."""
    PerformanceStatsCache(cache).record_event(
        stage.CAMPAIGNS[0], {"impressions": 1, "cost": 0.001}
    )


def change_a_score(cache):
    """Add a point that nobody asked for."""
    UserProfileCache(cache).update_user_activity(stage.USERS[0], {"score_delta": 1})


def forget_a_ttl(cache):
    """Write a key that would live for ever."""
    cache.redis_client.set(cache.get_key("campaign", campaign_id="x"), "1")


@pytest.mark.parametrize(
    ("tamper", "violation"),
    [
        (move_money, "micros lost or doubled"),
        (pass_the_budget, "budgets overspent"),
        (count_twice, "impressions lost or doubled"),
        (drop_a_bid, "wrong winners"),
        (count_an_event_twice, "events lost or doubled"),
        (change_a_score, "scores wrong"),
        (forget_a_ttl, "keys without TTL"),
    ],
)
def test_the_judge_sees_what_is_wrong(make_cache, tamper, violation):
    """Each kind of violation is found when it is made, and nothing before."""
    found = []
    for deed in (lambda cache: None, tamper):
        cache = make_cache("fakeredis")
        stage.prepare(cache, SCALE)
        told = mixed.Worker(cache, 1, SCALE).run(300)
        deed(cache)
        found.append(violations(cache, told, SCALE))
        cache.redis_client.delete(cache.get_key("campaign", campaign_id="x"))

    assert not any(found[0].values())
    assert found[1][violation] > 0


def test_a_cap_that_is_passed_is_seen(make_cache):
    """More impressions than a cap allows are violations, even if all agree on them."""
    cache = make_cache("fakeredis")
    stage.prepare(cache, SCALE)
    told = mixed.Report()
    told["cap", stage.USERS[0], stage.CAMPAIGNS[0]] = SCALE.limit + 1
    for _ in range(SCALE.limit + 1):
        count_twice(cache)

    assert 1 == violations(cache, told, SCALE)["caps exceeded"]


def test_the_table_says_what_was_checked():
    """Each scenario is a row; what counts as a violation stands below."""
    text = table([Outcome("forks", 8000, dict.fromkeys(NAMES, 0), 3.2, 5, 0.25, "x")])

    assert "| forks | 8,000 | 3 s | 5 | 0.25 s | 0 | x |" in text
    assert all(name in text for name in NAMES)


def test_the_mix_is_hard_enough(make_cache):
    """Budgets run dry and caps fill up during a run, or nothing would be proved."""
    cache = make_cache("fakeredis")
    scale = stage.Scale.of(3000)
    stage.prepare(cache, scale)
    told = mixed.Worker(cache, 1, scale).run(3000)
    rooms = [BudgetPacer(cache).status(name).room for name in stage.CAMPAIGNS]
    full = [key for key, n in told.items() if key[0] == "cap" and n == scale.limit]
    served = [n for key, n in told.items() if key[-1] in stage.SERVED]

    assert min(rooms) < 5000
    assert len(full) > 20
    assert sum(served) > 100
