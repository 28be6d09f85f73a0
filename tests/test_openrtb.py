"""A bid request is decoded as OpenRTB 2.6 means it, or refused by path."""

import json
from copy import deepcopy
from pathlib import Path
from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adcache.errors import AdCacheError, InvalidBidRequest, InvalidValue
from adcache.openrtb import (
    Bid,
    BidRequest,
    BidResponse,
    SeatBid,
    check_response,
    decode_bid_request,
    decode_bid_response,
    encode_bid_request,
    encode_bid_response,
)
from adcache.simulate import SAMPLES, sample_request

DATA = Path(__file__).parent / "data"
VALID = {path.stem: path.read_bytes() for path in sorted(DATA.glob("valid/*.json"))}
VALID |= {name: json.dumps(sample_request(name)).encode() for name in SAMPLES}
INVALID = {
    path.stem: json.loads(path.read_bytes())
    for path in sorted(DATA.glob("invalid/*.json"))
}


def bid_response(price=2.5, *, response_id="sample-mobile_news", cur="USD", **fields):
    """One bid by one seat, valid for the sample request unless told otherwise."""
    seat = fields.pop("seat", None)
    bid = Bid(**{"id": "b1", "impid": "1", "price": price} | fields)
    return BidResponse(id=response_id, seatbid=[SeatBid(bid=[bid], seat=seat)], cur=cur)


def refused(raw):
    """Decode what must be refused and give the error."""
    with pytest.raises(InvalidBidRequest) as caught:
        decode_bid_request(raw)
    return caught.value


# Requests as they should be.


def test_there_are_samples_of_both_kinds():
    """The sample folders are found and hold what the project promises."""
    assert len(VALID) >= 14
    assert len(INVALID) >= 28


@pytest.mark.parametrize("name", VALID)
def test_a_valid_request_is_the_same_from_bytes_text_and_dict(name):
    """Bytes, text and an already parsed dict give one and the same request."""
    raw = VALID[name]
    request = decode_bid_request(raw)

    assert request == decode_bid_request(raw.decode())
    assert request == decode_bid_request(json.loads(raw))


@pytest.mark.parametrize("name", VALID)
def test_a_stored_request_comes_back_equal(name):
    """Encoding and decoding again loses nothing that was decoded."""
    request = decode_bid_request(VALID[name])

    assert request == decode_bid_request(encode_bid_request(request))


@pytest.mark.parametrize("name", VALID)
def test_every_known_value_is_kept(name):
    """What the structs know of a request is what the JSON said, field by field."""
    sent = json.loads(VALID[name])
    kept = json.loads(encode_bid_request(decode_bid_request(sent)))

    assert [] == differences(kept, sent)


def differences(kept, sent, path="$"):
    """List the paths at which `kept` says something other than `sent`."""
    if isinstance(kept, dict):
        pairs = [(kept[key], sent.get(key), f"{path}.{key}") for key in kept]
    elif isinstance(kept, list) and len(kept) == len(sent):
        pairs = [(kept[i], sent[i], f"{path}[{i}]") for i in range(len(kept))]
    else:
        return [] if kept == sent else [path]
    return [d for pair in pairs for d in differences(*pair)]


def test_defaults_are_those_of_the_specification():
    """Second price, a floor of 0 USD, no time limit, no restriction."""
    request = decode_bid_request(VALID["minimal"])
    imp = request.imp[0]

    assert (2, None, 0, []) == (request.at, request.tmax, request.test, request.cur)
    assert (0.0, "USD", 0) == (imp.bidfloor, imp.bidfloorcur, imp.floor_micros)


def test_the_lesson_sample_is_what_the_lessons_say():
    """The mobile news request: floor 1.20 USD, second price, 100 ms, two sizes."""
    request = decode_bid_request(sample_request("mobile_news"))
    imp = request.imp[0]
    sizes = [(size.w, size.h) for size in imp.banner.format]

    assert (2, 100) == (request.at, request.tmax)
    assert (1_200_000, "USD") == (imp.floor_micros, imp.bidfloorcur)
    assert [(320, 50), (300, 250)] == sizes


def test_a_deal_does_not_inherit_the_currency_of_its_imp():
    """OpenRTB 3.2.12: a deal's floor is in USD unless the deal says otherwise."""
    deals = decode_bid_request(VALID["floor_in_euro"]).imp[0].pmp.deals

    assert [("d-usd", "USD"), ("d-eur", "EUR")] == [
        (d.id, d.bidfloorcur) for d in deals
    ]
    assert 1_100_000 == deals[0].floor_micros


def test_unknown_fields_do_not_reach_the_stored_request():
    """Extensions and vendor fields of any type are skipped, at every level."""
    stored = encode_bid_request(decode_bid_request(VALID["unknown_fields"]))

    for word in (b'"ext"', b"prebid", b"x_vendor", b"customdata", b"zz_future"):
        assert word not in stored


def test_a_known_name_inside_ext_is_not_taken():
    """A `bidfloor` in somebody's extension neither sets nor breaks the floor."""
    request = sample_request()
    request["imp"][0]["ext"] = {"bidfloor": "free", "id": 5}

    assert 1.20 == decode_bid_request(request).imp[0].bidfloor


def test_a_decoded_request_does_not_change():
    """Structs are immutable: what was checked stays what was checked."""
    with pytest.raises(AttributeError):
        decode_bid_request(VALID["minimal"]).imp[0].bidfloor = -1


def test_a_dict_is_left_as_it_was():
    """Decoding a dict neither changes it nor shares its lists."""
    sent = sample_request()
    before = deepcopy(sent)
    request = decode_bid_request(sent)
    sent["bcat"].append("IAB1")

    assert before["bcat"] == request.bcat
    assert before == {**sent, "bcat": before["bcat"]}


# Requests as they should not be.


@pytest.mark.parametrize("name", INVALID)
def test_an_invalid_request_is_refused_by_the_path_of_its_fault(name):
    """The error is a ValueError, carries the field and says it in its text."""
    case = INVALID[name]
    error = refused(case["raw"] if "raw" in case else json.dumps(case["request"]))

    assert case["expect_field"] == error.field
    assert str(error).startswith(f"bid request: {error.field} ")
    assert isinstance(error, ValueError)
    assert isinstance(error, AdCacheError)


@pytest.mark.parametrize(
    "name", [name for name, case in INVALID.items() if "request" in case]
)
def test_a_dict_is_refused_as_its_json_is(name):
    """Both ways in have one set of rules and one text."""
    case = INVALID[name]

    from_json = refused(json.dumps(case["request"]))
    assert str(from_json) == str(refused(case["request"]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tmax": 0}, "bid request: tmax must be >= 1, got 0"),
        ({"id": 7}, "bid request: id must be text, got 7"),
        ({"id": ""}, "bid request: id must not be empty"),
        ({"imp": []}, "bid request: imp must not be empty"),
        (
            {"cur": ["usd"]},
            "bid request: cur[0] must be a currency of ISO 4217 such as 'USD', "
            "got 'usd'",
        ),
        (
            {"app": {}},
            "bid request: app must not stand beside site: send one of site, app, dooh",
        ),
    ],
)
def test_the_message_names_the_value_and_the_cure(change, message):
    """A learner reads what is wrong, where, and what would be right."""
    assert message == str(refused(sample_request() | change))


@pytest.mark.parametrize("floor", [float("nan"), float("inf"), -float("inf"), -0.01])
def test_a_floor_that_is_no_price_is_refused_in_a_dict_too(floor):
    """JSON cannot say NaN, a dict can: neither gets in."""
    request = sample_request()
    request["imp"][0]["bidfloor"] = floor

    assert "imp[0].bidfloor" == refused(request).field


@pytest.mark.parametrize(
    "raw", [None, 5, [], bytearray(b"{}"), object(), b"\xff", b"1"]
)
def test_what_is_no_object_is_refused_as_a_whole(raw):
    """Other Python objects and JSON values are named by the object they are not."""
    assert "BidRequest" == refused(raw).field


@pytest.mark.parametrize(("key", "field"), [("id", "id"), ("ext", "BidRequest")])
def test_bottomless_nesting_is_refused(key, field):
    """A hundred thousand brackets are an error, not a crash."""
    raw = f'{{"{key}": {"[" * 100_000}{"]" * 100_000}}}'

    assert field == refused(raw).field


def test_keys_that_are_not_text_are_refused():
    """A dict with a number for a key did not come from JSON."""
    assert "imp[0]" == refused({"id": "1", "imp": [{1: 2}]}).field


def test_text_that_utf8_cannot_hold_is_refused_at_the_latest_when_stored():
    """Half a surrogate pair gets in by a dict only, and never into Redis."""
    request = decode_bid_request(sample_request() | {"id": "\ud800"})

    with pytest.raises(InvalidBidRequest):
        encode_bid_request(request)
    refused('{"id": "\ud800"}')


# Whatever comes: an answer or InvalidBidRequest.

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["id", "imp", "banner", "bidfloor", "pmp", "deals", "at"])
            | st.text(max_size=5),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


def survives(raw):
    """Decode; a request that is taken must also store and come back equal."""
    try:
        request = decode_bid_request(raw)
    except InvalidBidRequest:
        return
    assert request == decode_bid_request(encode_bid_request(request))


@given(json_values)
def test_any_json_is_taken_or_refused(value):
    """Random JSON never raises anything but InvalidBidRequest."""
    survives(value)
    survives(json.dumps(value))


@given(st.binary(max_size=200))
def test_any_bytes_are_taken_or_refused(raw):
    """Random bytes never raise anything but InvalidBidRequest."""
    survives(raw)


@given(st.sampled_from(sorted(VALID)), st.randoms(use_true_random=False))
def test_flipped_bytes_are_taken_or_refused(name, rng):
    """A valid request with damaged bytes is taken or refused, never a crash."""
    raw = bytearray(VALID[name])
    for _ in range(rng.randint(1, 4)):
        raw[rng.randrange(len(raw))] = rng.randrange(256)
    survives(bytes(raw))


@given(st.sampled_from(sorted(VALID)), st.integers(0, 2**32), json_values)
def test_a_replaced_value_is_taken_or_refused(name, seed, value):
    """Any value, put anywhere into a valid request, is taken or refused."""
    request = json.loads(VALID[name])
    rng, place = Random(seed), request
    while True:
        keys = sorted(place) if isinstance(place, dict) else range(len(place))
        key = keys[int(rng.random() * len(keys))]
        inner = place[key]
        if not isinstance(inner, dict | list) or not inner or rng.random() < 0.2:
            break
        place = inner
    place[key] = value
    survives(request)
    survives(json.dumps(request))


# Responses.


def test_a_response_comes_back_equal():
    """Encoding and decoding a response loses nothing."""
    response = bid_response(
        adomain=["sneakers.example"], cid="sneakers", crid="c-1", w=320, h=50, mtype=1
    )

    assert response == decode_bid_response(encode_bid_response(response))
    assert 2_500_000 == response.seatbid[0].bid[0].price_micros


def test_a_response_says_nothing_that_is_default():
    """A no-bid is as short as the specification allows."""
    assert b'{"id":"r1","nbr":2}' == encode_bid_response(BidResponse(id="r1", nbr=2))


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"price": float("nan")}, "seatbid[0].bid[0].price"),
        ({"price": float("inf")}, "seatbid[0].bid[0].price"),
        ({"price": -1.0}, "seatbid[0].bid[0].price"),
        ({"price": "2.50"}, "seatbid[0].bid[0].price"),
        ({"price": None}, "seatbid[0].bid[0].price"),
        ({"impid": ""}, "seatbid[0].bid[0].impid"),
        ({"impid": None}, "seatbid[0].bid[0].impid"),
        ({"id": ""}, "seatbid[0].bid[0].id"),
        ({"adomain": "a.example"}, "seatbid[0].bid[0].adomain"),
        ({"response_id": ""}, "id"),
        ({"cur": "usd"}, "cur"),
        ({"crid": object()}, "BidResponse"),
        ({"adm": "\ud800"}, "BidResponse"),
    ],
)
def test_an_invalid_response_is_not_encoded(fields, field):
    """What an exchange could not read does not leave the bidder."""
    with pytest.raises(InvalidValue) as caught:
        encode_bid_response(bid_response(**fields))

    assert str(caught.value).startswith(f"bid response: {field} ")


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        (b"", "BidResponse"),
        ({"seatbid": []}, "id"),
        ({"id": "1", "seatbid": [{"bid": []}]}, "seatbid[0].bid"),
        ({"id": "1", "seatbid": [{}]}, "seatbid[0].bid"),
        (
            {"id": "1", "seatbid": [{"bid": [{"id": "b", "price": 1}]}]},
            "seatbid[0].bid[0].impid",
        ),
        (
            {
                "id": "1",
                "seatbid": [{"bid": [{"id": "b", "impid": "1", "price": 1}] * 2}],
            },
            "seatbid[0].bid[1].id",
        ),
    ],
)
def test_an_invalid_response_is_not_decoded(raw, field):
    """A malformed response is refused by the path of its fault."""
    with pytest.raises(InvalidValue) as caught:
        decode_bid_response(raw)

    assert str(caught.value).startswith(f"bid response: {field} ")


def test_a_fitting_response_passes_the_exchange():
    """A bid at the floor, for a known imp, in an accepted currency, is taken."""
    request = decode_bid_request(sample_request())

    check_response(request, bid_response(1.20, mtype=1, adomain=["sneakers.example"]))


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"response_id": "another"}, "id"),
        ({"cur": "EUR"}, "cur"),
        ({"impid": "2"}, "seatbid[0].bid[0].impid"),
        ({"price": 1.19}, "seatbid[0].bid[0].price"),
        ({"mtype": 2}, "seatbid[0].bid[0].mtype"),
        ({"mtype": 9}, "seatbid[0].bid[0].mtype"),
        ({"dealid": "d"}, "seatbid[0].bid[0].dealid"),
        ({"adomain": ["rivalpaper.example"]}, "seatbid[0].bid[0].adomain"),
        ({"cat": ["IAB25"]}, "seatbid[0].bid[0].cat"),
    ],
)
def test_a_response_that_does_not_fit_its_request_is_refused(fields, field):
    """What the exchange would throw away is named before it is sent."""
    request = decode_bid_request(sample_request())

    with pytest.raises(InvalidValue) as caught:
        check_response(request, bid_response(**fields))

    assert str(caught.value).startswith(f"bid response: {field} ")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"seat": "seat-4", "dealid": "spring-sport", "price": 8.0}, None),
        ({"seat": "seat-11", "dealid": "always-on", "price": 6.5}, None),
        ({"seat": "seat-4", "price": 9.0}, "seatbid[0].bid[0].dealid"),
        (
            {"seat": "seat-4", "dealid": "none", "price": 9.0},
            "seatbid[0].bid[0].dealid",
        ),
        (  # over the imp's floor of 5.00, under the deal's of 8.00
            {"seat": "seat-4", "dealid": "spring-sport", "price": 7.99},
            "seatbid[0].bid[0].price",
        ),
        (
            {"seat": "seat-11", "dealid": "spring-sport", "price": 9.0},
            "seatbid[0].bid[0].dealid",
        ),
        (
            {"seat": "seat-4", "dealid": "spring-sport", "adomain": ["x.example"]},
            "seatbid[0].bid[0].adomain",
        ),
        ({"seat": "seat-5", "dealid": "always-on", "price": 9.0}, "seatbid[0].seat"),
        ({"dealid": "always-on", "price": 9.0}, "seatbid[0].seat"),
    ],
)
def test_a_private_auction_takes_its_deals_on_their_terms(fields, field):
    """Only bids on a deal count, by its seats and advertisers, above its floor."""
    request = decode_bid_request(VALID["private_auction_deals"])
    fields = {"adomain": ["sneakers.example"]} | fields
    response = bid_response(response_id="pmp-301", **fields)

    if field is None:
        check_response(request, response)
        return
    with pytest.raises(InvalidValue) as caught:
        check_response(request, response)
    assert str(caught.value).startswith(f"bid response: {field} ")


def test_a_blocked_seat_may_not_bid():
    """OpenRTB 3.2.1: seats in bseat are out, all others are in."""
    request = decode_bid_request(sample_request() | {"bseat": ["seat-4"]})

    check_response(request, bid_response(seat="seat-9"))
    with pytest.raises(InvalidValue, match="seat 'seat-4' may not bid"):
        check_response(request, bid_response(seat="seat-4"))


def test_a_floor_in_another_currency_is_not_compared():
    """0.50 USD against a floor of 0.90 EUR needs a rate, so it is not judged."""
    request = decode_bid_request(VALID["floor_in_euro"])

    check_response(request, bid_response(0.5, response_id="eur-4"))
    with pytest.raises(InvalidValue):
        check_response(request, bid_response(0.5, response_id="eur-4", cur="EUR"))


def test_the_structs_can_be_varied():
    """`msgspec.structs.replace` makes a changed copy of a decoded request."""
    request = decode_bid_request(VALID["minimal"])
    other = msgspec.structs.replace(request, at=1)

    assert (2, 1) == (request.at, other.at)
    assert isinstance(other, BidRequest)
