"""The "before" of every lesson: each job as it is usually written first.

One redis-py call after the other, each with its own wait for the network, and
between two of them anything may happen. Nobody is made to look silly here: all
of it works for one user and one server. The lessons show what breaks with two,
and `make bench` measures what the waiting costs.

Its keys stand under ``naive:``, so that they never meet those of `adcache`.
"""

import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from adcache.connection import RedisAdCache
from adcache.models import CampaignData, Creative, UserProfile

METRICS = ("impressions", "clicks", "conversions", "cost", "revenue")


class Naive:
    """The jobs of an ad platform, done one command at a time.

    >>> from adcache import connect
    >>> naive = Naive(connect("fakeredis://"))
    >>> [naive.check_frequency_cap("ada", "coffee", limit=2) for _ in range(3)]
    [True, True, False]
    """

    def __init__(self, cache: RedisAdCache) -> None:
        self.cache = cache
        self.client = cache.redis_client
        self._prefix = cache.keys.match.removesuffix("*") + "naive:"

    def key(self, *parts: str) -> str:
        """Join the parts of a key with colons: ("a:b", "c") and ("a", "b:c") meet."""
        return self._prefix + ":".join(parts)

    def now(self) -> datetime:
        """The clock of whoever asks; each server of a platform has another."""
        clock = self.cache.clock
        if clock is None:
            return datetime.now(UTC)
        return datetime.fromtimestamp(clock.now_ms() / 1000, UTC)

    def _store(self, key: str, fields: dict[str, Any], ttl: int) -> None:
        """Write a hash and its TTL together: what a first version gets right."""
        pipe = self.client.pipeline()
        pipe.hset(key, mapping=fields)
        pipe.expire(key, ttl)
        pipe.execute()

    # Users: a hash whose fields are JSON (lesson 03).

    def set_user_profile(self, profile: UserProfile, ttl: int = 3600) -> None:
        """Write all fields, and nothing of what they must agree with."""
        key = self.key("profile", profile.user_id)
        fields = {
            "user_id": profile.user_id,
            "interests": json.dumps(profile.interests),
            "demographics": json.dumps(profile.demographics),
            "behavior_score": profile.behavior_score,
            "last_activity": profile.last_activity.isoformat(),
            "segment": profile.segment,
        }
        self._store(key, fields, ttl)

    def get_user_profile(self, user_id: str) -> UserProfile | None:
        """Read all fields, parse them one by one."""
        row = self.client.hgetall(self.key("profile", user_id))
        if not row:
            return None
        return UserProfile(
            user_id=row["user_id"],
            interests=json.loads(row["interests"]),
            demographics=json.loads(row["demographics"]),
            behavior_score=float(row["behavior_score"]),
            last_activity=datetime.fromisoformat(row["last_activity"]),
            segment=row["segment"],
        )

    def update_user_activity(self, user_id: str, score_delta: float) -> None:
        """Three trips; two callers lose one update, a stranger becomes a ghost."""
        key = self.key("profile", user_id)
        self.client.hset(key, "last_activity", self.now().isoformat())
        score = float(self.client.hget(key, "behavior_score") or 0)
        self.client.hset(key, "behavior_score", score + score_delta)

    # Frequency caps: a counter per user and campaign (lesson 07).

    def has_room(self, user_id: str, campaign_id: str, limit: int = 3) -> bool:
        """Read the counter."""
        return int(self.client.get(self.key("cap", user_id, campaign_id)) or 0) < limit

    def check_frequency_cap(
        self, user_id: str, campaign_id: str, limit: int = 3, window: int = 86400
    ) -> bool:
        """GET, then INCR, then EXPIRE: two callers both find the last place."""
        if not self.has_room(user_id, campaign_id, limit):
            return False
        key = self.key("cap", user_id, campaign_id)
        self.client.incr(key)
        self.client.expire(key, window)  # also moves the end of a running window
        return True

    # Sessions (lesson 08).

    def create_session(
        self, session_id: str, user_data: dict[str, Any], ttl: int = 1800
    ) -> None:
        """Overwrite whatever session has this id."""
        key, now = self.key("session", session_id), self.now().isoformat()
        fields = {
            "session_id": session_id,
            "user_id": user_data.get("user_id", ""),
            "created_at": now,
            "last_activity": now,
            "data": json.dumps(user_data),
        }
        self._store(key, fields, ttl)

    def get_session(self, session_id: str) -> dict[str, Any] | None:
        """Read all fields, parse the data."""
        row = self.client.hgetall(self.key("session", session_id))
        return {**row, "data": json.loads(row["data"])} if row else None

    def touch_session(self, session_id: str, ttl: int = 1800) -> None:
        """Also brings back a session that was deleted a moment ago."""
        key = self.key("session", session_id)
        self.client.hset(key, "last_activity", self.now().isoformat())
        self.client.expire(key, ttl)

    # Campaigns, and a set of ids per interest and location (lesson 05).

    def set_campaign(self, campaign: CampaignData, ttl: int = 7200) -> None:
        """Write the record, its `spent` included; then index it."""
        key = self.key("campaign", campaign.campaign_id)
        fields = {
            "campaign_id": campaign.campaign_id,
            "advertiser_id": campaign.advertiser_id,
            "budget": campaign.budget,
            "spent": campaign.spent,
            "bid_price": campaign.bid_price,
            "targeting": json.dumps(campaign.targeting),
            "status": campaign.status,
            "start_date": campaign.start_date.isoformat(),
            "end_date": campaign.end_date.isoformat(),
            "creative": campaign.creatives[0] if campaign.creatives else "",
        }
        self._store(key, fields, ttl)
        for interest in campaign.targeting.get("interests", []):
            for location in campaign.targeting.get("locations", ["all"]):
                index = self.key("targeting", interest, location)
                self.client.sadd(index, campaign.campaign_id)
                self.client.expire(index, 86400)

    def get_active_campaigns(
        self, interests: Iterable[str], location: str
    ) -> list[dict[str, Any]]:
        """One trip an index, one a campaign; all of them, however many."""
        found: set[str] = set()
        for interest in interests:
            for place in (location, "all"):
                found |= self.client.smembers(self.key("targeting", interest, place))
        rows = [self.client.hgetall(self.key("campaign", each)) for each in found]
        return [row for row in rows if row and self._is_active(row)]

    def _is_active(self, row: dict[str, str]) -> bool:
        starts, ends = (
            datetime.fromisoformat(row[f"{x}_date"]) for x in ("start", "end")
        )
        in_flight = row["status"] == "active" and starts <= self.now() <= ends
        return in_flight and float(row["spent"]) < float(row["budget"])

    def set_creative(self, creative: Creative, ttl: int = 7200) -> None:
        """Write what is shown."""
        fields = {"markup": creative.markup, "w": creative.w, "h": creative.h}
        self._store(self.key("creative", creative.creative_id), fields, ttl)

    def spend(self, campaign_id: str, amount: float) -> None:
        """Add to a float; nobody looks at the budget in the same moment."""
        self.client.hincrbyfloat(self.key("campaign", campaign_id), "spent", amount)

    # The internal auction (lesson 06).

    def create_auction(self, auction_id: str, floor: float) -> None:
        """Keep the floor, and forget to use it."""
        key = self.key("auction", auction_id)
        self._store(key, {"floor": floor, "best": 0.0, "winner": ""}, 120)

    def submit_bid(self, auction_id: str, campaign_id: str, price: float) -> bool:
        """Read the best bid, then write a better one; bids prolong the auction."""
        key = self.key("auction", auction_id)
        if price <= float(self.client.hget(key, "best") or 0):
            return False
        self._store(key, {"best": price, "winner": campaign_id}, 120)
        return True

    def get_auction_winner(self, auction_id: str) -> str:
        """Read who is written there; empty when nobody bid."""
        return self.client.hget(self.key("auction", auction_id), "winner") or ""

    # Statistics: a hash per campaign and day (lesson 09).

    def increment_stat(self, campaign_id: str, metric: str, value: float = 1) -> None:
        """Count in a float, then move the end of the day's retention."""
        key = self.key("stats", campaign_id, self.now().date().isoformat())
        self.client.hincrbyfloat(key, metric, value)
        self.client.expire(key, 7 * 86400)

    def get_campaign_summary(self, campaign_id: str, days: int = 7) -> dict[str, float]:
        """One trip a day."""
        total = dict.fromkeys(METRICS, 0.0)
        for back in range(days):
            day = (self.now() - timedelta(days=back)).date().isoformat()
            row = self.client.hgetall(self.key("stats", campaign_id, day))
            for metric in METRICS:
                total[metric] += float(row.get(metric, 0))
        clicks, impressions = total["clicks"], total["impressions"]
        return total | {
            "ctr": clicks / impressions if impressions else 0.0,
            "cvr": total["conversions"] / clicks if clicks else 0.0,
            "cpc": total["cost"] / clicks if clicks else 0.0,
            "roas": total["revenue"] / total["cost"] if total["cost"] else 0.0,
        }

    # Records of another system (lessons 04 and 11).

    def read_through(
        self, name: str, load: Callable[[str], Any], ttl: int = 3600
    ) -> Any:
        """Whoever misses loads: fifty callers of one key load fifty times."""
        key = self.key("record", name)
        stored = self.client.get(key)
        if stored is not None:
            return json.loads(stored)
        record = load(name)
        self.client.set(key, json.dumps(record), ex=ttl)
        return record
