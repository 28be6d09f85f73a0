"""May this bid request be answered by what is known of its user?

A profile is read or written only with a basis: the exchange names no law that
forbids it and the user objected nowhere, or consents. Otherwise the request is
answered by its context alone. What cannot be understood is taken as a no.

Sources: OpenRTB 2.6, 3.2.3 Regs, 3.2.20 User, 3.2.18 Device (and the ext
fields of 2.5); IAB Tech Lab, "US Privacy String" and "Global Privacy Platform".
Read are TC strings (`adcache.tcf`) and US privacy strings, alone or inside a
GPP string. The other sections of GPP (Canada, the states of the US) are not
parsed: where one of them applies there is no basis.
"""

import re
from collections.abc import Iterator

import msgspec

from adcache.openrtb import BidRequest
from adcache.openrtb_context import Regs
from adcache.tcf import PROFILE, STORE, USE_PROFILE, read_tc_string

NEEDED = (STORE, PROFILE, USE_PROFILE)
LONGEST = 16_384  # characters of a GPP string
GPP_TCF_EU, GPP_US_PRIVACY = 2, 6  # section ids of the Global Privacy Platform
_US_PRIVACY = re.compile(r"1[YN-]([YN-])[YN-]", re.IGNORECASE)  # 2nd: opted out of sale
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


class Basis(msgspec.Struct, frozen=True):
    """May the user's profile be used? True or False in an ``if``.

    Reasons for it: ``consent`` (by TCF), ``no_objection`` (a US privacy string
    without opt-out), ``no_law`` (the exchange names none). Reasons against:
    ``coppa`` (a child), ``lmt`` and ``dnt`` (the device's settings), ``opt_out``
    (of sale, US), ``no_consent`` (GDPR applies, there is no TC string),
    ``refused`` (by TCF: one of the purposes 1, 3, 4, or the vendor),
    ``unreadable`` (a string that is not what it should be), ``unread_law`` (a
    GPP section that this package does not parse).
    """

    allowed: bool
    reason: str

    def __bool__(self) -> bool:
        return self.allowed


def may_profile(request: BidRequest, vendor_id: int | None = None) -> Basis:
    """Say on what basis the user's profile may be read and written, or why not.

    `vendor_id` is the bidder's id in the Global Vendor List: with it the TC
    string must allow this vendor too. The first objection is the reason.

    >>> from adcache import decode_bid_request
    >>> from adcache.simulate import sample_request
    >>> request = sample_request() | {"regs": {"gdpr": 1}}
    >>> may_profile(decode_bid_request(request))
    Basis(allowed=False, reason='no_consent')
    """
    found = "no_law"
    for reason in _verdicts(request, vendor_id):
        if reason not in ("consent", "no_objection"):
            return Basis(False, reason)
        found = "consent" if "consent" in (reason, found) else reason
    return Basis(True, found)


def _verdicts(request: BidRequest, vendor_id: int | None) -> Iterator[str]:
    """What each field says that decides: an objection, or that there is none."""
    regs, device = request.regs or Regs(), request.device
    if regs.coppa:
        yield "coppa"
    if device and device.lmt:
        yield "lmt"
    if device and device.dnt:
        yield "dnt"
    yield from _gdpr(request, regs, vendor_id)
    for text in _given(regs.us_privacy, regs.ext and regs.ext.us_privacy):
        yield _us_privacy(text)
    yield from _gpp(regs, vendor_id)


def _gdpr(request: BidRequest, regs: Regs, vendor_id: int | None) -> Iterator[str]:
    """Consent is needed where GDPR applies, and heeded where nobody says so."""
    flags = {regs.gdpr, regs.ext.gdpr if regs.ext else None} - {None}
    user = request.user
    strings = _given(user.consent, user.ext and user.ext.consent) if user else []
    if 1 in flags and not strings:
        yield "no_consent"
    if 1 in flags or not flags:
        for text in strings:
            yield _tcf(text, vendor_id)


def _given(*values: object) -> list[str]:
    return [value for value in values if isinstance(value, str) and value]


def _tcf(text: str, vendor_id: int | None) -> str:
    consent = read_tc_string(text)
    if consent is None:
        return "unreadable"
    allowed = all(consent.consents(purpose, vendor_id) for purpose in NEEDED)
    return "consent" if allowed else "refused"


def _us_privacy(text: str) -> str:
    match = _US_PRIVACY.fullmatch(text)
    if match is None:
        return "unreadable"
    return "opt_out" if match[1] in "Yy" else "no_objection"


def _gpp(regs: Regs, vendor_id: int | None) -> Iterator[str]:
    """Each section that applies: those of gpp_sid, or all where it is missing."""
    applies = {section for section in regs.gpp_sid if section > 0}  # -1: none does
    if not regs.gpp:
        if applies:
            yield "unreadable"
        return
    sections = gpp_sections(regs.gpp)
    if sections is None:
        yield "unreadable"
        return
    for section in sorted(applies or (set() if regs.gpp_sid else set(sections))):
        if section not in (GPP_TCF_EU, GPP_US_PRIVACY):
            yield "unread_law"
        elif section not in sections:
            yield "unreadable"
        elif section == GPP_TCF_EU:
            yield _tcf(sections[section], vendor_id)
        else:
            yield _us_privacy(sections[section])


def gpp_sections(text: str) -> dict[int, str] | None:
    """Take a GPP string apart: section id -> its text; None if it is none.

    The header holds type 3, version 1 and the ids of the sections that follow,
    as Fibonacci-coded steps.

    >>> gpp_sections("DBABTA~1YNN")
    {6: '1YNN'}
    """
    header, *sections = text.split("~")
    if len(text) > LONGEST or not header or not set(header) <= set(_ALPHABET):
        return None
    bits = "".join(f"{_ALPHABET.index(letter):06b}" for letter in header)
    if bits[:12] != f"{3:06b}{1:06b}":
        return None
    try:
        ids = _section_ids(bits[12:], len(sections))
    except ValueError:
        return None
    return dict(zip(ids, sections, strict=True)) if len(ids) == len(sections) else None


def _section_ids(bits: str, most: int) -> list[int]:
    """Read "how many (12 bits), then each: is it a range, the step(s) to it"."""
    count, at, ids = int(bits[:12], 2), 12, [0]
    for _ in range(count):
        steps = 2 if bits[at : at + 1] == "1" else 1
        at += 1
        for step in range(steps):
            end = bits.index("11", at)
            ids += _upto(ids[-1], _fibonacci(bits[at : end + 1]), filled=step == 1)
            at = end + 2
            if len(ids) > most + 1:
                raise ValueError("more ids than sections")
    return ids[1:]


def _upto(last: int, step: int, filled: bool) -> list[int]:
    if step > 4096:
        raise ValueError("no such section")
    return [*range(last + 1, last + step + 1)] if filled else [last + step]


def _fibonacci(bits: str) -> int:
    """Zeckendorf's numeral, lowest place first: 1, 2, 3, 5, 8, ..."""
    value, place, following = 0, 1, 2
    for bit in bits:
        value += place * (bit == "1")
        place, following = following, place + following
    return value
