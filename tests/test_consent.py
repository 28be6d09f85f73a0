"""What the laws, the user and the device say about a profile, and how it is read."""

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adcache import InvalidValue, decode_bid_request
from adcache.consent import Basis, gpp_sections, may_profile
from adcache.simulate import bid_requests, sample_request
from adcache.tcf import read_tc_string, write_tc_string

YES = write_tc_string(purposes=[1, 3, 4])
NO = write_tc_string(purposes=[1, 2, 7])
# From the documentation of two public libraries and of the IAB.
KNOWN = {
    "CLcVDxRMWfGmWAVAHCENAXCkAKDAADnAABRgA5mdfCKZuYJez-NQm0TBMYA4oCAAGQYIAAAAAAEAIAEgAA"
    ".argAC0gAAAAAAAAAAAA": [1, 3, 9, 10],
    "COvFyGBOvFyGBAbAAAENAPCAAOAAAAAAAAAAAEEUACCKAAA"
    ".IFoEUQQgAIQwgIwQABAEAAAAOIAACAIAA": [1, 2, 3],
    "CPXxRfAPXxRfAAfKABENB-CgAAAAAAAAAAYgAAAAAAAA": [],
}
RESTRICTED = "COwAdDhOwAdDhN4ABAENAPCgAAQAAv___wAAAFP_AAp_4AI6ACACAA"
RANGES = "COxSKBCOxSKCCBcABCENAgCMAPzAAEPAAAqIDaQBQAMgAgABqAR0A2gDaQAwAMgAgANoAAA"


def judged(user=None, device=None, vendor_id=None, **regs):
    """The basis of a request with these objects."""
    request = sample_request() | {"regs": regs, "user": {"id": "ada"} | (user or {})}
    request["device"] |= device or {}
    return may_profile(decode_bid_request(request), vendor_id)


@pytest.mark.parametrize(
    ("basis", "request_parts"),
    [
        ("no_law", {}),
        ("no_law", {"coppa": 0, "gdpr": 0}),
        ("no_law", {"gdpr": 0, "user": {"consent": NO}}),
        ("consent", {"gdpr": 1, "user": {"consent": YES}}),
        ("consent", {"gdpr": 1, "user": {"ext": {"consent": YES}}}),
        ("consent", {"ext": {"gdpr": 1}, "user": {"ext": {"consent": YES}}}),
        ("consent", {"user": {"consent": YES}}),
        ("no_objection", {"us_privacy": "1YNN"}),
        ("no_objection", {"us_privacy": "1---"}),
        ("no_objection", {"ext": {"us_privacy": "1ynn"}}),
        ("consent", {"gpp": f"DBABMA~{YES}", "gpp_sid": [2]}),
        ("no_objection", {"gpp": f"DBACNYA~{NO}~1YNN", "gpp_sid": [6]}),
        ("consent", {"gpp": f"DBACNYA~{YES}~1YNN"}),
        ("no_law", {"gpp": f"DBABMA~{NO}", "gpp_sid": [-1]}),
        ("consent", {"gdpr": 1, "us_privacy": "1YNN", "user": {"consent": YES}}),
    ],
)
def test_a_profile_may_be_used_with_a_basis(basis, request_parts):
    """Consent, no objection, or no law that the exchange names."""
    assert Basis(True, basis) == judged(**request_parts)
    assert judged(**request_parts)


@pytest.mark.parametrize(
    ("objection", "request_parts"),
    [
        ("coppa", {"coppa": 1, "gdpr": 1, "user": {"consent": YES}}),
        ("lmt", {"device": {"lmt": 1}}),
        ("dnt", {"device": {"dnt": 1}}),
        ("no_consent", {"gdpr": 1}),
        ("no_consent", {"gdpr": 1, "user": {"consent": ""}}),
        ("no_consent", {"ext": {"gdpr": 1}}),
        ("no_consent", {"gdpr": 0, "ext": {"gdpr": 1}}),
        ("refused", {"gdpr": 1, "user": {"consent": NO}}),
        ("refused", {"gdpr": 1, "user": {"ext": {"consent": NO}}}),
        ("refused", {"gdpr": 1, "user": {"consent": YES, "ext": {"consent": NO}}}),
        ("refused", {"user": {"consent": NO}}),
        ("refused", {"gdpr": 1, "user": {"consent": YES}, "vendor_id": 7}),
        ("unreadable", {"gdpr": 1, "user": {"consent": "made-up-consent-string"}}),
        ("opt_out", {"us_privacy": "1YYN"}),
        ("opt_out", {"ext": {"us_privacy": "1YYY"}}),
        ("opt_out", {"us_privacy": "1YNN", "ext": {"us_privacy": "1NYN"}}),
        ("unreadable", {"us_privacy": "2YNN"}),
        ("unreadable", {"us_privacy": "1YN"}),
        ("refused", {"gpp": f"DBABMA~{NO}", "gpp_sid": [2]}),
        ("opt_out", {"gpp": "DBABTA~1YYN", "gpp_sid": [6]}),
        ("opt_out", {"gpp": "DBABTA~1YYN"}),
        ("unreadable", {"gpp": "DBABTA~1YNN", "gpp_sid": [2]}),
        ("unreadable", {"gpp_sid": [2]}),
        ("unreadable", {"gpp": "nonsense", "gpp_sid": [2]}),
        ("unread_law", {"gpp": "DBABTA~1YNN", "gpp_sid": [6, 7]}),
    ],
)
def test_an_objection_is_heeded_wherever_it_stands(objection, request_parts):
    """The law's, the user's, the device's; and what cannot be read is a no."""
    assert Basis(False, objection) == judged(**request_parts)
    assert not judged(**request_parts)


def test_a_request_without_user_device_or_regs_has_no_objection():
    """OpenRTB makes all three optional."""
    bare = {"id": "1", "imp": [{"id": "1", "banner": {"w": 1, "h": 1}}]}
    assert Basis(True, "no_law") == may_profile(decode_bid_request(bare))


def test_the_vendor_must_be_named_too():
    """With an id of the Global Vendor List the string must list it."""
    consent = write_tc_string(purposes=[1, 3, 4], vendors=[7, 800])
    for vendor, allowed in (7, True), (800, True), (6, False), (801, False):
        told = judged(gdpr=1, user={"consent": consent}, vendor_id=vendor)
        assert allowed == told.allowed


def test_simulated_traffic_consents_or_limits_tracking():
    """Each request in Europe has a real TC string; one user in eight objects."""
    reasons = [
        may_profile(decode_bid_request(request)).reason
        for request in bid_requests(400, seed=3)
    ]

    assert {"consent", "no_law", "lmt"} == set(reasons)


@pytest.mark.parametrize(("text", "purposes"), KNOWN.items())
def test_known_strings_are_read_as_published(text, purposes):
    """Purposes of TC strings from other people's documentation."""
    read = read_tc_string(text)
    assert purposes == [n for n in range(1, 25) if read.consents(n)]


def test_vendors_are_read_from_bits_and_ranges():
    """Both forms of the list of vendors."""
    bits = read_tc_string(list(KNOWN)[1])
    ranges = read_tc_string(RANGES)

    assert [2, 6, 8] == [v for v in range(100) if bits.consents(1, v)]
    assert [25, 32, 53, 285, 436] == [v for v in range(999) if ranges.consents(1, v)]
    assert not ranges.consents(7, 32)


def test_a_publishers_restrictions_are_read():
    """The purpose that a publisher restricts, for whom, and how."""
    (restriction,) = read_tc_string(RESTRICTED)._restrictions
    assert (7, 1, [(32, 32)]) == restriction


@pytest.mark.parametrize(("kind", "allowed"), [(0, False), (1, True), (2, False)])
def test_what_the_publisher_forbids_is_no_consent(kind, allowed):
    """For the vendors named: not at all, or by legitimate interest only."""
    text = write_tc_string(purposes=[1, 3, 4], vendors=[7, 8, 9])
    bits = _bits(text)[: 152 + 24 + 24 + 13 + 17 + 9] + "0" * 17
    restriction = f"{1:012b}{3:06b}{kind:02b}{1:012b}1{7:016b}{8:016b}"
    read = read_tc_string(_text(bits + restriction))

    assert [allowed, allowed, True] == [read.consents(3, v) for v in (7, 8, 9)]
    assert read.consents(4, 7)
    assert read.consents(3)


@settings(max_examples=100)
@given(
    purposes=st.sets(st.integers(1, 24)),
    vendors=st.sets(st.integers(1, 3000), max_size=20),
)
def test_what_is_written_is_read(purposes, vendors):
    """Every purpose and vendor written is consented to, and no other."""
    read = read_tc_string(write_tc_string(purposes, vendors))

    assert purposes == {n for n in range(26) if read.consents(n)}
    for purpose in list(purposes)[:1]:
        assert vendors == {v for v in range(3100) if read.consents(purpose, v)}


@settings(max_examples=50)
@given(cut=st.integers(0, 60), vendors=st.sets(st.integers(1, 90)))
def test_a_string_cut_short_is_no_consent(cut, vendors):
    """Whatever is missing at the end: it is not read, or read with all its fields."""
    whole = write_tc_string([1, 3, 4], vendors)
    bits_needed = 230 + max(vendors, default=0) + 17 + 12
    read = read_tc_string(whole[:cut])

    assert (read is None) or 6 * cut >= bits_needed - bits_needed % 8


@settings(max_examples=200)
@given(st.one_of(st.text(), st.text("ABCDIJKLYZabz019-_.~ ")))
def test_any_text_is_read_or_refused(text):
    """Nothing raises, however odd."""
    for odd in (text, "C" + text, YES + text, f"DBABMA~{text}", f"DB{text}~{YES}"):
        read = read_tc_string(odd)
        assert read is None or read.consents(1) in (True, False)
        assert gpp_sections(odd) is None or isinstance(gpp_sections(odd), dict)


@pytest.mark.parametrize(
    "text",
    [
        *("", ".", "C", "made-up-consent-string", YES + "=", YES[:-9], "B" + YES[1:]),
        *(" " + YES, YES + "\n", "." + YES, "C" * 20_000, "é" + YES),
        base64.b64encode(bytes(40)).decode(),
    ],
)
def test_what_is_no_tc_string_is_not_read(text):
    """Version 1, other alphabets, fragments, floods."""
    assert None is read_tc_string(text)


def test_other_segments_are_passed_over():
    """Disclosed vendors and the publisher's own part follow after dots."""
    assert read_tc_string(YES + ".IAAA.YAAA").consents(3)


@pytest.mark.parametrize(
    ("text", "sections"),
    [
        ("DBACNYA~CPX~1YNN", {2: "CPX", 6: "1YNN"}),
        ("DBACNY~CPX~1YNN", {2: "CPX", 6: "1YNN"}),
        ("DBABMA~CPX", {2: "CPX"}),
        ("DBABM~CPX", {2: "CPX"}),
        ("DBABTA~1YNN", {6: "1YNN"}),
        ("DBAA", {}),
        ("DBABMA", None),
        ("DBABMA~a~b", None),
        ("CBABMA~CPX", None),
        ("DCABMA~CPX", None),
        ("D", None),
        ("", None),
        ("~", None),
        ("DB_____~x", None),
    ],
)
def test_a_gpp_string_is_taken_apart(text, sections):
    """The header says which section is which."""
    assert sections == gpp_sections(text)


def test_a_range_of_gpp_sections_is_read():
    """Ids may be coded as ranges: 5 to 7."""
    header = f"{3:06b}{1:06b}{1:012b}1" + "00011" + "011"  # 5, then 2 more
    text = _text(header, letters=True) + "~a~b~c"

    assert {5: "a", 6: "b", 7: "c"} == gpp_sections(text)


@pytest.mark.parametrize("purpose", [0, 25, -1])
def test_a_purpose_that_does_not_exist_is_refused(purpose):
    """Written: a ValueError. Asked for: no consent."""
    with pytest.raises(InvalidValue, match="1 to 24"):
        write_tc_string(purposes=[purpose])
    assert not read_tc_string(YES).consents(purpose)


def test_a_vendor_that_cannot_exist_is_refused():
    """Ids of vendors have 16 bits."""
    with pytest.raises(InvalidValue, match="1 to 65535"):
        write_tc_string([1], vendors=[70_000])


LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def _bits(text):
    return "".join(f"{LETTERS.index(letter):06b}" for letter in text)


def _text(bits, letters=False):
    bits += "0" * (-len(bits) % (6 if letters else 24))
    return "".join(LETTERS[int(bits[n : n + 6], 2)] for n in range(0, len(bits), 6))
