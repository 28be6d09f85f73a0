"""Redis caching for ad platforms: components that stay right under concurrency.

>>> from adcache import FrequencyCapManager, connect
>>> caps = FrequencyCapManager(connect("fakeredis://"))
>>> caps.check_frequency_cap("user_1", "sneakers", limit=3).remaining
2
"""

from importlib import import_module
from typing import TYPE_CHECKING

from adcache.clock import ManualClock
from adcache.connection import CacheConfig, RedisAdCache, connect
from adcache.errors import (
    AccessDenied,
    AdCacheError,
    CommandRefused,
    InvalidBidRequest,
    InvalidValue,
    LibraryMissing,
    LoaderFailed,
    RedisTimeout,
    RedisUnavailable,
    ServerNotFound,
    UnknownKey,
    UnreadableRecord,
)

if TYPE_CHECKING:
    from adcache.ad_line import AdLine
    from adcache.adserver import AdServer
    from adcache.adserver_answer import Decision
    from adcache.adserver_notices import NoticeResult
    from adcache.bid_results import AuctionDeal, AuctionOpened, BidResult, Claim
    from adcache.bidding import RealTimeBiddingCache
    from adcache.bidding_requests import BidRequestCache
    from adcache.campaigns import CampaignCache
    from adcache.campaigns_results import CampaignState, SpendUpdate
    from adcache.consent import Basis, may_profile
    from adcache.creatives import CreativeCache
    from adcache.frequency import FrequencyCapManager
    from adcache.frequency_caps import Cap, CapDecision, Confirmation, LeaseDecision
    from adcache.hops import Hops
    from adcache.models import CampaignData, Creative, UserProfile
    from adcache.money import from_micros, impression_cost, to_micros
    from adcache.monitor import CacheMonitor, Sample
    from adcache.monitor_alerts import Alert, Thresholds
    from adcache.monitor_prometheus import prometheus_text
    from adcache.near import NearCache
    from adcache.openrtb import (
        BidRequest,
        BidResponse,
        decode_bid_request,
        encode_bid_response,
    )
    from adcache.pacing import BudgetPacer
    from adcache.pacing_results import (
        BudgetNotice,
        BudgetStatus,
        Reservation,
        Settlement,
    )
    from adcache.privacy import ErasureProof, UserPrivacy
    from adcache.profiles import ActivityResult, UserProfileCache
    from adcache.refresh import early_refresh, early_refresh_probability, jittered
    from adcache.sessions import SessionManager
    from adcache.stampede import ReadThrough
    from adcache.stats import PerformanceStatsCache
    from adcache.stats_event import Recorded
    from adcache.stats_numbers import ratios
    from adcache.strategies import CacheStrategy, RecordCache
    from adcache.strategies_queue import Flushed, WriteLag
    from adcache.strategies_records import SqliteRecords, SystemOfRecord
    from adcache.targeting import SessionTargeting, rank_campaigns
    from adcache.targeting_events import PageEvent, event_interests, page_event

# Where the other names live. A module is imported when one of its names is first
# used, so that a program pays for the components it has.
_HOMES = {
    "ad_line": ("AdLine",),
    "adserver": ("AdServer",),
    "adserver_answer": ("Decision",),
    "adserver_notices": ("NoticeResult",),
    "bid_results": ("AuctionDeal", "AuctionOpened", "BidResult", "Claim"),
    "bidding": ("RealTimeBiddingCache",),
    "bidding_requests": ("BidRequestCache",),
    "campaigns": ("CampaignCache",),
    "campaigns_results": ("CampaignState", "SpendUpdate"),
    "consent": ("Basis", "may_profile"),
    "creatives": ("CreativeCache",),
    "frequency": ("FrequencyCapManager",),
    "frequency_caps": ("Cap", "CapDecision", "Confirmation", "LeaseDecision"),
    "hops": ("Hops",),
    "models": ("CampaignData", "Creative", "UserProfile"),
    "money": ("from_micros", "impression_cost", "to_micros"),
    "monitor": ("CacheMonitor", "Sample"),
    "monitor_alerts": ("Alert", "Thresholds"),
    "monitor_prometheus": ("prometheus_text",),
    "near": ("NearCache",),
    "openrtb": (
        "BidRequest",
        "BidResponse",
        "decode_bid_request",
        "encode_bid_response",
    ),
    "pacing": ("BudgetPacer",),
    "pacing_results": ("BudgetNotice", "BudgetStatus", "Reservation", "Settlement"),
    "privacy": ("ErasureProof", "UserPrivacy"),
    "profiles": ("ActivityResult", "UserProfileCache"),
    "refresh": ("early_refresh", "early_refresh_probability", "jittered"),
    "sessions": ("SessionManager",),
    "stampede": ("ReadThrough",),
    "stats": ("PerformanceStatsCache",),
    "stats_event": ("Recorded",),
    "stats_numbers": ("ratios",),
    "strategies": ("CacheStrategy", "RecordCache"),
    "strategies_queue": ("Flushed", "WriteLag"),
    "strategies_records": ("SqliteRecords", "SystemOfRecord"),
    "targeting": ("SessionTargeting", "rank_campaigns"),
    "targeting_events": ("PageEvent", "event_interests", "page_event"),
}
_MODULE_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "AccessDenied",
    "ActivityResult",
    "AdCacheError",
    "AdLine",
    "AdServer",
    "Alert",
    "AuctionDeal",
    "AuctionOpened",
    "Basis",
    "BidRequest",
    "BidRequestCache",
    "BidResponse",
    "BidResult",
    "BudgetNotice",
    "BudgetPacer",
    "BudgetStatus",
    "CacheConfig",
    "CacheMonitor",
    "CacheStrategy",
    "CampaignCache",
    "CampaignData",
    "CampaignState",
    "Cap",
    "CapDecision",
    "Claim",
    "CommandRefused",
    "Confirmation",
    "Creative",
    "CreativeCache",
    "Decision",
    "ErasureProof",
    "Flushed",
    "FrequencyCapManager",
    "Hops",
    "InvalidBidRequest",
    "InvalidValue",
    "LeaseDecision",
    "LibraryMissing",
    "LoaderFailed",
    "ManualClock",
    "NearCache",
    "NoticeResult",
    "PageEvent",
    "PerformanceStatsCache",
    "ReadThrough",
    "RealTimeBiddingCache",
    "RecordCache",
    "Recorded",
    "RedisAdCache",
    "RedisTimeout",
    "RedisUnavailable",
    "Reservation",
    "Sample",
    "ServerNotFound",
    "SessionManager",
    "SessionTargeting",
    "Settlement",
    "SpendUpdate",
    "SqliteRecords",
    "SystemOfRecord",
    "Thresholds",
    "UnknownKey",
    "UnreadableRecord",
    "UserPrivacy",
    "UserProfile",
    "UserProfileCache",
    "WriteLag",
    "connect",
    "decode_bid_request",
    "early_refresh",
    "early_refresh_probability",
    "encode_bid_response",
    "event_interests",
    "from_micros",
    "impression_cost",
    "jittered",
    "may_profile",
    "page_event",
    "prometheus_text",
    "rank_campaigns",
    "ratios",
    "to_micros",
]


def __getattr__(name: str) -> object:
    """Import a public name when it is first used."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'adcache' has no attribute {name!r}")
    value = getattr(import_module(f"adcache.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
