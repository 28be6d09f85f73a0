"""Who might see an ad, and whose ad it might be: the two records of the course.

Build them by keyword. Values are checked and put in one shape on the way in:
datetimes become aware and UTC (a naive one is local time), amounts are rounded
once to the micro, lists and dicts are copied. So a record that comes back from
a cache equals the one that went in.
"""

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from adcache.errors import InvalidValue
from adcache.money import Money, from_micros, to_micros


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

    def __post_init__(self) -> None:
        self.campaign_id = _text(self.campaign_id, "campaign_id")
        self.advertiser_id = _text(self.advertiser_id, "advertiser_id")
        self.budget = _money(self.budget, "budget")
        self.spent = _money(self.spent, "spent")
        self.bid_price = _money(self.bid_price, "bid_price")
        self.targeting = _record(self.targeting, "targeting")
        self.status = _text(self.status, "status")
        self.start_date = _utc(self.start_date, "start_date")
        self.end_date = _utc(self.end_date, "end_date")
        if self.end_date < self.start_date:
            raise InvalidValue(
                f"end_date must not be before start_date, got {self.end_date} "
                f"and {self.start_date}"
            )

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


def _text(value: object, name: str) -> str:
    if not isinstance(value, str) or not value:
        raise InvalidValue(f"{name} must be text and not empty, got {value!r}")
    return value


def _texts(values: object, name: str) -> list[str]:
    # A bare string would be taken letter by letter: "tea" as t, e, a.
    if not isinstance(values, list | tuple):
        raise InvalidValue(f"{name} must be a list of words, got {values!r}")
    return [_text(value, f"each of {name}") for value in values]


def _record(value: object, name: str) -> dict[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(k, str) for k in value):
        raise InvalidValue(f"{name} must be a dict with text for keys, got {value!r}")
    return dict(value)


def _finite(value: object, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidValue(f"{name} must be a number, got {value!r}")
    if not abs(value) < math.inf:  # False for NaN too
        raise InvalidValue(f"{name} must be finite, got {value!r}")
    try:
        return float(value)
    except OverflowError:
        raise InvalidValue(f"{name} must fit a float, got {value!r}") from None


def _money(amount: Money, name: str) -> float:
    return from_micros(to_micros(amount, name))


def _utc(moment: object, name: str) -> datetime:
    if not isinstance(moment, datetime):
        cure = "a datetime such as datetime.now(UTC)"
        raise InvalidValue(f"{name} must be {cure}, got {moment!r}")
    try:
        return moment.astimezone(UTC)
    except (OverflowError, OSError, ValueError):
        raise InvalidValue(f"{name} is out of range in UTC: {moment!r}") from None
