"""The names, parameters and results that users of a Redis ad cache write by heart."""

import ast
import inspect
import subprocess
import sys
import uuid
from datetime import UTC, datetime, timedelta

import pytest

import adcache
from adcache import (
    CacheConfig,
    CacheMonitor,
    CacheStrategy,
    CampaignCache,
    CampaignData,
    FrequencyCapManager,
    PerformanceStatsCache,
    RealTimeBiddingCache,
    RedisAdCache,
    SessionManager,
    UserProfile,
    UserProfileCache,
)

# Each method with its parameters in order; "=..." are the defaults promised.
SIGNATURES = {
    RedisAdCache: {
        "__init__": "host='localhost', port=6379, db=0, password=None, config=None",
        "get_client": "",
        "get_key": "pattern",
    },
    UserProfileCache: {
        "get_user_profile": "user_id",
        "set_user_profile": "profile, ttl=3600",
        "update_user_activity": "user_id, activity_data",
        "get_users_by_segment": "segment, limit=100",
        "add_user_to_segment": "user_id, segment",
    },
    CampaignCache: {
        "get_campaign": "campaign_id",
        "set_campaign": "campaign, ttl=7200",
        "update_campaign_spend": "campaign_id, spend_amount",
        "get_active_campaigns": "targeting_criteria",
        "index_campaign_targeting": "campaign_id, targeting",
    },
    RealTimeBiddingCache: {
        "create_auction": "auction_id, floor_price, ttl=120",
        "submit_bid": "auction_id, campaign_id, bid_price",
        "get_auction_winner": "auction_id",
        "close_auction": "auction_id",
    },
    FrequencyCapManager: {
        "check_frequency_cap": "user_id, campaign_id, limit=3, window=86400",
        "reset_frequency_cap": "user_id, campaign_id",
    },
    SessionManager: {
        "create_session": "session_id, user_data, ttl=1800",
        "get_session": "session_id",
        "update_session_activity": "session_id",
        "delete_session": "session_id",
    },
    PerformanceStatsCache: {
        "increment_stat": "campaign_id, metric, value=1.0, date=None",
        "get_daily_stats": "campaign_id, date=None",
        "get_campaign_summary": "campaign_id, days=7",
    },
    CacheMonitor: {
        "start_monitoring": "interval=60",
        "stop_monitoring": "",
        "get_cache_stats": "",
        "clear_expired_keys": "",
    },
}
METHODS = [(kind, name) for kind, methods in SIGNATURES.items() for name in methods]


@pytest.mark.parametrize(
    ("kind", "name"), METHODS, ids=lambda x: getattr(x, "__name__", x)
)
def test_a_method_takes_what_it_promises(kind, name):
    """Names, order and defaults of the positional parameters are as promised."""
    given = []
    for parameter in list(inspect.signature(getattr(kind, name)).parameters.values())[
        1:
    ]:
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD:
            optional = parameter.default is not parameter.empty
            given.append(
                f"{parameter.name}={parameter.default!r}"
                if optional
                else parameter.name
            )
    promised = SIGNATURES[kind][name].split(", ") if SIGNATURES[kind][name] else []

    assert promised == given[: len(promised)]
    assert all("=" in more for more in given[len(promised) :])


def test_the_strategies_have_their_values():
    """Four strategies, by the names and values that configurations hold."""
    assert {
        "WRITE_THROUGH": "write_through",
        "WRITE_BACK": "write_back",
        "WRITE_AROUND": "write_around",
        "CACHE_ASIDE": "cache_aside",
    } == {strategy.name: strategy.value for strategy in CacheStrategy}


def test_every_public_name_is_there():
    """What `__all__` lists can be imported, and the list is sorted."""
    assert sorted(adcache.__all__) == adcache.__all__
    assert all(hasattr(adcache, name) for name in adcache.__all__)


def test_a_first_program_runs(cache):
    """A user's first tour through all components, with values as dicts and floats."""
    users, campaigns = UserProfileCache(cache), CampaignCache(cache)
    now = datetime.now()  # naive on purpose: that is what first programs do
    users.set_user_profile(
        UserProfile(
            user_id="user_1",
            interests=["tea", "sailing"],
            demographics={"age": 31, "location": "Lisbon"},
            behavior_score=12.25,
            last_activity=now,
            segment="regular",
        )
    )
    users.update_user_activity("user_1", {"score_delta": 2.5})
    campaigns.set_campaign(
        CampaignData(
            campaign_id="campaign_1",
            advertiser_id="advertiser_1",
            budget=5000.0,
            spent=120.5,
            bid_price=3.5,
            targeting={"interests": ["tea"], "age_range": [25, 40]},
            status="active",
            start_date=now - timedelta(minutes=1),
            end_date=now + timedelta(days=10),
        )
    )
    campaigns.index_campaign_targeting("campaign_1", {"interests": ["tea"]})
    campaigns.update_campaign_spend("campaign_1", 10.25)
    auctions, auction = RealTimeBiddingCache(cache), str(uuid.uuid4())
    auctions.create_auction(auction, floor_price=1.0)
    led = [
        bool(auctions.submit_bid(auction, name, price))
        for name, price in (("a", 2.5), ("b", 3.0), ("c", 2.75))
    ]
    caps = FrequencyCapManager(cache)
    shown = [bool(caps.check_frequency_cap("user_1", "a", limit=3)) for _ in range(5)]
    sessions = SessionManager(cache)
    session_id = sessions.create_session("s1", {"user_id": "user_1", "page": "/tea"})
    stats = PerformanceStatsCache(cache)
    for metric, value in (("impressions", 100), ("clicks", 5), ("cost", 12.5)):
        stats.increment_stat("campaign_1", metric, value)
    profile = users.get_user_profile("user_1")
    winner = auctions.get_auction_winner(auction)
    summary = stats.get_campaign_summary("campaign_1", days=1)

    assert 14.75 == profile.behavior_score
    assert profile.last_activity.tzinfo is UTC
    assert ["user_1"] == users.get_users_by_segment("regular")
    assert 130.75 == campaigns.get_campaign("campaign_1").spent
    assert ["campaign_1"] == campaigns.get_active_campaigns({"interests": ["tea"]})
    assert [True, True, False] == led
    assert ("b", 3.0, 2.75) == (
        winner["campaign_id"],
        winner["winning_bid"],
        winner["clearing_price"],
    )
    assert [True, True, True, False, False] == shown
    assert "/tea" == sessions.get_session(session_id)["data"]["page"]
    assert {"impressions": 100, "clicks": 5, "cost": 12.5} == stats.get_daily_stats(
        "campaign_1"
    )
    assert (0.05, 2.5, 0.0) == (summary["ctr"], summary["cpc"], summary["roas"])
    with CacheMonitor(cache) as monitor:
        assert "used_memory" in monitor.get_cache_stats()


def test_a_cache_is_made_from_host_port_and_config(own_server):
    """The constructor takes where the server is, and how to talk to it."""
    config = CacheConfig(default_ttl=60, max_connections=5, retry_on_timeout=True)
    cache = RedisAdCache(host="127.0.0.1", port=own_server.port, config=config)
    with cache.get_client() as client:
        assert client.ping()

    assert cache.pool is cache.redis_client.connection_pool
    assert {"user_profile", "campaign", "user_session"} < set(cache.key_patterns)
    assert "frequency_cap" in cache.lua_scripts


def test_a_name_is_imported_when_it_is_used():
    """Importing the package loads what everybody needs; the rest comes by its name."""
    program = (
        "import sys, adcache; early = set(sys.modules);"
        "adcache.AdServer;"
        "print('adcache.adserver' in early, 'adcache.adserver' in sys.modules)"
    )
    printed = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout

    assert "False True" == printed.strip()
    assert set(adcache.__all__) == set(dir(adcache))
    with pytest.raises(AttributeError, match="no attribute 'AdSever'"):
        _ = adcache.AdSever


def test_readers_and_type_checkers_see_the_same_names():
    """The list of homes agrees with the imports that type checkers read."""
    source = ast.parse(inspect.getsource(adcache))
    (block,) = [node for node in source.body if isinstance(node, ast.If)]
    seen = {
        alias.name: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }

    assert seen == {
        name: f"adcache.{home}" for name, home in adcache._MODULE_OF.items()
    }
