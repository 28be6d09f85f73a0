"""The table of keys tells the truth: each row is written, as it says, and ends."""

import re
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from adcache import (
    BidRequestCache,
    BidResponse,
    BudgetPacer,
    CacheStrategy,
    CampaignCache,
    Cap,
    CreativeCache,
    FrequencyCapManager,
    PerformanceStatsCache,
    ReadThrough,
    RealTimeBiddingCache,
    RecordCache,
    RedisAdCache,
    SessionManager,
    SessionTargeting,
    UserPrivacy,
    UserProfile,
    UserProfileCache,
)
from adcache.keys import KEYS
from adcache.openrtb import decode_bid_response
from adcache.simulate import sample_request
from tests.campaign_help import banner, running
from tests.conftest import all_keys

MINUTE, HOUR, DAY = 60, 3600, 86_400
CAPS = [Cap(5, HOUR), Cap(9, DAY)]
# Seconds that each key has left at the least and at the most, a moment after it
# was written with the default times; None for no end at all.
LEFT: dict[str, tuple[float, float] | None] = {
    "ad_creative": (2 * HOUR, 2 * HOUR),
    "bid_answer": (10, 10),
    "bid_context": (HOUR + MINUTE, HOUR + MINUTE),  # bid.exp is a minute
    "bid_request": (10, 10),
    "budget_leases": (9 * DAY, 9 * DAY + HOUR),  # the flight has nine days left
    "budget_ledger": (HOUR + 5 * MINUTE, HOUR + 5 * MINUTE),
    "campaign": (2 * HOUR, 2 * HOUR),
    "campaign_index": (DAY, DAY),
    "campaign_spend": (39 * DAY, 39 * DAY),
    "frequency_cap": (DAY, DAY),
    "frequency_impression": (DAY, DAY),
    "frequency_lease": (HOUR + 5 * MINUTE, HOUR + 5 * MINUTE),
    "frequency_log": (DAY, DAY),
    "loaded": (54 * MINUTE + MINUTE, HOUR + MINUTE),
    "loaded_lease": (50, 50),
    "performance_stats": (7 * DAY, 8 * DAY),
    "real_time_bid": (7 * MINUTE, 7 * MINUTE),
    "record": (54 * MINUTE, HOUR),
    "record_lease": (10, 10),
    "session_events": (30 * MINUTE, 30 * MINUTE),
    "session_interests": (30 * MINUTE, 30 * MINUTE),
    "stats_event": (HOUR, HOUR),
    "stats_minutes": (3 * HOUR, 4 * HOUR),
    "stats_reach": (7 * DAY, 8 * DAY),
    "targeting_ads": (DAY, DAY),
    "targeting_due": (DAY, DAY),
    "targeting_index": (DAY, DAY),
    "targeting_ready": (DAY, DAY),
    "user_activities": (10 * MINUTE, 10 * MINUTE),
    "user_profile": (HOUR, HOUR),
    "user_segments": (DAY, DAY),
    "user_segments_of": (2 * DAY, 2 * DAY),
    "user_session": (30 * MINUTE, 30 * MINUTE),
    "user_sessions": (12 * HOUR, 12 * HOUR),
    "user_suppressed": (400 * DAY, 400 * DAY),
    "write_due": None,
    "write_lease": (10, 10),
    "write_order": None,
    "write_queue": None,
    "write_record": (54 * MINUTE, HOUR),
    "write_versions": None,
}
GRACE = 30  # seconds that a busy machine may take to fill the table


class Away:
    """A database that can be read and not written: what is queued stays queued."""

    def load(self, key: str) -> Any:
        return {"of": key}

    def store(self, key: str, value: Any, version: int | None = None) -> None:
        raise RuntimeError("no database today")


def fill(cache: RedisAdCache) -> None:
    """Use every component once, with its default times."""
    bids_and_caps(cache)
    users(cache)
    campaigns(cache)
    records(cache)


def bids_and_caps(cache: RedisAdCache) -> None:
    """Claim and answer bid requests, bid, cap and lease."""
    requests, request = BidRequestCache(cache), sample_request()
    bid = {"id": "b", "impid": request["imp"][0]["id"], "price": 1, "exp": MINUTE}
    answer = decode_bid_response({"id": request["id"], "seatbid": [{"bid": [bid]}]})
    requests.claim_bid_request(request)
    requests.answer_bid_request(request, answer)
    cache.wire.ask(requests.ask_first("r2"))
    cache.wire.ask(requests.ask_reply(BidResponse(id="r2")))
    RealTimeBiddingCache(cache).create_auction("a", 1.0)
    RealTimeBiddingCache(cache).submit_bid("a", "tea", 2.0)
    caps = FrequencyCapManager(cache)
    caps.check_frequency_cap("u", "tea", caps=CAPS, impression_id="i")
    caps.lease("u", {"tea": CAPS}, "l")
    FrequencyCapManager(cache, "sliding_log").check_frequency_cap("u", "tea")


def users(cache: RedisAdCache) -> None:
    """Remember a user in every way, and suppress another."""
    profiles = UserProfileCache(cache)
    profiles.set_user_profile(
        UserProfile(
            user_id="u",
            interests=["tea"],
            demographics={},
            behavior_score=0.5,
            last_activity=datetime.now(UTC),
            segment="readers",
        )
    )
    profiles.update_user_activity("u", {"score_delta": 1}, activity_id="x")
    UserPrivacy(cache).suppress("gone")
    SessionManager(cache).create_session("s", {"user_id": "u"})
    SessionTargeting(cache).record("s", {"tea": 1}, event_id="e")


def campaigns(cache: RedisAdCache) -> None:
    """Run a campaign, and have another that starts tomorrow."""
    records = CampaignCache(cache)
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    for campaign in (running("tea"), running("soon", start_date=tomorrow)):
        records.set_campaign(campaign)
        ads = [banner(f"of-{campaign.campaign_id}", campaign.campaign_id)]
        records.index_campaign_targeting(
            campaign.campaign_id, {"interests": ["tea"]}, ads
        )
    cache.wire.ask(records.ask_ready("tea"))
    BudgetPacer(cache).reserve("tea", "r", 1.0)
    CreativeCache(cache).set_creative(banner("b"))
    PerformanceStatsCache(cache).record_event("tea", {"clicks": 1}, "e", "u")


def records(cache: RedisAdCache) -> None:
    """Read and write records; one of them stays in the queue."""
    ReadThrough(cache, "k", str.title).put("loaded", 1)
    RecordCache(cache, "aside", Away()).get("k")
    back = RecordCache(cache, "back", Away(), CacheStrategy.WRITE_BACK)
    back.get("loaded")
    back.put("queued", 1)
    back.flush()


def row_of(key: str) -> str:
    """The row of the table that a key, without its namespace, belongs to."""
    found = []
    for name, row in KEYS.items():
        shape = re.escape(row.template.format_map(defaultdict(lambda: "ID")))
        if re.fullmatch(shape.replace("ID", "[^:{}]+"), key):
            found.append(name)
    (row,) = found
    return row


@pytest.mark.parametrize("backend", ["fakeredis", "redis"])
def test_every_row_is_written_as_the_table_says(make_cache, backend):
    """Each row has the type it says; only durable ones may live for ever."""
    cache = make_cache(backend)
    fill(cache)
    kept: dict[str, tuple[str, float | None]] = {}
    for key in all_keys(cache):
        kind = cache.redis_client.type(key)
        left_ms = cache.redis_client.pttl(key)
        row = row_of(cache.keys.strip(key))
        kept[row] = (kind, None if left_ms == -1 else left_ms / 1000)
    if backend == "fakeredis":  # where a HyperLogLog is a set, and exact
        kept["stats_reach"] = ("string", kept["stats_reach"][1])

    assert sorted(KEYS) == sorted(kept)
    assert {n: r.redis_type for n, r in KEYS.items()} == {
        n: k[0] for n, k in kept.items()
    }
    assert {n for n, (_, left) in kept.items() if left is None} == {
        name for name, left in LEFT.items() if left is None
    }
    assert {n for n, left in LEFT.items() if left is None} <= {
        name for name, row in KEYS.items() if row.durable
    }
    for name, (_, left) in kept.items():
        if left is not None:
            least, most = LEFT[name]
            assert least - GRACE < left <= most, name
