"""Who might see an ad, and whose ad it might be: the two records of the course.

Build them by keyword. Values are checked and put in one shape on the way in:
datetimes become aware and UTC (a naive one is local time), amounts are rounded
once to the micro, lists and dicts are copied. So a record that comes back from
a cache equals the one that went in.
"""

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from adcache.clock import to_ms
from adcache.errors import InvalidValue, shown
from adcache.money import MAX_CPM_MICROS, MAX_MICROS, Money, from_micros, to_micros

PACINGS = ("asap", "even", "front_loaded", "token_bucket")
FORMATS = ("banner", "video", "audio", "native")  # the objects an OpenRTB imp may have
MAX_CAP = 1_000_000


@dataclass(slots=True)
class UserProfile:
    """What an ad platform remembers of one user.

    >>> UserProfile(user_id="ada", interests=["tea"], demographics={"age": 36},
    ...             behavior_score=0.5, last_activity=datetime(2026, 1, 1, tzinfo=UTC),
    ...             segment="readers").segment
    'readers'

    Raises `InvalidValue` (a ValueError) that names the field, the value, the cure.
    """

    user_id: str
    interests: list[str]
    demographics: dict[str, Any]
    behavior_score: float
    last_activity: datetime
    segment: str

    def __post_init__(self) -> None:
        self.user_id = _text(self.user_id, "user_id")
        self.interests = _texts(self.interests, "interests")
        self.demographics = _record(self.demographics, "demographics")
        self.behavior_score = _finite(self.behavior_score, "behavior_score")
        self.last_activity = _utc(self.last_activity, "last_activity")
        self.segment = _text(self.segment, "segment")


@dataclass(slots=True)
class CampaignData:
    """An advertiser's campaign: what it may spend, on whom, from when to when.

    `budget` and `spent` are in currency units, `bid_price` is a CPM (per
    thousand impressions); floats, ints, Decimals and numeric strings are taken.
    `spent` may exceed `budget` and `status` may be any word: such a campaign
    can be stored, it is just not active. The flight includes both its ends.

    What the ad server needs beside that: `creatives` (ids of its `Creative`
    records), `caps` ((limit, seconds) pairs, all of which must allow an
    impression), `daily_budget` (a day begins at midnight in `time_zone`, an
    IANA name), `pacing` (how a day's money is spread), `deals` (OpenRTB deal ids
    that it may bid on), `adomain` and `cat` (what exchanges block by).

    Raises `InvalidValue` (a ValueError) that names the field, the value, the cure.
    """

    campaign_id: str
    advertiser_id: str
    budget: float
    spent: float
    bid_price: float
    targeting: dict[str, Any]
    status: str
    start_date: datetime
    end_date: datetime
    daily_budget: float | None = None
    time_zone: str = "UTC"
    pacing: str = "asap"
    caps: list[tuple[int, float]] = field(default_factory=list)
    creatives: list[str] = field(default_factory=list)
    deals: list[str] = field(default_factory=list)
    adomain: list[str] = field(default_factory=list)
    cat: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.campaign_id = _text(self.campaign_id, "campaign_id")
        self.advertiser_id = _text(self.advertiser_id, "advertiser_id")
        self.budget = _money(self.budget, "budget")
        self.spent = _money(self.spent, "spent")
        self.bid_price = _money(self.bid_price, "bid_price")
        if self.bid_price_micros > MAX_CPM_MICROS:
            raise InvalidValue(
                f"bid_price must be at most {MAX_CPM_MICROS // 10**6:,} (a CPM), "
                f"got {shown(self.bid_price)}"
            )
        self.targeting = _record(self.targeting, "targeting")
        self.status = _text(self.status, "status")
        self.start_date = _utc(self.start_date, "start_date")
        self.end_date = _utc(self.end_date, "end_date")
        if self.end_date < self.start_date:
            raise InvalidValue(
                f"end_date must not be before start_date, got {self.end_date} "
                f"and {self.start_date}"
            )
        if self.daily_budget is not None:
            self.daily_budget = _money(self.daily_budget, "daily_budget")
        self.time_zone = _time_zone(self.time_zone)
        if self.pacing not in PACINGS:
            raise InvalidValue(
                f"pacing must be one of {', '.join(PACINGS)}, got {shown(self.pacing)}"
            )
        self.caps = _caps(self.caps)
        for name in ("creatives", "deals", "adomain", "cat"):
            setattr(self, name, _texts(getattr(self, name), name))

    @property
    def budget_micros(self) -> int:
        """The budget in micros of the currency unit."""
        return to_micros(self.budget, "budget")

    @property
    def spent_micros(self) -> int:
        """What is spent, in micros of the currency unit."""
        return to_micros(self.spent, "spent")

    @property
    def bid_price_micros(self) -> int:
        """The bid as a CPM in micros; an impression costs a thousandth of it."""
        return to_micros(self.bid_price, "bid_price")


@dataclass(slots=True)
class Creative:
    """One ad: what is shown, and what an exchange must know to accept it.

    `format` is the OpenRTB object that it fits: banner, video, audio or native.
    `w` and `h` are in device-independent pixels, `duration` in seconds (video,
    audio); `attr` holds codes of AdCOM 1.0, Creative Attributes; `markup` is the
    ad itself (HTML, VAST or native JSON), served as OpenRTB's ``bid.adm``.

    Raises `InvalidValue` (a ValueError) that names the field, the value, the cure.
    """

    creative_id: str
    campaign_id: str
    format: str
    markup: str
    w: int = 0
    h: int = 0
    duration: int = 0
    mimes: list[str] = field(default_factory=list)
    attr: list[int] = field(default_factory=list)
    language: str = ""

    def __post_init__(self) -> None:
        self.creative_id = _text(self.creative_id, "creative_id")
        self.campaign_id = _text(self.campaign_id, "campaign_id")
        self.markup = _text(self.markup, "markup")
        if self.format not in FORMATS:
            raise InvalidValue(
                f"format must be one of {', '.join(FORMATS)}, got {shown(self.format)}"
            )
        for name in ("w", "h", "duration"):
            _whole(getattr(self, name), name)
        self.mimes = _texts(self.mimes, "mimes")
        if not isinstance(self.attr, list | tuple):
            raise InvalidValue(f"attr must be a list of codes, got {shown(self.attr)}")
        self.attr = [_whole(code, "each of attr") for code in self.attr]
        if not isinstance(self.language, str):
            raise InvalidValue(f"language must be text, got {shown(self.language)}")


def _text(value: object, name: str) -> str:
    if not isinstance(value, str) or not value:
        raise InvalidValue(f"{name} must be text and not empty, got {shown(value)}")
    return value


def _texts(values: object, name: str) -> list[str]:
    # A bare string would be taken letter by letter: "tea" as t, e, a.
    if not isinstance(values, list | tuple):
        raise InvalidValue(f"{name} must be a list of words, got {values!r}")
    return [_text(value, f"each of {name}") for value in values]


def _record(value: object, name: str) -> dict[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(k, str) for k in value):
        raise InvalidValue(
            f"{name} must be a dict with text for keys, got {shown(value)}"
        )
    return dict(value)


def _finite(value: object, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidValue(f"{name} must be a number, got {shown(value)}")
    if not abs(value) < math.inf:  # False for NaN too
        raise InvalidValue(f"{name} must be finite, got {shown(value)}")
    try:
        return float(value)
    except OverflowError:
        raise InvalidValue(f"{name} must fit a float, got {shown(value)}") from None


def _whole(value: object, name: str) -> int:
    if type(value) is not int or not 0 <= value <= MAX_MICROS:
        raise InvalidValue(
            f"{name} must be a whole number from 0 to 2**53 - 1, got {shown(value)}"
        )
    return value


def _caps(pairs: object) -> list[tuple[int, float]]:
    example = "pairs such as [(3, 3600), (10, 86400)]"
    if not isinstance(pairs, list | tuple):
        raise InvalidValue(f"caps must be {example}, got {shown(pairs)}")
    caps = []
    for pair in pairs:
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise InvalidValue(f"caps must be {example}, got {shown(pair)}")
        limit = _whole(pair[0], "the limit of a cap")
        if limit > MAX_CAP:
            raise InvalidValue(
                f"a cap's limit is at most {MAX_CAP:,}, got {shown(limit)}"
            )
        caps.append((limit, to_ms(pair[1], "the window of a cap") / 1000))
    return caps


def _time_zone(name: object) -> str:
    try:
        return ZoneInfo(_text(name, "time_zone")).key
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InvalidValue(
            f"time_zone must be an IANA name such as 'Europe/Berlin', got {shown(name)}"
        ) from None


def _money(amount: Money, name: str) -> float:
    return from_micros(to_micros(amount, name))


def _utc(moment: object, name: str) -> datetime:
    if not isinstance(moment, datetime):
        cure = "a datetime such as datetime.now(UTC)"
        raise InvalidValue(f"{name} must be {cure}, got {shown(moment)}")
    try:
        return moment.astimezone(UTC)
    except (OverflowError, OSError, ValueError):
        raise InvalidValue(f"{name} is out of range in UTC: {shown(moment)}") from None
