"""Prices without rounding errors: integer micros inside, CPM at the door.

One micro is a millionth of the currency unit. Ad prices are quoted as CPM,
the cost of a thousand impressions, so one impression at a CPM of 2.50 costs
2,500 micros. OpenRTB 2.6 (section 4.2.3, on ``price``) recommends integer
math for money; adding 0.1 three times as floats gives 0.30000000000000004.
"""

import re
from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext

from adcache.errors import InvalidValue, shown

MICROS = 1_000_000
MAX_MICROS = 9_007_199_254_740_991  # 2**53 - 1: exact in Lua's doubles
MAX_CPM_MICROS = 10**15  # a million currency units for one impression
EXACT = Context(prec=60)  # whatever precision the caller has set for itself
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?")

Money = float | int | Decimal | str


def to_micros(amount: Money, name: str = "amount") -> int:
    """Round `amount` (currency units, or a CPM) to the nearest micro, once.

    Ints, floats, Decimals and numeric strings are taken; a half micro goes to
    the even neighbour. Raises `InvalidValue` (a ValueError) for NaN, infinity,
    negative amounts, booleans, other text and anything above 2**53 - 1 micros.
    """
    if isinstance(amount, (float, int)) and not isinstance(amount, bool):
        scaled = amount * MICROS
        if 0 <= scaled < 1e12:  # here a float is off by less than 0.001 micros
            nearest = round(scaled)
            if abs(scaled - nearest) < 0.4:
                return nearest  # no tie in sight: the usual price, fast
    return _to_micros_exact(amount, name)


def _to_micros_exact(amount: Money, name: str) -> int:
    if isinstance(amount, bool) or not isinstance(amount, float | int | Decimal | str):
        raise InvalidValue(f"{name} must be a number, got {shown(amount)}")
    if isinstance(amount, str) and not _NUMBER.fullmatch(amount.strip()):
        raise InvalidValue(
            f"{name} must be a number such as '2.50', got {shown(amount)}"
        )
    try:
        with localcontext(EXACT):
            value = Decimal(str(amount).strip())
            micros = int((value * MICROS).to_integral_value(ROUND_HALF_EVEN))
    except (ArithmeticError, ValueError):
        raise InvalidValue(
            f"{name} must be a finite number, got {shown(amount)}"
        ) from None
    if value < 0:
        raise InvalidValue(f"{name} must not be negative, got {shown(amount)}")
    if micros > MAX_MICROS:
        raise InvalidValue(
            f"{name} must be at most {MAX_MICROS} micros, got {shown(amount)}"
        )
    return micros


def from_micros(micros: int) -> float:
    """Give micros back as currency units (or CPM) for people and dicts."""
    return micros / MICROS


def impression_cost(cpm_micros: int, carry: int = 0) -> tuple[int, int]:
    """Cost of one impression at a CPM: whole micros, and the remainder.

    CPM is per thousand, so the division leaves 0-999 thousandths of a micro.
    Pass the remainder back as `carry` with the next impression and no money
    is lost: a thousand impressions cost exactly `cpm_micros`. Source: OpenRTB
    2.6, section 4.2.3, ``price``: a CPM, though for a single impression.
    """
    return divmod(cpm_micros + carry, 1000)
