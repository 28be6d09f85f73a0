"""Who is in front of the page: what a bid request says, what Redis remembers.

Everything about a person hangs on one question: is there a basis to know it?
Without it a visit has no user id, and the ad server sees the page alone.
"""

from typing import Any, NamedTuple

from adcache.eligibility import Visitor
from adcache.errors import InvalidBidRequest
from adcache.openrtb import BidRequest
from adcache.openrtb_context import App, Site
from adcache.profiles_record import StoredProfile

MAX_ID, MAX_WORD = 2048, 100  # characters; what is longer is noise, or an attack
MAX_INTERESTS = 8  # asked for in one trip, the strongest first


class Visit(NamedTuple):
    """What the request itself says; ids are None where there is no basis for them."""

    user_id: str | None
    session_id: str | None
    location: str | None
    device_type: int | None
    page_interests: tuple[str, ...]


def visit_of(request: BidRequest, may_profile: bool) -> Visit:
    """Read a request; `may_profile` False leaves out all that names a person.

    The user's id is the bidder's own (``user.buyeruid``), else the exchange's
    (``user.id``). The session is ``user.ext.session_id``, the place
    ``device.geo.country``.
    """
    user = request.user if may_profile else None
    device = request.device
    geo = device.geo if device else None
    return Visit(
        user_id=(_usable(user.buyeruid) or _usable(user.id)) if user else None,
        session_id=_usable(user.ext.session_id) if user and user.ext else None,
        location=_usable(geo.country) if geo else None,
        device_type=device.devicetype if device else None,
        page_interests=page_interests(request),
    )


def page_interests(request: BidRequest) -> tuple[str, ...]:
    """Interests that the page itself names: keywords, and the content's genre."""
    place: Site | App | Any = request.site or request.app or request.dooh
    if place is None:
        return ()
    words = [place.keywords, *place.kwarray]
    if place.content is not None:
        words += [place.content.keywords, *place.content.kwarray, place.content.genre]
    named = (part.strip().lower() for word in words if word for part in word.split(","))
    return tuple(
        dict.fromkeys(w for w in named if w and len(w) <= MAX_WORD and _usable(w))
    )


def _usable(value: str | None) -> str | None:
    """An id or a word as it is; None for one too long, or with half a character."""
    if not value or len(value) > MAX_ID:
        return None
    return value if value.isascii() or _is_whole(value) else None


def _is_whole(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def refuse_odd_ids(request: BidRequest) -> None:
    """Refuse ids of the request and its imps that no key and no answer can hold."""
    for place, value in [
        ("id", request.id),
        *((f"imp[{n}].id", imp.id) for n, imp in enumerate(request.imp)),
    ]:
        if _usable(value) is None:
            raise InvalidBidRequest(
                place, f"must be Unicode of at most {MAX_ID} characters"
            )


def visitor_of(
    visit: Visit,
    profile: StoredProfile | None,
    intent: list[tuple[str, float]],
) -> Visitor:
    """Put together whom the campaigns see.

    What a session shows now comes before what a profile remembers, and that
    before what the page is about.
    """
    known = profile.interests if profile else []
    wanted = [name for name, _ in intent]
    interests = dict.fromkeys([*wanted, *known, *visit.page_interests])
    age = profile.demographics.get("age") if profile else None
    return Visitor(
        user_id=visit.user_id,
        interests=tuple(interests)[:MAX_INTERESTS],
        location=visit.location,
        age=age if isinstance(age, int) else None,
        segment=profile.segment if profile else None,
        device_type=visit.device_type,
    )
