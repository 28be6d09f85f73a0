"""A bid request is processed once, and its duplicate is answered, on every backend."""

import threading

import pytest

from adcache import (
    BidRequestCache,
    BidResponse,
    InvalidBidRequest,
    RedisUnavailable,
    connect,
)
from adcache.openrtb import Bid, SeatBid
from tests.conftest import all_keys
from tests.proxy import Proxy

REQUEST = {
    "id": "80ce30c5:3c16",
    "imp": [{"id": "1", "banner": {"w": 300, "h": 250}, "bidfloor": 1.2}],
    "site": {"domain": "news.example"},
    "user": {"id": "사용자"},
}


def _response(price: float = 2.5, exp: int | None = None) -> BidResponse:
    bid = Bid(id="b1", impid="1", price=price, exp=exp)
    return BidResponse(id=REQUEST["id"], seatbid=[SeatBid(bid=[bid])])


@pytest.fixture
def requests(cache):
    """Bid requests on each backend."""
    return BidRequestCache(cache)


def test_the_first_caller_processes_a_request(requests):
    """One claim is true; a duplicate is told that it is being processed."""
    first, second = (requests.claim_bid_request(REQUEST) for _ in range(2))

    assert (True, False) == (bool(first), bool(second))
    assert (False, None) == (second.answered, second.response)
    assert "news.example" == requests.get_bid_request(REQUEST["id"]).site.domain


def test_a_duplicate_is_answered_with_the_response(requests):
    """After the answer a duplicate gets the response, and is not processed again."""
    requests.claim_bid_request(REQUEST)
    requests.answer_bid_request(REQUEST, _response())
    duplicate = requests.claim_bid_request(REQUEST)

    assert not duplicate
    assert 2.5 == duplicate.response.seatbid[0].bid[0].price


def test_no_bid_is_an_answer_too(requests):
    """A duplicate of a request without a bid gets no bid; no context is kept."""
    requests.claim_bid_request(REQUEST)
    requests.answer_bid_request(REQUEST, None)
    duplicate = requests.claim_bid_request(REQUEST)

    assert (True, None) == (duplicate.answered, duplicate.response)
    assert None is requests.get_bid_context(REQUEST["id"])


def test_the_same_id_of_another_exchange_is_another_request(requests):
    """The key holds the exchange; hostile names are kept apart."""
    pairs = [("a:b", "c"), ("a", "b:c"), ("a", "c"), ("{a}", "c"), ("a", "{c}")]
    claims = [
        requests.claim_bid_request({**REQUEST, "id": request_id}, exchange=exchange)
        for exchange, request_id in pairs
    ]

    assert all(claims)
    assert 5 == len(all_keys(requests.cache))


def test_a_retried_claim_is_told_the_same(requests):
    """With its claim_id a worker whose reply was lost is the first again."""
    claims = [requests.claim_bid_request(REQUEST, claim_id=i) for i in "xxyx"]

    assert [True, True, False, True] == [bool(each) for each in claims]


def test_the_first_answer_stands(requests):
    """A later answer is not stored; the earlier one is returned."""
    requests.claim_bid_request(REQUEST)
    first = requests.answer_bid_request(REQUEST, _response(2.5))
    again = requests.answer_bid_request(REQUEST, _response(2.5))
    late = requests.answer_bid_request(REQUEST, _response(9))

    assert [2.5] * 3 == [r.seatbid[0].bid[0].price for r in (first, again, late)]
    assert 2.5 == requests.get_bid_context(REQUEST["id"])[1].seatbid[0].bid[0].price


def test_the_context_outlives_the_request(requests):
    """A duplicate is known for seconds, the bid for bid.exp plus the horizon."""
    requests.claim_bid_request(REQUEST, ttl=5)
    requests.answer_bid_request(REQUEST, _response(exp=300), notice_horizon=600)
    ids = {"exchange": "default", "request_id": REQUEST["id"]}
    client, key = requests.cache.redis_client, requests.cache.get_key
    assert 4_000 < client.pttl(key("bid_request", **ids)) <= 5_000
    assert 899_000 < client.pttl(key("bid_context", **ids)) <= 900_000
    client.delete(key("bid_request", **ids))

    request, response = requests.get_bid_context(REQUEST["id"])
    assert ("사용자", "1") == (request.user.id, response.seatbid[0].bid[0].impid)
    assert None is requests.get_bid_request(REQUEST["id"])


@pytest.mark.parametrize("bad", [b"{", {"id": "x", "imp": []}, {**REQUEST, "tmax": 0}])
def test_a_malformed_request_is_refused_before_anything_is_written(requests, bad):
    """The error names the field; no key appears."""
    with pytest.raises(InvalidBidRequest):
        requests.claim_bid_request(bad)

    assert [] == all_keys(requests.cache)


@pytest.mark.parametrize("option", [{"ttl": 0}, {"exchange": ""}])
def test_a_bad_option_is_refused_before_anything_is_written(requests, option):
    """Times and names are checked first."""
    with pytest.raises(ValueError, match="must"):
        requests.claim_bid_request(REQUEST, **option)

    assert [] == all_keys(requests.cache)


def test_a_response_to_another_request_is_refused(requests):
    """Its id must be the request's, or a duplicate would get a stranger's answer."""
    requests.claim_bid_request(REQUEST)
    with pytest.raises(ValueError, match="must be the request's '80ce30c5:3c16'"):
        requests.answer_bid_request(REQUEST, BidResponse(id="other", seatbid=[]))


def test_one_of_many_threads_is_the_first(requests):
    """16 threads receive the same request: one processes it."""
    claims = []
    threads = [
        threading.Thread(
            target=lambda: claims.append(requests.claim_bid_request(REQUEST))
        )
        for _ in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (16, 1) == (len(claims), sum(map(bool, claims)))


def test_a_lost_reply_loses_no_request(own_server):
    """Claim and answer are repeated after a lost reply, and end as if it had come."""
    proxy = Proxy(own_server.port)
    requests = BidRequestCache(connect(proxy.url))
    other = {**REQUEST, "id": "warm"}
    requests.claim_bid_request(other)
    requests.answer_bid_request(other, None)
    proxy.lose(1)
    with pytest.raises(RedisUnavailable):
        requests.claim_bid_request(REQUEST, claim_id="w1")
    assert requests.claim_bid_request(REQUEST, claim_id="w1")
    proxy.lose(1)
    with pytest.raises(RedisUnavailable):
        requests.answer_bid_request(REQUEST, _response())

    assert requests.answer_bid_request(REQUEST, _response()) == _response()


def test_a_claim_without_storing_is_given_once(requests, cache):
    """The first has it, a retry of its own question too; others wait for the answer."""
    first = requests.ask_first("r1", exchange="x")
    other = requests.ask_first("r1", exchange="x")
    response = BidResponse(id="r1")

    assert [True, True, False] == [
        bool(cache.wire.ask(q)) for q in (first, first, other)
    ]
    assert not cache.wire.ask(other).answered
    assert cache.wire.ask(requests.ask_reply(response, exchange="x"))
    assert response == cache.wire.ask(other).response
    assert cache.wire.ask(requests.ask_first("r1", exchange="y"))


def test_a_reply_that_comes_too_late_is_not_stored(requests, cache):
    """When nobody would be recognised as a duplicate, nothing is written."""
    assert not cache.wire.ask(requests.ask_reply(BidResponse(id="r1")))
    assert cache.wire.ask(requests.ask_first("r1"))
