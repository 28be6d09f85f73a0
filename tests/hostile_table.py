"""Every public method of every component, and what kind each argument is of.

`TABLE` names class -> method -> parameter -> `Arg`: a value that is fine, and the
slots into which hostile values go. A slot is a kind, how the value gets into the
argument (as it is, or inside a record), and the name that an error must say.
"""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from adcache import (
    AdServer,
    AuctionDeal,
    BidRequestCache,
    BidResponse,
    BudgetPacer,
    CacheMonitor,
    CacheStrategy,
    CampaignCache,
    CampaignData,
    Cap,
    Creative,
    CreativeCache,
    FrequencyCapManager,
    NearCache,
    PerformanceStatsCache,
    ReadThrough,
    RealTimeBiddingCache,
    RecordCache,
    SessionManager,
    SessionTargeting,
    UserPrivacy,
    UserProfile,
    UserProfileCache,
)
from adcache.simulate import sample_request

NOW = datetime.now(UTC)


class Slot(NamedTuple):
    """Where a hostile value goes: its kind, the way in, and the name in errors."""

    kind: str
    wrap: Callable[[Any], Any] | None = None
    name: str = ""


class Arg(NamedTuple):
    """A value that is fine, and the slots of the argument."""

    fine: Any
    slots: tuple[Slot, ...] = ()


def arg(fine: Any, kind: str, name: str = "") -> Arg:
    """An argument that is itself what can be hostile."""
    return Arg(fine, (Slot(kind, None, name),))


def ident(fine: str = "x") -> Arg:
    """An id that must be there."""
    return arg(fine, "id")


def maybe(fine: str | None = None) -> Arg:
    """An id that may be left out."""
    return arg(fine, "optional id")


def seconds(fine: Any = 60) -> Arg:
    """A time that must be there."""
    return arg(fine, "seconds")


def record(fine: Any, *slots: Slot, kind: str = "object") -> Arg:
    """An argument of a shape of its own, with slots inside it."""
    return Arg(fine, (Slot(kind), *slots))


def inside(make: Callable[..., Any], **kinds: str) -> tuple[Slot, ...]:
    """Slots for fields of a record that `make` builds."""
    return tuple(
        Slot(kind, lambda value, f=field: make(**{f: value}), field)
        for field, kind in kinds.items()
    )


def profile(**changes: Any) -> UserProfile:
    """Make a profile that is fine."""
    fields = {
        "user_id": "x",
        "interests": ["tea"],
        "demographics": {},
        "behavior_score": 0.5,
        "last_activity": NOW,
        "segment": "readers",
    }
    return UserProfile(**fields | changes)


def campaign(**changes: Any) -> CampaignData:
    """Make a campaign that is fine."""
    fields: dict[str, Any] = {
        "campaign_id": "x",
        "advertiser_id": "adv",
        "budget": 100,
        "spent": 0,
        "bid_price": 2.5,
        "targeting": {},
        "status": "active",
        "start_date": NOW - timedelta(days=1),
        "end_date": NOW + timedelta(days=9),
    }
    if "cap_limit" in changes:
        fields["caps"] = [(changes.pop("cap_limit"), 60)]
    if "cap_window" in changes:
        fields["caps"] = [(3, changes.pop("cap_window"))]
    return CampaignData(**fields | changes)


def creative(**changes: Any) -> Creative:
    """Make a creative that is fine."""
    fields = {
        "creative_id": "x",
        "campaign_id": "x",
        "format": "banner",
        "markup": "<b>ad</b>",
    }
    return Creative(**fields | changes)


def bid_request(**changes: Any) -> dict[str, Any]:
    """Make a bid request whose user may be known; ids inside it may be changed."""
    made = sample_request("mobile_news") | {"regs": {"gdpr": 0}, "tmax": 5000}
    user = dict(made["user"])
    for name in ("buyeruid", "session_id"):
        if name in changes:
            where = user if name == "buyeruid" else user.setdefault("ext", {})
            where[name] = changes.pop(name)
    made["user"] = user
    if "imp_id" in changes:
        made["imp"] = [made["imp"][0] | {"id": changes.pop("imp_id")}]
    if "bidfloor" in changes:
        made["imp"] = [made["imp"][0] | {"bidfloor": changes.pop("bidfloor")}]
    return made | changes


class Records:
    """A system of record that knows every key and takes every value."""

    def load(self, key: str) -> Any:
        """One record for all."""
        return {"key": "fine"}

    def store(self, key: str, value: Any, version: int | None = None) -> None:
        """Take it."""


class Once(threading.Event):
    """Stops a loop after one round."""

    def __init__(self) -> None:
        super().__init__()
        self.rounds = 0

    def is_set(self) -> bool:
        """Unset once, then set."""
        self.rounds += 1
        return self.rounds > 1

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for nothing."""
        return True


def capped(campaign_id: str = "x", limit: Any = 3, window: Any = 60) -> dict[str, Any]:
    """Campaigns with caps, as several methods take them."""
    return {campaign_id: [Cap(limit, window)]}


CAPS = record(
    None,
    *inside(
        lambda **c: [Cap(**{"limit": 3, "window": 60} | c)],
        limit="cap limit",
        window="seconds",
    ),
    kind="optional object",
)
CAMPAIGNS = record(
    {"x": [Cap(3, 60)]},
    Slot("key", lambda value: capped(value), "campaign"),
    Slot("cap limit", lambda value: capped(limit=value), "limit"),
    Slot("seconds", lambda value: capped(window=value), "window"),
)
CHOICES = record(
    [[("x", [Cap(3, 60)])]],
    Slot("id", lambda value: [[(value, [Cap(3, 60)])]], "campaign"),
    Slot("object", lambda value: [value], "choice"),
    Slot("object", lambda value: [[value]], "choice"),
)
BID_REQUEST = record(
    bid_request(),
    *inside(bid_request, id="json id", imp_id="json id", bidfloor="json money"),
    kind="bid request",
)
DECIDE = BID_REQUEST._replace(
    slots=BID_REQUEST.slots
    + inside(bid_request, buyeruid="optional json id", session_id="optional json id")
)
RESPONSE = BidResponse(id=bid_request()["id"])
ACTIVITY = record(
    {"score_delta": 1.5},
    Slot("signed", lambda value: {"score_delta": value}, "score_delta"),
)
METRICS = record(
    {"clicks": 1},
    Slot("key", lambda value: {value: 1}, "metric"),
    Slot("stat", lambda value: {"clicks": value}, "clicks"),
    Slot("stat", lambda value: {"cost": value}, "cost"),
)
INTERESTS = record(
    {"tea": 1.5},
    Slot("key", lambda value: {value: 1}, "interest"),
    Slot("weight", lambda value: {"tea": value}, "weight"),
)
TARGETING = record(
    {"interests": ["tea"]},
    Slot("word", lambda value: {"interests": [value]}, "interests"),
    Slot("word", lambda value: {"locations": [value]}, "locations"),
    Slot("optional word", lambda value: {"location": value}, "location"),
    Slot("age", lambda value: {"age_range": [0, value]}, "age_range"),
    Slot("device", lambda value: {"devices": [value]}, "devices"),
)
BID = {"bid_id": arg("x~default~r~1", "bid id")}
LEASE = {
    "user_id": ident(),
    "campaigns": CAMPAIGNS,
    "lease_id": ident(),
    "ttl": seconds(),
}
BEST = LEASE | {"choices": CHOICES}
del BEST["campaigns"]
PAIR = {"user_id": ident(), "campaign_id": ident()}
LIMIT = {"limit": arg(3, "cap limit"), "window": seconds()}
CONFIRM = PAIR | {"lease_id": ident(), "caps": CAPS}
RESERVATION = {"campaign_id": ident(), "reservation_id": ident()}
RESERVE = RESERVATION | {
    "cpm": arg(2.5, "money"),
    "lease": arg(60, "optional seconds"),
    "note": arg("", "note"),
}
ADS = {"interest": ident(), "location": ident(), "best": arg(3, "count")}
CLAIM = {
    "request": BID_REQUEST,
    "exchange": ident(),
    "ttl": seconds(),
    "claim_id": maybe(),
}
ANSWER = {
    "request": BID_REQUEST,
    "response": record(RESPONSE, kind="response"),
    "exchange": ident(),
    "notice_horizon": seconds(),
}
EVENT = {
    "campaign_id": ident(),
    "metrics": METRICS,
    "event_id": maybe(),
    "user_id": maybe(),
    "at": arg(None, "date"),
}
RECORD = {"session_id": ident(), "interests": INTERESTS, "event_id": maybe()}
STORE = {"kind": ident()}
LOOK = {"limit": arg(10, "count")}

TABLE: dict[type, dict[str, dict[str, Arg]]] = {
    UserProfileCache: {
        "__init__": {
            "segment_ttl": seconds(),
            "max_members": arg(9, "count"),
            "max_segments": arg(9, "count"),
        },
        "add_user_to_segment": {"user_id": ident(), "segment": ident()},
        "ask_segments_of": {"user_id": ident()},
        "ask_update_user_activity": {
            "user_id": ident(),
            "activity_data": ACTIVITY,
            "activity_id": maybe(),
        },
        "ask_known": {"user_id": ident()},
        "ask_user_profile": {"user_id": ident()},
        "delete_user_profile": {"user_id": ident(), "everywhere": Arg(True)},
        "get_many": {"user_ids": record(["x"], Slot("id", lambda v: [v], "user_id"))},
        "get_user_profile": {"user_id": ident()},
        "get_users_by_segment": {"segment": ident(), "limit": arg(9, "count or 0")},
        "remove_user_from_segment": {"user_id": ident(), "segment": ident()},
        "segment_size": {"segment": ident()},
        "segments_of": {"user_id": ident()},
        "set_user_profile": {
            "profile": record(
                profile(),
                *inside(
                    profile,
                    user_id="text",
                    segment="text",
                    behavior_score="signed",
                    last_activity="moment",
                ),
            ),
            "ttl": seconds(),
        },
        "update_user_activity": {
            "user_id": ident(),
            "activity_data": ACTIVITY,
            "activity_id": maybe(),
        },
    },
    CampaignCache: {
        "__init__": {"index_ttl": seconds()},
        "ask_ads": ADS,
        "ask_ready": {"interest": ident(), "location": ident()},
        "ask_state": {"campaign_id": ident()},
        "delete_campaign": {"campaign_id": ident()},
        "get_active_campaigns": {"targeting_criteria": TARGETING},
        "get_ads": ADS,
        "get_campaign": {"campaign_id": ident()},
        "get_state": {"campaign_id": ident()},
        "index_campaign_targeting": {
            "campaign_id": ident(),
            "targeting": TARGETING,
            "creatives": record(None, kind="optional object"),
        },
        "pause": {"campaign_id": ident()},
        "resume": {"campaign_id": ident()},
        "set_campaign": {
            "campaign": record(
                campaign(),
                *inside(
                    campaign,
                    campaign_id="text",
                    advertiser_id="text",
                    status="text",
                    budget="money",
                    spent="money",
                    bid_price="money",
                    daily_budget="optional money",
                    start_date="moment",
                    end_date="moment",
                    time_zone="zone",
                    cap_limit="cap limit",
                    cap_window="seconds",
                ),
            ),
            "reseed": Arg(False),
            "ttl": seconds(),
        },
        "set_status": {"campaign_id": ident(), "status": arg("active", "text")},
        "update_campaign_spend": {
            "campaign_id": ident(),
            "spend_amount": arg(1, "money"),
            "operation_id": maybe(),
            "remember": seconds(),
        },
    },
    CreativeCache: {
        "__init__": {"negative_ttl": seconds()},
        "ask_creative": {"creative_id": ident()},
        "ask_markup": {"creative_id": ident()},
        "delete_creative": {"creative_id": ident()},
        "get_creative": {"creative_id": ident(), "load": Arg(None), "ttl": seconds()},
        "get_many": {
            "creative_ids": record(["x"], Slot("id", lambda v: [v], "creative_id")),
            "load": Arg(None),
            "ttl": seconds(),
        },
        "get_markup": {"creative_id": ident()},
        "set_creative": {
            "creative": record(
                creative(),
                *inside(
                    creative,
                    creative_id="text",
                    campaign_id="text",
                    markup="text",
                    w="size",
                    duration="size",
                ),
            ),
            "ttl": seconds(),
        },
    },
    RealTimeBiddingCache: {
        "__init__": {},
        "close_auction": {"auction_id": ident()},
        "create_auction": {
            "auction_id": ident(),
            "floor_price": arg(1, "money"),
            "ttl": seconds(),
            "at": arg(2, "auction type"),
            "deals": record(
                (),
                *inside(
                    lambda **c: [AuctionDeal(**{"id": "x"} | c)],
                    id="id",
                    floor="money",
                    at="auction type",
                ),
                kind="sequence",
            ),
            "private": arg(False, "bool"),
            "keep": seconds(),
        },
        "get_auction_winner": {"auction_id": ident()},
        "submit_bid": {
            "auction_id": ident(),
            "campaign_id": ident(),
            "bid_price": arg(2, "money"),
            "bidder_id": maybe(),
            "deal_id": maybe(),
        },
        "submit_many": {
            "auction_id": ident(),
            "bids": record(
                [("x", 2)],
                Slot("id", lambda v: [(v, 2)], "campaign_id"),
                Slot("money", lambda v: [("x", v)], "bid_price"),
                Slot("object", lambda v: [v], "bids"),
                kind="sequence",
            ),
        },
    },
    BidRequestCache: {
        "__init__": {},
        "answer_bid_request": ANSWER,
        "ask_answer": ANSWER,
        "ask_claim": CLAIM,
        "ask_first": {"request_id": ident(), "exchange": ident(), "ttl": seconds()},
        "ask_reply": {
            "response": record(RESPONSE, *inside(BidResponse, id="id")),
            "exchange": ident(),
        },
        "claim_bid_request": CLAIM,
        "get_bid_context": {"request_id": ident(), "exchange": ident()},
        "get_bid_request": {"request_id": ident(), "exchange": ident()},
    },
    FrequencyCapManager: {
        "__init__": {
            "algorithm": arg("fixed", "algorithm"),
            "notice_horizon": seconds(),
        },
        "ask_confirm": CONFIRM,
        "ask_lease": LEASE,
        "ask_lease_best": BEST,
        "ask_peek": {"user_id": ident(), "campaigns": CAMPAIGNS},
        "ask_release": PAIR | {"lease_id": ident()},
        "check_frequency_cap": PAIR | LIMIT | {"caps": CAPS, "impression_id": maybe()},
        "check_many": {
            "user_id": ident(),
            "campaigns": CAMPAIGNS,
            "impression_id": maybe(),
        },
        "confirm": CONFIRM,
        "lease": LEASE,
        "lease_best": BEST,
        "peek": PAIR | LIMIT | {"caps": CAPS},
        "peek_many": {
            "user_id": ident(),
            "campaigns": CAMPAIGNS._replace(fine=["x"]),
            **LIMIT,
        },
        "refund": PAIR | {"impression_id": ident()},
        "release": PAIR | {"lease_id": ident()},
        "reset_frequency_cap": PAIR,
    },
    SessionManager: {
        "__init__": {"max_age": seconds(), "max_sessions": arg(9, "any count")},
        "ask_owner": {"session_id": ident()},
        "ask_session": {"session_id": ident()},
        "ask_touch": {"session_id": ident()},
        "create_session": {
            "session_id": maybe(),
            "user_data": record(
                {"user_id": "x"},
                Slot("visitor", lambda value: {"user_id": value}, "user_id"),
                Slot("visitor", lambda value: {"user_agent": value}, "user_agent"),
                Slot("json", lambda value: {"user_id": "x", "v": value}, "user_data"),
            ),
            "ttl": seconds(),
            "max_age": arg(60, "optional seconds"),
        },
        "delete_session": {"session_id": ident()},
        "get_session": {"session_id": ident()},
        "list_sessions": {"user_id": ident(), "limit": arg(9, "count or 0")},
        "revoke_all": {"user_id": ident()},
        "session_ids": {"user_id": ident()},
        "update_session_activity": {"session_id": ident()},
    },
    SessionTargeting: {
        "__init__": {
            "half_life": seconds(),
            "ttl": seconds(),
            "max_interests": arg(9, "count"),
            "live_only": Arg(False),
        },
        "ask_interests": {"session_id": ident(), "limit": arg(9, "count or 0")},
        "ask_record": RECORD,
        "ask_stored": {"session_id": ident()},
        "forget": {"session_id": ident()},
        "interests": {"session_id": ident(), "limit": arg(9, "count or 0")},
        "match": {
            "session_id": ident(),
            "campaigns": record({"x": ["tea"]}),
            "limit": arg(9, "count or 0"),
        },
        "record": RECORD,
        # Pure: reads what `ask_stored` brought.
        "scores_of": {
            "session_id": Arg("x"),
            "stored": Arg({}),
            "began": Arg(""),
            "now_ms": Arg(0),
        },
    },
    PerformanceStatsCache: {
        "__init__": {
            "retention": seconds(),
            "live": seconds(3600),
            "notice_horizon": seconds(),
        },
        "ask_event": EVENT,
        "get_campaign_summary": {"campaign_id": ident(), "days": arg(7, "count")},
        "get_daily_stats": {"campaign_id": ident(), "date": arg(None, "date")},
        "increment_stat": {
            "campaign_id": ident(),
            "metric": ident(),
            "value": arg(1, "stat", "x"),
            "date": arg(None, "date"),
        },
        "minutes": {"campaign_id": ident(), "metric": ident(), "last": arg(9, "count")},
        "reach": {"campaign_id": ident(), "days": arg(1, "count")},
        "record_event": EVENT,
    },
    BudgetPacer: {
        "__init__": {"lease": seconds(), "notice_horizon": seconds()},
        "ask_keep": RESERVATION,
        "ask_release": RESERVATION,
        "ask_reserve": RESERVE,
        "ask_settle": RESERVATION | {"clearing_price": arg(2, "money")},
        "ask_status": {"campaign_id": ident()},
        "keep": RESERVATION,
        "release": RESERVATION,
        "reserve": RESERVE,
        "settle": RESERVATION
        | {
            "clearing_price": arg(2, "money"),
            "replicas": arg(0, "replicas"),
            "wait": seconds(0.2),
        },
        "status": {"campaign_id": ident()},
    },
    RecordCache: {
        "__init__": STORE
        | {
            "records": Arg(Records()),
            "strategy": arg(CacheStrategy.WRITE_BACK, "strategy"),
            "ttl": arg(60, "optional seconds"),
            "lease": seconds(),
            "jitter": arg(0.1, "share"),
        },
        "delete": {"key": ident()},
        "flush": LOOK,
        "get": {"key": ident()},
        "lag": {},
        "put": {"key": ident(), "value": arg({"a": 1}, "json no null", "value")},
        "run_writer": {
            "stop": Arg(None),
            "limit": arg(10, "count"),
            "pause": seconds(0.001),
        },
    },
    ReadThrough: {
        "__init__": STORE
        | {
            "load": Arg(Records().load),
            "ttl": arg(60, "optional seconds"),
            "negative_ttl": seconds(),
            "stale": arg(60, "optional seconds"),
            "lease": seconds(),
            "wait": seconds(),
            "pause": seconds(),
            "poll": seconds(0.01),
            "jitter": arg(0.1, "share"),
            "beta": arg(1.0, "beta"),
        },
        "get": {"key": ident()},
        "invalidate": {"key": ident()},
        "put": {"key": ident(), "value": arg({"a": 1}, "json", "value")},
    },
    CacheMonitor: {
        "__init__": {"keep": arg(10, "count")},
        "clear_expired_keys": {},
        "component_stats": {},
        "get_cache_stats": {},
        "hot_keys": LOOK | {"top": arg(3, "count")},
        "keys_without_ttl": LOOK,
        "latency": {"count": arg(3, "count")},
        "memory_by_prefix": LOOK,
        "repair_ttls": {"ttl": seconds()} | LOOK,
        "slow_log": {"count": arg(3, "count")},
        "start_monitoring": {"interval": seconds()},
        "stop_monitoring": {},
        "take_sample": {},
    },
    AdServer: {
        "__init__": {
            "lease": seconds(),
            "network": seconds(0.02),
            "rates": Arg({}, (Slot("rate", lambda v: {"EUR": v}, "EUR"),)),
            "best": arg(9, "count"),
        },
        "billing": BID | {"price": arg(2, "money", "clearing_price")},
        "click": BID,
        "close": {},
        "decide": {"bid_request": DECIDE, "exchange": ident(), "trace": Arg(None)},
        "handle": {"bid_request": DECIDE, "exchange": ident(), "trace": Arg(None)},
        "loss": BID,
        "win": BID,
    },
    UserPrivacy: {
        "__init__": {},
        "ask_suppressed": {"user_id": ident()},
        "erase_user": {
            "user_id": ident(),
            "suppress_for": seconds(),
            "max_keys": arg(1000, "any count"),
        },
        "is_suppressed": {"user_id": ident()},
        "suppress": {"user_id": ident(), "ttl": seconds()},
        "unsuppress": {"user_id": ident()},
    },
    # In this process only: its tags and entries are the program's own.
    NearCache: {
        "__init__": {"prefix": Arg("targeting:")},
        "close": {},
        "get": {"tag": Arg("x")},
        "get_many": {"tags": Arg(["x"])},
        "put": {"tag": Arg("x"), "entry": Arg(1), "ticket": Arg(0)},
        "ticket": {},
        "wait_until_on": {"seconds": seconds(0.001)},
    },
}
