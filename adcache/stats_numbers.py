"""The arithmetic of statistics: exact sums, and the ratios made of them.

Redis adds whole numbers only here. ``HINCRBYFLOAT`` adds binary fractions: 0.1
and 0.2 make 0.30000000000000004, and a million small costs drift. So what has a
fraction is counted in millionths, in a field of its own.
"""

import math
from collections.abc import Mapping
from decimal import Decimal

from adcache.errors import InvalidValue, shown
from adcache.keys import decode_id, encode_id
from adcache.money import MAX_MICROS, MICROS, to_micros

Value = int | float
MONEY = ("cost", "revenue")  # always in micros
IN_MICROS = ":micros"  # ends such a field's name; a metric's ":" is encoded
SUMMARY = ("impressions", "clicks", "conversions", *MONEY)


def field_and_amount(metric: str, value: Value | Decimal | str) -> tuple[str, int]:
    """Return the field that `value` of `metric` is added to, and the whole number.

    >>> field_and_amount("clicks", 1.0), field_and_amount("cost", 0.1)
    (('clicks', 1), ('cost:micros', 100000))

    Millionths are rounded once, half to even. Negative values are corrections.
    Raises `InvalidValue` for an empty metric, for what is no number, not
    finite, or beyond 2**53 - 1 (of millionths, where it has a fraction).
    """
    field = encode_id(metric, "metric")
    if metric in MONEY or isinstance(value, bool):
        return field + IN_MICROS, _signed_micros(value, metric)
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        return field, _within(int(value), metric)
    micros = _signed_micros(value, metric)
    if micros % MICROS:
        return field + IN_MICROS, micros
    return field, micros // MICROS


def _within(whole: int, metric: str) -> int:
    if abs(whole) > MAX_MICROS:
        raise InvalidValue(
            f"{shown(metric)} takes at most {MAX_MICROS:,} at once, got {shown(whole)}"
        )
    return whole


def _signed_micros(value: Value | Decimal | str, metric: str) -> int:
    name = f"the value of {shown(metric)}"
    if isinstance(value, Decimal | str):  # a Decimal's own "-" rounds, or raises
        text = str(value).strip()
        return -to_micros(text[1:], name) if text[:1] == "-" else to_micros(text, name)
    if isinstance(value, float | int) and -math.inf < value < 0:
        return -to_micros(-value, name)
    return to_micros(value, name)


def total(metric: str, whole: int, micros: int) -> Value:
    """Add a metric's two fields: an int, but for money and where it has millionths."""
    if micros or metric in MONEY:
        return (whole * MICROS + micros) / MICROS  # rounded correctly, once
    return whole


def by_metric(fields: Mapping[str, str]) -> dict[str, Value]:
    """Turn the fields of a day's hash into metric -> total, sorted by name."""
    parts: dict[str, list[int]] = {}
    for field, number in fields.items():
        name = decode_id(field.removesuffix(IN_MICROS))
        parts.setdefault(name, [0, 0])[field.endswith(IN_MICROS)] += int(number)
    return {name: total(name, *both) for name, both in sorted(parts.items())}


def ratios(totals: Mapping[str, Value]) -> dict[str, float]:
    """Ratios of a campaign's totals; 0.0 where one is undefined.

    ctr = clicks / impressions; cvr = conversions / clicks; cpc = cost / clicks;
    cpa = cost / conversions; ecpm = 1000 cost / impressions, the price of a
    thousand impressions; roas = revenue / cost. Source: the usual definitions
    of the trade, with cost and revenue in one currency.

    >>> ratios({"impressions": 1000, "clicks": 20, "cost": 5.0})["cpc"]
    0.25
    """
    impressions, clicks = totals.get("impressions", 0), totals.get("clicks", 0)
    conversions, cost = totals.get("conversions", 0), totals.get("cost", 0)
    return {
        "ctr": share(clicks, impressions),
        "cvr": share(conversions, clicks),
        "cpc": share(cost, clicks),
        "cpa": share(cost, conversions),
        "ecpm": share(1000 * cost, impressions),
        "roas": share(totals.get("revenue", 0), cost),
    }


def share(part: Value, whole: Value) -> float:
    """Return part / whole; 0.0 when nothing (or less) is there to divide by."""
    return part / whole if whole > 0 else 0.0
