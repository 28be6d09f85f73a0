"""Hostile ids and numbers for every public method of every component.

What must not be is `InvalidValue`, names the parameter and the value, and leaves
nothing behind; what is merely odd works, and no two odd ids share data.
"""

import inspect
import re
from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from adcache import (
    AdServer,
    BidRequestCache,
    BudgetPacer,
    CampaignCache,
    CreativeCache,
    FrequencyCapManager,
    InvalidBidRequest,
    InvalidValue,
    PerformanceStatsCache,
    ReadThrough,
    RealTimeBiddingCache,
    RecordCache,
    RedisAdCache,
    SessionManager,
    SessionTargeting,
    UserPrivacy,
    UserProfileCache,
)
from adcache.errors import shown
from adcache.wire import Question
from tests.adserver_help import stage
from tests.conftest import all_keys, empty
from tests.hostile_table import (
    TABLE,
    Once,
    Slot,
    bid_request,
    campaign,
    creative,
    profile,
)

NAN, INF = float("nan"), float("inf")
NUMBERS = [
    *(NAN, INF, -INF, -1, -0.5, 0, -0.0, 1.5, 1e308, 2**53, 10**30, 10**5000),
    *(True, None, "1e400", "", "x", "-1", Decimal("NaN"), Decimal("Infinity")),
    *(Decimal("-1"), Decimal("sNaN"), b"1", [1], {}, 1 + 1j, object()),
]
NO_IDS = ["", None, 7, 0, True, 1.5, NAN, b"x", ["x"], ("x",), {}, object()]
ODD_IDS = [
    *("a:b", "{a}", "}{", "{}", "a b", "a\nb", "a\r\nb", "a\0b", "*", "a*", "[ab]"),
    *("?", "~", "a~b", "%41", "A", "a", "%", ":", " ", "-1", "null", "é", "e\u0301"),
    *("🦊", "\u202e", "\ud800", "\udfff", "x" * 10_000, "x" * 9_999 + "y"),
]
WHOLE = [0, 2**53, 10**30, 10**5000]
# kind -> what goes in, and what of it is fine; of all the rest each is refused.
NUMBER_KINDS: dict[str, list[Any]] = {
    "seconds": [1.5],
    "optional seconds": [1.5, None],
    "money": [0, -0.0, 1.5],
    "optional money": [0, -0.0, 1.5, None],
    "json money": [0, -0.0, 1.5],
    "count": [],
    "count or 0": WHOLE,
    "any count": WHOLE[1:],
    "size": [0],
    "cap limit": [0],
    "signed": [-1, -0.5, 0, -0.0, 1.5, 1e308, 2**53, 10**30],
    "stat": [-1, -0.5, 0, -0.0, 1.5, Decimal("-1"), "-1"],
    "weight": [1.5],
    "share": [0, -0.0],
    "beta": [0, -0.0, 1.5],
    "auction type": [],
    "replicas": [0],
    "age": [0],
    "device": [],
    "zone": [],
    "bool": [True],
    "rate": [0, -0.0, 1.5],
    "algorithm": [],
    "strategy": [],
    "date": [None],
    "moment": [],
    "json": [
        *(-1, -0.5, 0, -0.0, 1.5, 1e308, 2**53, 10**30, True, None, "1e400", ""),
        *("x", "-1", [1], {}),
    ],
    "json no null": [
        *(
            -1,
            -0.5,
            0,
            -0.0,
            1.5,
            1e308,
            2**53,
            10**30,
            True,
            "1e400",
            "",
            "x",
            "-1",
            [1],
            {},
        ),
    ],
    "visitor": [None, "", "1e400", "x", "-1"],
}
DATES = ["2026-13-01", "2026-1-1", "31.01.2026", date.max, "\uff19999-01-01"]
OBJECTS = [None, 7, 1.5, True, "text", b"x", [7], {7: 7}, object()]
FINE_OBJECTS = {
    "object": [],
    "optional object": [None],
    "sequence": [],
    "response": [None],
    "bid request": [],
}
ID_KINDS = {
    "id": [],
    "optional id": [None],
    "key": [],
    "text": [],
    "word": [],
    "optional word": [None],
    "json id": [],
    "optional json id": ["", None],
    "bid id": [],
    "note": [""],
}


def hostile_values(slot: Slot) -> Iterator[tuple[Any, bool]]:
    """Values for a slot, and whether each is fine."""
    kind = slot.kind
    if kind in NUMBER_KINDS:
        values, fine = NUMBERS + (DATES if kind == "date" else []), NUMBER_KINDS[kind]
    elif kind in FINE_OBJECTS:
        values, fine = OBJECTS, FINE_OBJECTS[kind]
    else:
        values, fine = NO_IDS, ID_KINDS[kind]
    if kind == "key":  # of a mapping: what cannot be hashed cannot be a key
        values = [value for value in values if not isinstance(value, list | dict)]
    for value in values:
        if kind == "rate" and type(value) in (int, float) and value == 0:
            continue  # the ad server may say that no currency is worth nothing
        if slot.kind == "object" and slot.wrap is None and value == {7: 7}:
            continue  # a dict: what is inside it has slots of its own
        yield value, any(same(value, each) for each in fine)


def same(one: Any, other: Any) -> bool:
    """Equal and of one type: True is no 1."""
    return type(one) is type(other) and shown(one) == shown(other)


def component(cls: type, cache: RedisAdCache) -> Any:
    """An object whose constructor got fine arguments."""
    return cls(cache, **fine_arguments(cls, "__init__"))


def fine_arguments(cls: type, method: str) -> dict[str, Any]:
    """Arguments that a method takes."""
    given = {name: each.fine for name, each in TABLE[cls][method].items()}
    return given | {"stop": Once()} if "stop" in given else given


def call(cls: type, cache: RedisAdCache, method: str, arguments: dict[str, Any]) -> Any:
    """Call a method of a new object; a question is asked at once."""
    if method == "__init__":
        return cls(cache, **arguments)
    thing = component(cls, cache)
    try:
        answer = getattr(thing, method)(**arguments)
        return cache.wire.ask(answer) if isinstance(answer, Question) else answer
    finally:
        if method in ("start_monitoring", "wait_until_on"):
            (thing.stop_monitoring if method[2] == "a" else thing.close)()


def slots_of(cls: type, method: str) -> Iterator[tuple[str, Slot]]:
    """Parameters, and the slots of each with the name that errors say."""
    for name, each in TABLE[cls][method].items():
        for slot in each.slots:
            yield name, slot._replace(name=slot.name or name)


def attempt(
    cls: type, cache: RedisAdCache, method: str, name: str, slot: Slot, value: Any
) -> Exception | None:
    """Call with one hostile value; the error that came, if any."""
    try:
        inside = value if slot.wrap is None else slot.wrap(value)
        call(cls, cache, method, fine_arguments(cls, method) | {name: inside})
    except Exception as error:
        return error
    return None


def complaints(
    cls: type, cache: RedisAdCache, method: str, name: str, slot: Slot, value: Any
) -> Iterator[str]:
    """What is wrong with the way in which a bad value was refused."""
    error = attempt(cls, cache, method, name, slot, value)
    left = all_keys(cache)
    if not isinstance(error, InvalidValue):
        yield f"got {type(error).__name__}: {str(error)[:100]}"
        empty(cache)
        return
    text = str(error)
    if left:
        yield f"refused, but wrote {left}"
        empty(cache)
    shape = slot.kind in FINE_OBJECTS or "json" in slot.kind
    if not shape and not names(text, slot.name, value):
        yield f"names not {slot.name!r} or the value: {text[:200]!r}"
    if len(text) > 500:
        yield f"takes {len(text)} characters to say so"


def names(text: str, name: str, value: Any) -> bool:
    """Whether an error says which parameter it is about, and which value."""
    words = {name, name.replace("_", " "), name.rstrip("s"), name.split("_")[0]}
    if not any(word and word in text for word in words):
        return False
    said = [shown(value)[:20], "empty", "too long to print"]
    if isinstance(value, Decimal):
        said.append(repr(str(value)))
    if isinstance(value, float) and value.is_integer():
        said.append(str(int(value))[:20])
    return any(each in text for each in said)


@pytest.fixture
def hostile_cache(make_cache: Callable[..., RedisAdCache]) -> RedisAdCache:
    """The embedded fake: quick enough for tens of thousands of calls."""
    return make_cache("fakeredis")


METHODS = [(cls, method) for cls, methods in TABLE.items() for method in methods]
NAMES = [f"{cls.__name__}.{method}" for cls, method in METHODS]


@pytest.mark.parametrize("cls", TABLE, ids=lambda cls: cls.__name__)
def test_the_table_names_every_public_method(cls):
    """A new method or parameter is not forgotten here: this test fails first."""
    public = {
        name: set(inspect.signature(method).parameters) - {"self"}
        for name, method in inspect.getmembers(cls, inspect.isfunction)
        if not name.startswith("_")
    }
    listed = {name: set(args) for name, args in TABLE[cls].items()}
    del listed["__init__"]
    assert public == listed


@pytest.mark.parametrize(("cls", "method"), METHODS, ids=NAMES)
def test_what_must_not_be_is_refused_and_leaves_nothing(hostile_cache, cls, method):
    """Each bad value is an `InvalidValue` that names it; nothing is written."""
    found = []
    for name, slot in slots_of(cls, method):
        for value, fine in hostile_values(slot):
            where = f"{method}({slot.name}={shown(value)}) as {slot.kind}: "
            if fine:
                error = attempt(cls, hostile_cache, method, name, slot, value)
                found += [where + f"fine, but {error!r}"] if error else []
                empty(hostile_cache)
                continue
            said = complaints(cls, hostile_cache, method, name, slot, value)
            found += [where + each for each in said]
    assert [] == found


@pytest.mark.parametrize(("cls", "method"), METHODS, ids=NAMES)
def test_odd_ids_work_or_are_refused(hostile_cache, cls, method):
    """No id breaks a call, and none brings a hash tag or a separator of its own."""
    found = []
    for name, slot in slots_of(cls, method):
        for value in ODD_IDS if slot.kind in ID_KINDS else []:
            error = attempt(cls, hostile_cache, method, name, slot, value)
            where = f"{method}({slot.name}={shown(value)})"
            if not isinstance(error, InvalidValue | None):
                found.append(f"{where}: {type(error).__name__}: {str(error)[:100]}")
            keys = all_keys(hostile_cache)
            if error and keys:
                found.append(f"{where}: refused, but wrote {keys}")
            found += [f"{where}: wrote {key}" for key in keys if not tame(key)]
            empty(hostile_cache)
    assert [] == found


def tame(key: str) -> bool:
    """Whether a key has one hash tag, and of an id nothing but what is harmless."""
    return bool(re.fullmatch(r"test-[0-9a-f]+:[\w:]*\{[^{}]*\}[^{}]*", key)) and not (
        re.search(r"[^\w.~%:{}\-]", key, re.ASCII)
    )


# Per component: what to write with an id, and what to read with it; the read must
# show what was written under this very id and nothing of any other.
PAIRS: dict[str, tuple[type, Callable[..., Any], Callable[..., Any]]] = {
    "profiles": (
        UserProfileCache,
        lambda users, name, n: users.set_user_profile(
            profile(user_id=name, behavior_score=n)
        ),
        lambda users, name: getattr(
            users.get_user_profile(name), "behavior_score", None
        ),
    ),
    "members of a segment": (
        UserProfileCache,
        lambda users, name, n: users.add_user_to_segment(f"user {n}", name),
        lambda users, name: (users.get_users_by_segment(name) or [None])[0],
    ),
    "segments of a user": (
        UserProfileCache,
        lambda users, name, n: users.add_user_to_segment(name, f"segment {n}"),
        lambda users, name: (users.segments_of(name) or [None])[0],
    ),
    "campaigns": (
        CampaignCache,
        lambda ads, name, n: ads.set_campaign(campaign(campaign_id=name, bid_price=n)),
        lambda ads, name: getattr(ads.get_campaign(name), "bid_price", None),
    ),
    "spend": (
        CampaignCache,
        lambda ads, name, n: (
            ads.set_campaign(campaign(campaign_id=name)),
            ads.update_campaign_spend(name, n),
        ),
        lambda ads, name: getattr(ads.get_campaign(name), "spent", None),
    ),
    "interests": (
        CampaignCache,
        lambda ads, name, n: (
            ads.set_campaign(campaign(campaign_id=f"c{n}")),
            ads.index_campaign_targeting(f"c{n}", {"interests": [name]}),
        ),
        lambda ads, name: ([ad.campaign_id for ad in ads.get_ads(name)] or [None])[0],
    ),
    "creatives": (
        CreativeCache,
        lambda ads, name, n: ads.set_creative(creative(creative_id=name, w=n)),
        lambda ads, name: getattr(ads.get_creative(name), "w", None),
    ),
    "auctions": (
        RealTimeBiddingCache,
        lambda auctions, name, n: (
            auctions.create_auction(name, 0),
            auctions.submit_bid(name, "x", n),
        ),
        lambda auctions, name: (auctions.get_auction_winner(name) or {}).get(
            "winning_bid"
        ),
    ),
    "bidders": (
        RealTimeBiddingCache,
        lambda auctions, name, n: (
            auctions.create_auction(f"a{n}", 0),
            auctions.submit_many(f"a{n}", [("other", 1), (name, 2)]),
        ),
        lambda auctions, name: None,
    ),
    "requests": (
        BidRequestCache,
        lambda asked, name, n: asked.claim_bid_request(bid_request(), exchange=name),
        lambda asked, name: asked.get_bid_request("mobile_news-1", name),
    ),
    "users' caps": (
        FrequencyCapManager,
        lambda caps, name, n: [
            caps.check_frequency_cap(name, "x", 99) for _ in range(n)
        ],
        lambda caps, name: caps.peek(name, "x", 99).count or None,
    ),
    "campaigns' caps": (
        FrequencyCapManager,
        lambda caps, name, n: [
            caps.check_frequency_cap("x", name, 99) for _ in range(n)
        ],
        lambda caps, name: caps.peek("x", name, 99).count or None,
    ),
    "sessions": (
        SessionManager,
        lambda held, name, n: held.create_session(name, {"n": n}),
        lambda held, name: (held.get_session(name) or {"data": {}})["data"].get("n"),
    ),
    "users' sessions": (
        SessionManager,
        lambda held, name, n: held.create_session(f"s{n}", {"user_id": name}),
        lambda held, name: (held.session_ids(name) or [None])[0],
    ),
    "interests of a session": (
        SessionTargeting,
        lambda seen, name, n: seen.record(name, {f"i{n}": 1}),
        lambda seen, name: (seen.interests(name) or [(None, 0)])[0][0],
    ),
    "days": (
        PerformanceStatsCache,
        lambda stats, name, n: stats.increment_stat(name, "clicks", n),
        lambda stats, name: stats.get_daily_stats(name).get("clicks"),
    ),
    "metrics": (
        PerformanceStatsCache,
        lambda stats, name, n: stats.increment_stat("x", name, n),
        lambda stats, name: stats.get_daily_stats("x").get(name),
    ),
    "budgets": (
        BudgetPacer,
        lambda pacer, name, n: (
            CampaignCache(pacer.cache).set_campaign(
                campaign(campaign_id=name, bid_price=1000)
            ),
            pacer.reserve(name, "r", n),
        ),
        lambda pacer, name: getattr(pacer.status(name), "reserved", None),
    ),
    "reservations": (
        BudgetPacer,
        lambda pacer, name, n: (
            CampaignCache(pacer.cache).set_campaign(campaign(bid_price=1000)),
            pacer.reserve("x", name, n, note=f"note {n}"),
        ),
        lambda pacer, name: pacer.keep("x", name).note or None,
    ),
    "records": (
        RecordCache,
        lambda records, name, n: records.put(name, {"n": n}),
        lambda records, name: records.get(name).get("n"),
    ),
    "read-through": (
        ReadThrough,
        lambda records, name, n: records.put(name, {"n": n}),
        lambda records, name: records.get(name).get("n"),
    ),
    "suppressed users": (
        UserPrivacy,
        lambda people, name, n: people.suppress(name, n + 1000),
        lambda people, name: None,
    ),
}


@pytest.mark.parametrize("what", PAIRS)
@pytest.mark.parametrize("backend", ["fakeredis", "redis"])
def test_no_two_odd_ids_share_data(make_cache, backend, what):
    """What is written under an id is read under this one alone."""
    cache = make_cache(backend)
    cls, write, read = PAIRS[what]
    thing = component(cls, cache)
    told: dict[str, Any] = {}
    for number, name in enumerate(ODD_IDS, start=1):
        try:
            before = read(thing, name)
            write(thing, name, number)
        except InvalidValue:
            continue
        assert before is None, f"{shown(name)} found what {told} wrote"
        told[name] = read(thing, name)
    values = [value for value in told.values() if value is not None]
    assert len(values) == len(set(map(str, values))) or what == "requests"
    assert len(told) > len(ODD_IDS) - 4, "odd ids are refused, not kept apart"
    for name, value in told.items():
        assert read(thing, name) == value, f"{shown(name)} was overwritten"


ODD_IN_JSON = {
    "the request": lambda name: bid_request(id=name),
    "the imp": lambda name: bid_request(imp_id=name),
    "the user": lambda name: bid_request(buyeruid=name),
    "the session": lambda name: bid_request(session_id=name),
}


@pytest.mark.parametrize("where", ODD_IN_JSON)
def test_odd_ids_travel_through_the_ad_server(make_cache, clock, where):
    """A bid for an odd id is billed once and counted; else the request is refused."""
    cache = make_cache("fakeredis", clock=clock)
    stage(cache, 3, users=0, caps=[(1000, 3600)], targeting={})
    server = AdServer(cache)
    bids = 0
    for number, name in enumerate(ODD_IDS):
        request = ODD_IN_JSON[where](name)
        try:
            decision = server.decide(request, exchange=f"exchange {number}")
        except InvalidBidRequest:
            continue
        assert decision, f"{shown(name)}: {decision.reason}"
        bid = decision.response.seatbid[0].bid[0]
        assert server.win(bid.id), shown(name)
        assert server.billing(bid.id, bid.price), shown(name)
        assert not server.billing(bid.id, bid.price), shown(name)
        assert server.click(bid.id), shown(name)
        bids += 1
    assert bids >= len(ODD_IDS) - 4, "odd ids are refused, not served"


SAMPLE = [NAN, -1, 0, 2**53, 10**30, True, None, "1e400", "", b"1", "\ud800"]


@pytest.mark.parametrize("cls", TABLE, ids=lambda cls: cls.__name__)
def test_a_real_server_is_spared_alike(make_cache, cls):
    """What the fake lets through or refuses, a server does: nobody sees its errors."""
    real, fake = make_cache("redis"), make_cache("fakeredis")
    found = []
    for method in TABLE[cls]:
        for name, slot in slots_of(cls, method):
            for value in SAMPLE:
                errors = [
                    attempt(cls, cache, method, name, slot, value)
                    for cache in (fake, real)
                ]
                types = [type(error) for error in errors]
                if types[0] is not types[1] or not issubclass(
                    types[1], InvalidValue | type(None)
                ):
                    found.append(f"{method}({slot.name}={shown(value)}): {errors}")
        empty(fake)
        empty(real)
    assert [] == found
