"""TC strings: what a person in Europe allowed, as a publisher's dialogue wrote it.

A TC string is made of bit fields in base64url, in segments divided by dots.
This module reads of the first, the core, what decides about a profile: the
purposes and vendors consented to, and what the publisher forbids. It neither
checks a string against the Global Vendor List nor reads the other segments.

Source: IAB Tech Lab, "Transparency and Consent String with Global Vendor &
CMP List Formats" v2 (the section on the core string), and its TCF v2 policies.
"""

import base64
import re
from collections.abc import Callable, Collection, Iterator

from adcache.errors import InvalidValue, shown

STORE, PROFILE, USE_PROFILE = (
    1,
    3,
    4,
)  # purposes: access to a device, profiling, its use
NOT_ALLOWED, LEGITIMATE_INTEREST = 0, 2  # what a publisher may restrict a purpose to
LONGEST = 16_384  # characters that are looked at: more is no consent
_BASE64URL = re.compile(r"[A-Za-z0-9_-]+")
_HEAD = (6, 36, 36, 12, 12, 6, 12, 12, 6, 1, 1, 12)  # version ... special features
_PURPOSES_AT, _VENDORS_AT = sum(_HEAD), sum(_HEAD) + 24 + 24 + 1 + 12


class TcString:
    """A core string that could be read to its end; see `read_tc_string`."""

    def __init__(self, core: bytes) -> None:
        bits = _Bits(core)
        if bits.take(6) != 2:
            raise ValueError("not version 2")
        bits.at = _PURPOSES_AT
        self._purposes = bits.take(24)
        bits.at = _VENDORS_AT
        self._vendor = _vendors(bits)
        _vendors(bits)  # those of legitimate interest: no basis for a profile
        self._restrictions = list(_restrictions(bits))

    def consents(self, purpose: int, vendor: int | None = None) -> bool:
        """Say whether the person consents to a purpose (1 to 24).

        With a `vendor` (an id of the Global Vendor List) also to that vendor,
        and the publisher does not forbid it, nor leave it to legitimate
        interest only.
        """
        allowed = 1 <= purpose <= 24 and bool(self._purposes >> (24 - purpose) & 1)
        if vendor is None or not allowed:
            return allowed
        return self._vendor(vendor) and not any(
            restricted == purpose
            and kind in (NOT_ALLOWED, LEGITIMATE_INTEREST)
            and any(first <= vendor <= last for first, last in ranges)
            for restricted, kind, ranges in self._restrictions
        )


def read_tc_string(text: str) -> TcString | None:
    """Read a TC string; None for anything that is not a complete one.

    >>> text = write_tc_string(purposes=[1, 3, 4])
    >>> read_tc_string(text).consents(3), read_tc_string(text).consents(2)
    (True, False)
    >>> read_tc_string("made-up") is None
    True
    """
    core = text[:LONGEST].partition(".")[0]
    if len(text) > LONGEST or not _BASE64URL.fullmatch(core) or len(core) % 4 == 1:
        return None
    try:
        return TcString(base64.urlsafe_b64decode(core + "=" * (-len(core) % 4)))
    except ValueError:
        return None


def write_tc_string(
    purposes: Collection[int],
    vendors: Collection[int] = (),
    *,
    last_updated_ms: int = 1_767_225_600_000,
) -> str:
    """Write a core string, for samples and tests; times in ms since 1970.

    The dialogue is number 1, in English, for this publisher only. Raises
    `InvalidValue` for a purpose that is not 1 to 24, a vendor not 1 to 65535.
    """
    for number, most in *((p, 24) for p in purposes), *((v, 65535) for v in vendors):
        if not 1 <= number <= most:
            raise InvalidValue(
                f"must be a number from 1 to {most}, got {shown(number)}"
            )
    when = last_updated_ms // 100
    english = 4 << 6 | 13  # E and N, A being 0
    head = (2, when, when, 1, 1, 1, english, 1, 5, 1, 0, 0)
    highest = max(vendors, default=0)
    fields = [
        *zip(_HEAD, head, strict=True),
        *((1, purpose in purposes) for purpose in range(1, 25)),
        (24, 0),  # no legitimate interest
        (1, 0),
        (12, english),
        (16, highest),
        (1, 0),  # one bit a vendor
        *((1, vendor in vendors) for vendor in range(1, highest + 1)),
        (16 + 1 + 12, 0),  # nobody's legitimate interest, no restriction
    ]
    bits = "".join(f"{int(value):0{width}b}" for width, value in fields)
    bits += "0" * (-len(bits) % 8)
    packed = int(bits, 2).to_bytes(len(bits) // 8, "big")
    return base64.urlsafe_b64encode(packed).rstrip(b"=").decode()


class _Bits:
    """Reads whole numbers of so many bits, one after the other."""

    def __init__(self, data: bytes) -> None:
        self._data, self.at = data, 0

    def take(self, width: int) -> int:
        first, end = self.at, self.at + width
        if end > 8 * len(self._data):
            raise ValueError("ends too early")
        self.at = end
        part = int.from_bytes(self._data[first // 8 : (end + 7) // 8], "big")
        return part >> (-end % 8) & ((1 << width) - 1)


def _vendors(bits: _Bits) -> Callable[[int], bool]:
    """Read a list of vendors: one bit each, or ranges."""
    highest = bits.take(16)
    if bits.take(1):
        ranges = _ranges(bits)
        return lambda vendor: any(first <= vendor <= last for first, last in ranges)
    field = bits.take(highest)
    return lambda vendor: (
        1 <= vendor <= highest and bool(field >> (highest - vendor) & 1)
    )


def _ranges(bits: _Bits) -> list[tuple[int, int]]:
    ranges = []
    for _ in range(bits.take(12)):
        is_range, first = bits.take(1), bits.take(16)
        ranges.append((first, bits.take(16) if is_range else first))
    return ranges


def _restrictions(bits: _Bits) -> Iterator[tuple[int, int, list[tuple[int, int]]]]:
    """The publisher's own: purpose, what kind, for which vendors."""
    for _ in range(bits.take(12)):
        yield bits.take(6), bits.take(2), _ranges(bits)
