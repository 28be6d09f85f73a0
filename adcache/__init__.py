"""Redis caching for ad platforms: components that stay right under concurrency.

>>> from adcache import FrequencyCapManager, connect
>>> caps = FrequencyCapManager(connect("fakeredis://"))
>>> caps.check_frequency_cap("user_1", "sneakers", limit=3).remaining
2
"""

from adcache.ad_line import AdLine
from adcache.adserver import AdServer
from adcache.adserver_answer import Decision
from adcache.adserver_notices import NoticeResult
from adcache.bid_results import AuctionDeal, AuctionOpened, BidResult, Claim
from adcache.bidding import RealTimeBiddingCache
from adcache.bidding_requests import BidRequestCache
from adcache.campaigns import CampaignCache
from adcache.campaigns_results import CampaignState, SpendUpdate
from adcache.clock import ManualClock
from adcache.connection import CacheConfig, RedisAdCache, connect
from adcache.consent import Basis, may_profile
from adcache.creatives import CreativeCache
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
