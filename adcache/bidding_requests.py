"""Bid requests in Redis: each one is processed once, whoever receives it again.

Exchanges repeat a request whose answer got lost, and route copies of it to
several servers. The first to claim it decides; the others are told the answer.
"""

import random
import secrets
from typing import Any

import msgspec

from adcache.bid_results import Claim
from adcache.clock import Seconds, to_ms
from adcache.connection import RedisAdCache
from adcache.errors import InvalidValue, shown
from adcache.keys import encode_id
from adcache.openrtb import (
    BidRequest,
    BidResponse,
    decode_bid_request,
    decode_bid_response,
    encode_bid_request,
    encode_bid_response,
)
from adcache.wire import Question

_PENDING = "?"  # no JSON begins so


class BidRequestCache:
    """Each OpenRTB 2.6 bid request is processed once, whoever receives it again.

    Request ids are unique within an exchange only, so the key holds both. A
    duplicate is recognised for seconds; what a notice needs to know about a
    bid is kept for as long as notices may come. `ttl` and `notice_horizon` are
    seconds. Raises `InvalidBidRequest` for a malformed request, `InvalidValue`
    for another argument that cannot be, both before anything is written, and
    `RedisUnavailable`.
    """

    def __init__(self, redis_cache: RedisAdCache) -> None:
        self.cache = redis_cache
        self._claim = redis_cache.lua_scripts["bid_request_claim"]
        self._answer = redis_cache.lua_scripts["bid_request_answer"]
        self._answer_key = redis_cache.keys.maker(
            "bid_answer", "exchange", "request_id"
        )

    def claim_bid_request(
        self,
        request: BidRequest | dict[str, Any] | bytes | str,
        *,
        exchange: str = "default",
        ttl: Seconds = 10,
        claim_id: str | None = None,
    ) -> Claim:
        """Store the request and say whether this caller is the first to have it.

        With a `claim_id` a retry after a lost reply is told the same again.
        """
        question = self.ask_claim(
            request, exchange=exchange, ttl=ttl, claim_id=claim_id
        )
        return self.cache.wire.ask(question)

    def ask_claim(
        self,
        request: BidRequest | dict[str, Any] | bytes | str,
        *,
        exchange: str = "default",
        ttl: Seconds = 10,
        claim_id: str | None = None,
    ) -> Question[Claim]:
        """Prepare `claim_bid_request` for a trip that carries more questions."""
        request = _decoded(request)
        owner = secrets.token_hex(8) if claim_id is None else claim_id
        return self._claim.question(
            _claim,
            request=self._key("bid_request", request.id, exchange),
            owner=encode_id(owner, "claim_id"),
            ttl_ms=to_ms(ttl),
            body=encode_bid_request(request),
            safe=True,
        )

    def answer_bid_request(
        self,
        request: BidRequest | dict[str, Any] | bytes | str,
        response: BidResponse | None,
        *,
        exchange: str = "default",
        notice_horizon: Seconds = 3600,
    ) -> BidResponse | None:
        """Record the response (None: no bid) and return the one that stands.

        The first answer stands: a later, different one is not stored. The
        context of a bid is kept for the longest ``bid.exp`` of the response
        plus `notice_horizon` seconds.
        """
        question = self.ask_answer(
            request, response, exchange=exchange, notice_horizon=notice_horizon
        )
        return self.cache.wire.ask(question)

    def ask_answer(
        self,
        request: BidRequest | dict[str, Any] | bytes | str,
        response: BidResponse | None,
        *,
        exchange: str = "default",
        notice_horizon: Seconds = 3600,
    ) -> Question[BidResponse | None]:
        """Prepare `answer_bid_request` for a trip that carries more questions."""
        request = _decoded(request)
        if not isinstance(response, BidResponse | None):
            raise InvalidValue(
                f"response must be a BidResponse or None, got {shown(response)}"
            )
        if response is not None and response.id != request.id:
            raise InvalidValue(
                f"the response's id must be the request's {shown(request.id)}, "
                f"got {shown(response.id)}"
            )
        context_ms = to_ms(notice_horizon, "notice_horizon")
        return self._answer.question(
            lambda reply: response if reply[0] == 1 else _response(reply[1]),
            request=self._key("bid_request", request.id, exchange),
            context=self._key("bid_context", request.id, exchange),
            body=encode_bid_request(request),
            response=b"" if response is None else encode_bid_response(response),
            context_ms=context_ms + _longest_exp_ms(response),
            safe=True,
        )

    def ask_first(
        self, request_id: str, *, exchange: str = "default", ttl: Seconds = 10
    ) -> Question[Claim]:
        """Prepare to claim a request without storing it: what a busy server needs.

        One plain command; the answer is given with `ask_reply`. This claim and
        `claim_bid_request` know nothing of each other: use one of them.
        """
        mine = f"{_PENDING}{random.getrandbits(64):x}"
        key = self._answer_key(exchange, request_id)

        def read(earlier: str | None) -> Claim:
            if earlier is None or earlier == mine:  # its own, when a retry asks
                return Claim(True)
            pending = earlier.startswith(_PENDING)
            return Claim(False, not pending, None if pending else _response(earlier))

        command = ("SET", key, mine, "NX", "GET", "PX", to_ms(ttl))
        return Question(command, read, True, "bidding")

    def ask_reply(
        self, response: BidResponse, *, exchange: str = "default"
    ) -> Question[bool]:
        """Prepare to store what a request claimed by `ask_first` is answered.

        False when the claim is over: there is no duplicate left to answer. The
        response is not checked again.
        """
        if not isinstance(response, BidResponse):
            raise InvalidValue(f"response must be a BidResponse, got {shown(response)}")
        key = self._answer_key(exchange, response.id)
        try:
            body = msgspec.json.encode(response)
        except UnicodeEncodeError as error:  # half a surrogate pair, out of a dict
            raise InvalidValue(f"response is not Unicode: {error}") from None
        command = ("SET", key, body, "XX", "KEEPTTL")
        return Question(command, bool, True, "bidding")

    def get_bid_request(
        self, request_id: str, exchange: str = "default"
    ) -> BidRequest | None:
        """Return the stored request, while a duplicate would be recognised."""
        return self._read("bid_request", request_id, exchange)[0]

    def get_bid_context(
        self, request_id: str, exchange: str = "default"
    ) -> tuple[BidRequest, BidResponse] | None:
        """Return request and response of a bid, as long as notices may come."""
        request, response = self._read("bid_context", request_id, exchange)
        return (request, response) if request and response else None

    def _read(
        self, pattern: str, request_id: str, exchange: str
    ) -> tuple[BidRequest | None, BidResponse | None]:
        key = self._key(pattern, request_id, exchange)
        row = self.cache.wire.execute("HMGET", key, "request", "response", safe=True)
        request = decode_bid_request(row[0]) if row[0] else None
        return request, _response(row[1] or "")

    def _key(self, pattern: str, request_id: str, exchange: str) -> str:
        return self.cache.get_key(pattern, request_id=request_id, exchange=exchange)


def _decoded(request: BidRequest | dict[str, Any] | bytes | str) -> BidRequest:
    return request if isinstance(request, BidRequest) else decode_bid_request(request)


def _claim(reply: list[str]) -> Claim:
    if reply[0] == "answered":
        return Claim(False, True, _response(reply[1]))
    return Claim(reply[0] == "first")


def _response(body: str) -> BidResponse | None:
    return decode_bid_response(body) if body else None


def _longest_exp_ms(response: BidResponse | None) -> int:
    bids = [bid for seat in response.seatbid for bid in seat.bid] if response else []
    return max((bid.exp or 0 for bid in bids), default=0) * 1000
