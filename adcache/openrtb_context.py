# ruff: noqa: RUF012  (msgspec gives each struct its own copy of an empty list)
"""Where an ad would be shown and to whom: the rest of an OpenRTB 2.6 request.

Site, app or screen; device and place; user and what is known of them; the laws
that apply. Names and conventions are those of `adcache.openrtb_imp`.
"""

from typing import Annotated

from msgspec import Meta

from adcache.openrtb_imp import MAX_INT, Count, Currency, Flag, Id, Imp, Int, Object


class Publisher(Object, frozen=True):
    """Section 3.2.15, Publisher: who is paid for the slot."""

    id: str | None = None
    name: str | None = None
    domain: str | None = None
    cat: list[str] = []


class Segment(Object, frozen=True):
    """Section 3.2.22, Segment: one fact from a data provider."""

    id: str | None = None
    name: str | None = None
    value: str | None = None


class Data(Object, frozen=True):
    """Section 3.2.21, Data: the segments of one data provider."""

    id: str | None = None
    name: str | None = None
    segment: list[Segment] = []


class Content(Object, frozen=True):
    """Section 3.2.16, Content: what the ad is shown in; `len` in seconds."""

    id: str | None = None
    title: str | None = None
    series: str | None = None
    genre: str | None = None
    url: str | None = None
    cat: list[str] = []
    keywords: str | None = None
    kwarray: list[str] = []
    contentrating: str | None = None
    livestream: Flag | None = None
    len: Count | None = None
    language: str | None = None
    data: list[Data] = []


class Inventory(Object, frozen=True):
    """What Site, App and DOOH share; a request has at most one of the three."""

    id: str | None = None
    name: str | None = None
    domain: str | None = None
    cat: list[str] = []
    keywords: str | None = None
    kwarray: list[str] = []
    publisher: Publisher | None = None
    content: Content | None = None


class Site(Inventory, frozen=True):
    """Section 3.2.13, Site: a page in a browser."""

    page: str | None = None
    ref: str | None = None
    sectioncat: list[str] = []
    pagecat: list[str] = []
    mobile: Flag | None = None


class App(Inventory, frozen=True):
    """Section 3.2.14, App: `bundle` is its id in the app store."""

    bundle: str | None = None
    storeurl: str | None = None
    ver: str | None = None
    paid: Flag | None = None


class Dooh(Inventory, frozen=True):
    """Section 3.2.32, DOOH: a screen in a public place."""

    venuetype: list[str] = []
    venuetypetax: Int = 1


class Geo(Object, frozen=True):
    """Section 3.2.19, Geo: `country` has three letters, ISO 3166-1."""

    country: str | None = None
    region: str | None = None
    city: str | None = None
    zip: str | None = None
    metro: str | None = None
    lat: Annotated[float, Meta(ge=-90, le=90)] | None = None
    lon: Annotated[float, Meta(ge=-180, le=180)] | None = None
    type: Int | None = None
    accuracy: Count | None = None
    utcoffset: Int | None = None


class Device(Object, frozen=True):
    """Section 3.2.18, Device: lmt or dnt 1 means that tracking is limited."""

    ua: str | None = None
    ip: str | None = None
    ipv6: str | None = None
    geo: Geo | None = None
    dnt: Flag | None = None
    lmt: Flag | None = None
    devicetype: Int | None = None
    make: str | None = None
    model: str | None = None
    os: str | None = None
    osv: str | None = None
    language: str | None = None
    carrier: str | None = None
    connectiontype: Int | None = None
    ifa: str | None = None


class Uid(Object, frozen=True):
    """Section 3.2.28, UID: the user's id at one identity provider."""

    id: str | None = None
    atype: Int | None = None


class Eid(Object, frozen=True):
    """Section 3.2.27, EID: the ids from one provider (`source`, a domain)."""

    source: str | None = None
    uids: list[Uid] = []


class UserExt(Object, frozen=True):
    """What exchanges put into user.ext: OpenRTB 2.5's consent, the page's session."""

    consent: str | None = None
    session_id: str | None = None


class User(Object, frozen=True):
    """Section 3.2.20, User: `id` is the exchange's, `buyeruid` the bidder's."""

    id: str | None = None
    buyeruid: str | None = None
    yob: Count | None = None
    gender: str | None = None
    keywords: str | None = None
    kwarray: list[str] = []
    geo: Geo | None = None
    data: list[Data] = []
    consent: str | None = None
    eids: list[Eid] = []
    ext: UserExt | None = None


class RegsExt(Object, frozen=True):
    """Where OpenRTB 2.5 and older kept what is now in Regs itself."""

    gdpr: Flag | None = None
    us_privacy: str | None = None


class Regs(Object, frozen=True):
    """Section 3.2.3, Regs: the laws that the exchange says apply."""

    coppa: Flag | None = None
    gdpr: Flag | None = None
    us_privacy: str | None = None
    gpp: str | None = None
    gpp_sid: list[Int] = []
    ext: RegsExt | None = None


class Source(Object, frozen=True):
    """Section 3.2.2, Source: fd 1 means that someone else has the last word."""

    fd: Flag | None = None
    tid: str | None = None
    pchain: str | None = None


class BidRequest(Object, frozen=True):
    """Section 3.2.1, BidRequest: `tmax` in milliseconds, the network included."""

    id: Id
    imp: Annotated[list[Imp], Meta(min_length=1)]
    site: Site | None = None
    app: App | None = None
    dooh: Dooh | None = None
    device: Device | None = None
    user: User | None = None
    test: Flag = 0
    at: Int = 2
    tmax: Annotated[int, Meta(ge=1, le=MAX_INT)] | None = None
    wseat: list[str] = []
    bseat: list[str] = []
    cur: list[Currency] = []
    acat: list[str] = []
    bcat: list[str] = []
    badv: list[str] = []
    bapp: list[str] = []
    source: Source | None = None
    regs: Regs | None = None
