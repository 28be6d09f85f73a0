"""Redis caching for ad platforms: components that stay right under concurrency.

>>> from adcache import FrequencyCapManager, connect
>>> caps = FrequencyCapManager(connect("fakeredis://"))
>>> caps.check_frequency_cap("user_1", "sneakers", limit=3).remaining
2
"""

from adcache.bid_results import AuctionDeal, AuctionOpened, BidResult, Claim
from adcache.bidding import RealTimeBiddingCache
from adcache.bidding_requests import BidRequestCache
from adcache.clock import ManualClock
from adcache.connection import CacheConfig, RedisAdCache, connect
from adcache.errors import (
    AccessDenied,
    AdCacheError,
    CommandRefused,
    InvalidBidRequest,
    InvalidValue,
    RedisTimeout,
    RedisUnavailable,
    ServerNotFound,
    UnknownKey,
)
from adcache.frequency import Cap, CapDecision, FrequencyCapManager
from adcache.models import CampaignData, UserProfile
from adcache.money import from_micros, impression_cost, to_micros
from adcache.openrtb import (
    BidRequest,
    BidResponse,
    decode_bid_request,
    encode_bid_response,
)

__all__ = [
    "AccessDenied",
    "AdCacheError",
    "AuctionDeal",
    "AuctionOpened",
    "BidRequest",
    "BidRequestCache",
    "BidResponse",
    "BidResult",
    "CacheConfig",
    "CampaignData",
    "Cap",
    "CapDecision",
    "Claim",
    "CommandRefused",
    "FrequencyCapManager",
    "InvalidBidRequest",
    "InvalidValue",
    "ManualClock",
    "RealTimeBiddingCache",
    "RedisAdCache",
    "RedisTimeout",
    "RedisUnavailable",
    "ServerNotFound",
    "UnknownKey",
    "UserProfile",
    "connect",
    "decode_bid_request",
    "encode_bid_response",
    "from_micros",
    "impression_cost",
    "to_micros",
]
