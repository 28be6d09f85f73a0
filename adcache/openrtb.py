"""Bid requests in, bid responses out: JSON on the wire, checked structs inside.

A bidder lives on input that others wrote and has about a hundred milliseconds
for it. So a request is decoded and checked in one pass, what a bidder does not
use is skipped, and what is malformed is refused with the path of the value at
fault, such as ``imp[1].bidfloor``.

Refused is what OpenRTB 2.6 calls "required" or says "must" about; where it says
"should", the request is taken. The objects live in `adcache.openrtb_imp` (what
is sold, what is offered) and `adcache.openrtb_context` (where, to whom), the
rules about several values at once in `adcache.openrtb_checks`.
"""

import json
import re
import reprlib
from typing import Any

import msgspec

from adcache.errors import InvalidBidRequest, InvalidValue
from adcache.openrtb_checks import (
    Problem,
    check_response,
    request_problem,
    response_problem,
)
from adcache.openrtb_context import BidRequest
from adcache.openrtb_imp import Bid, BidResponse, Deal, Imp, SeatBid

__all__ = [
    "Bid",
    "BidRequest",
    "BidResponse",
    "Deal",
    "Imp",
    "SeatBid",
    "check_response",
    "decode_bid_request",
    "decode_bid_response",
    "encode_bid_request",
    "encode_bid_response",
]

Raw = bytes | str | dict[str, Any]

# Beside msgspec's own: bytes that are not UTF-8, a signalling NaN, nesting without end.
_UNREADABLE = (msgspec.MsgspecError, ValueError, RecursionError)
_request_decoder = msgspec.json.Decoder(BidRequest)
_response_decoder = msgspec.json.Decoder(BidResponse)


def decode_bid_request(raw: Raw) -> BidRequest:
    """Decode and check one bid request: JSON (bytes or text), or a dict.

    Unknown fields are skipped, whatever they hold. Raises `InvalidBidRequest`
    (a ValueError); its `field` is the path of the first value at fault, or
    ``BidRequest`` where the whole is not a JSON object.
    """
    try:
        if isinstance(raw, bytes | str):
            request = _request_decoder.decode(raw)
        else:
            request = msgspec.convert(raw, BidRequest)
    except _UNREADABLE as error:
        raise InvalidBidRequest(*_explain(error, raw, "BidRequest")) from None
    if problem := request_problem(request):
        raise InvalidBidRequest(*problem)
    return request


def encode_bid_request(request: BidRequest) -> bytes:
    """Encode a decoded request for storing; decoding gives an equal one back."""
    try:
        return msgspec.json.encode(request)
    except UnicodeEncodeError as error:  # half a surrogate pair, out of a dict
        raise InvalidBidRequest("BidRequest", f"is not Unicode ({error})") from None


def decode_bid_response(raw: Raw) -> BidResponse:
    """Decode and check one bid response: JSON (bytes or text), or a dict.

    Raises `InvalidValue` (a ValueError) whose text names the value at fault.
    """
    try:
        if isinstance(raw, bytes | str):
            response = _response_decoder.decode(raw)
        else:
            response = msgspec.convert(raw, BidResponse)
    except _UNREADABLE as error:
        raise _invalid_response(_explain(error, raw, "BidResponse")) from None
    if problem := response_problem(response):
        raise _invalid_response(problem)
    return response


def encode_bid_response(response: BidResponse) -> bytes:
    """Encode a response that passes the checks of `decode_bid_response`.

    A struct built in Python is not checked until then, and JSON would turn a
    NaN price into null. Raises `InvalidValue` (a ValueError).
    """
    try:
        decode_bid_response(msgspec.to_builtins(response))
        return msgspec.json.encode(response)
    except (TypeError, UnicodeEncodeError) as error:
        problem = Problem("BidResponse", f"cannot be encoded ({error})")
        raise _invalid_response(problem) from None


def _invalid_response(problem: Problem) -> InvalidValue:
    return InvalidValue(f"bid response: {problem.field} {problem.text}")


# msgspec says "Expected `float` >= 0.0 - at `$.imp[0].bidfloor`". What follows
# turns that into the path of the specification, a phrase, and the value.

_PATH = re.compile(r" - at (?P<key>`key` in )?`\$\.?(?P<path>[^`]*)`$")
_MISSING = re.compile(r"Object missing required field `(?P<name>.+?)`")
_WRONG_TYPE = re.compile(r"Expected `(?P<type>[^`]+)`, got `[^`]+`$")
_EMPTY = re.compile(r"Expected `(?:str|array)` of length >= 1$")
_BOUND = re.compile(r"Expected `\w+` (?P<bound>[<>]=? \S+)$")
_TYPES = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "array": "an array",
    "object": "an object",
}


def _explain(error: Exception, raw: object, whole: str) -> Problem:
    if not isinstance(error, msgspec.ValidationError):
        return Problem(whole, f"is not JSON that can be read ({error})")
    text = str(error)
    match = _PATH.search(text)
    path = match["path"] if match else ""
    text = text[: match.start()] if match else text
    if match and match["key"]:
        return Problem(path or whole, "must have text for keys")
    if missing := _MISSING.match(text):
        return Problem(f"{path}.{missing['name']}".lstrip("."), "is missing")
    if _EMPTY.match(text):
        return Problem(path or whole, "must not be empty")
    return Problem(path or whole, f"{_demand(text)}{_got(raw, path)}")


def _demand(text: str) -> str:
    if wrong := _WRONG_TYPE.match(text):
        kind = wrong["type"].removesuffix(" | null")
        return f"must be {_TYPES.get(kind, kind)}"
    if bound := _BOUND.match(text):
        return f"must be {bound['bound'].removesuffix('.0')}"
    if "matching regex" in text:  # the only pattern is that of a currency
        return "must be a currency of ISO 4217 such as 'USD'"
    return f"is not valid: {text[0].lower()}{text[1:]}"


def _got(raw: object, path: str) -> str:
    """Say which value stands at `path`; silent where it cannot be found."""
    try:
        value = json.loads(raw) if isinstance(raw, bytes | str) else raw
        for step in re.findall(r"\w+", path):
            value = value[step] if isinstance(value, dict) else value[int(step)]  # type: ignore[index]
        return f", got {reprlib.repr(value)}"
    except (ValueError, LookupError, TypeError, RecursionError):
        return ""
