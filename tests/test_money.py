"""Prices enter as what people write and are whole micros from then on."""

from decimal import Context, Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adcache import InvalidValue, from_micros, impression_cost, to_micros
from adcache.money import MAX_MICROS


@pytest.mark.parametrize(
    ("amount", "micros"),
    [
        (2.5, 2_500_000),
        (3, 3_000_000),
        ("1.20", 1_200_000),
        (" 1e-3 ", 1_000),
        (Decimal("0.000001"), 1),
        (0.0000004, 0),
        (0.1 + 0.2, 300_000),
        (-0.0, 0),
        (0, 0),
    ],
)
def test_an_amount_is_rounded_to_the_nearest_micro(amount, micros):
    """Floats, ints, Decimals and numeric strings become whole micros."""
    assert micros == to_micros(amount)


@pytest.mark.parametrize(
    "amount",
    [
        float("nan"),
        float("inf"),
        -1,
        -0.01,
        "nan",
        "inf",
        "1,5",
        "",
        "2 dollars",
        True,
        None,
        [],
        "1e999",
        10**12,
        "²",
        Decimal("NaN"),
        Decimal("-Infinity"),
        Decimal("1e9999999"),
    ],
)
def test_an_impossible_amount_names_itself(amount):
    """NaN, infinity, negative, huge and text are a ValueError that shows them."""
    with pytest.raises(ValueError, match="bid_price must") as error:
        to_micros(amount, "bid_price")

    assert repr(amount) in str(error.value)
    assert isinstance(error.value, InvalidValue)


@given(st.integers(0, MAX_MICROS))
def test_micros_survive_the_way_through_a_decimal_string(micros):
    """What is written with six decimals comes back to the micro."""
    assert micros == to_micros(f"{micros // 10**6}.{micros % 10**6:06d}")


@given(st.integers(0, 10**12))
def test_micros_survive_the_way_through_a_float(micros):
    """A price below a million comes back from a float unchanged."""
    assert micros == to_micros(from_micros(micros))


@given(st.floats(0, 1e6))
def test_the_fast_way_equals_the_exact_way(amount):
    """Rounding a float directly gives what its decimal form gives."""
    assert to_micros(str(amount)) == to_micros(amount)


@given(st.integers(0, 10**9), st.integers(1, 3000))
def test_no_remainder_of_an_impression_is_lost(cpm_micros, impressions):
    """Carried remainders add up: n impressions cost n/1000 of the CPM, to the micro."""
    spent, carry = 0, 0
    for _ in range(impressions):
        cost, carry = impression_cost(cpm_micros, carry)
        spent += cost

    assert cpm_micros * impressions == spent * 1000 + carry


def test_a_number_too_long_to_print_is_refused_in_few_words():
    """5000 digits are a ValueError of ours, not Python's."""
    with pytest.raises(InvalidValue, match="too long to print"):
        to_micros(10**5000)


def test_the_callers_decimal_context_changes_nothing():
    """A program that computes with 5 digits still gets exact micros."""
    with localcontext(Context(prec=5)):
        assert 123_456_789 == to_micros(Decimal("123.456789"))
