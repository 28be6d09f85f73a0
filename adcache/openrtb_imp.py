"""What an exchange sells and a bidder offers: OpenRTB 2.6 imps and bids.

Attribute names are the field names of the specification, so what you read
there works here: ``request.imp[0].bidfloor``. A field that is not listed (all
of ``ext`` but consent and session) is skipped while decoding and costs nothing.

The types carry the rules about one value (a floor is not negative, an id is
not empty); msgspec checks them while it decodes. Rules about several values
together stand in `adcache.openrtb`. None means "not said". Floors and prices
are CPM in currency units; ``floor_micros`` gives them as integers.
"""

from typing import Annotated

from msgspec import Meta, Struct

from adcache.money import MAX_MICROS, MICROS, to_micros

MAX_INT = 2**31 - 1
Id = Annotated[str, Meta(min_length=1)]
Int = Annotated[int, Meta(ge=-MAX_INT, le=MAX_INT)]  # some AdCOM codes are negative
Count = Annotated[int, Meta(ge=0, le=MAX_INT)]
Flag = Annotated[int, Meta(ge=0, le=1)]
Cpm = Annotated[float, Meta(ge=0, le=MAX_MICROS // MICROS)]
Currency = Annotated[str, Meta(pattern=r"^[A-Z]{3}\Z")]


class Object(Struct, frozen=True, omit_defaults=True, repr_omit_defaults=True):
    """Any OpenRTB object: immutable; defaults are neither written nor printed."""


class Format(Object, frozen=True):
    """Section 3.2.10, Format: one banner size, in device-independent pixels."""

    w: Count | None = None
    h: Count | None = None
    wratio: Count | None = None
    hratio: Count | None = None
    wmin: Count | None = None


class Banner(Object, frozen=True):
    """Section 3.2.6, Banner: sizes allowed, kinds and attributes blocked."""

    format: list[Format] = []
    w: Count | None = None
    h: Count | None = None
    btype: list[Int] = []
    battr: list[Int] = []
    pos: Int | None = None
    mimes: list[str] = []
    api: list[Int] = []


class Stream(Object, frozen=True):
    """What Video (3.2.7) and Audio (3.2.8) share; durations in seconds."""

    mimes: Annotated[list[str], Meta(min_length=1)]
    minduration: Count = 0
    maxduration: Count | None = None
    rqddurs: list[Count] = []
    protocols: list[Int] = []
    startdelay: Int | None = None
    battr: list[Int] = []
    api: list[Int] = []
    podid: str | None = None
    mincpmpersec: Cpm | None = None


class Video(Stream, frozen=True):
    """Section 3.2.7, Video: the size of the player, the kind of placement."""

    w: Count | None = None
    h: Count | None = None
    plcmt: Int | None = None
    linearity: Int | None = None
    skip: Flag | None = None
    playbackmethod: list[Int] = []
    pos: Int | None = None


class Audio(Stream, frozen=True):
    """Section 3.2.8, Audio: the kind of feed, stitched into it or not."""

    feed: Int | None = None
    stitched: Flag | None = None


class Native(Object, frozen=True):
    """Section 3.2.9, Native: `request` is JSON in a string, kept as it is."""

    request: Id
    ver: str | None = None
    api: list[Int] = []
    battr: list[Int] = []


class Deal(Object, frozen=True):
    """Section 3.2.12, Deal: its currency is USD unless it says so itself."""

    id: Id
    bidfloor: Cpm = 0.0
    bidfloorcur: Currency = "USD"
    at: Int | None = None
    wseat: list[str] = []
    wadomain: list[str] = []
    guar: Flag = 0

    @property
    def floor_micros(self) -> int:
        """The floor as a CPM in micros of `bidfloorcur`."""
        return to_micros(self.bidfloor, "deal.bidfloor")


class Pmp(Object, frozen=True):
    """Section 3.2.11, Pmp: private_auction 1 admits bids on these deals only."""

    private_auction: Flag = 0
    deals: list[Deal] = []


class Qty(Object, frozen=True):
    """Section 3.2.31, Qty: how many people see one display of the ad."""

    multiplier: Annotated[float, Meta(gt=0, le=MAX_INT)]
    sourcetype: Int | None = None
    vendor: str | None = None


class Imp(Object, frozen=True):
    """Section 3.2.4, Imp: one ad slot on offer; `exp` in seconds."""

    id: Id
    banner: Banner | None = None
    video: Video | None = None
    audio: Audio | None = None
    native: Native | None = None
    pmp: Pmp | None = None
    bidfloor: Cpm = 0.0
    bidfloorcur: Currency = "USD"
    instl: Flag = 0
    tagid: str | None = None
    secure: Flag | None = None
    rwdd: Flag = 0
    exp: Count | None = None
    qty: Qty | None = None

    @property
    def floor_micros(self) -> int:
        """The floor as a CPM in micros of `bidfloorcur`."""
        return to_micros(self.bidfloor, "imp.bidfloor")


class BidExt(Object, frozen=True):
    """What our own stored bids carry beside OpenRTB: the campaign's caps."""

    caps: list[tuple[int, float]] = []


class Bid(Object, frozen=True):
    """Section 4.2.3, Bid: an offer for one imp; price in CPM, exp in seconds."""

    id: Id
    impid: Id
    price: Cpm
    nurl: str | None = None
    burl: str | None = None
    lurl: str | None = None
    adm: str | None = None
    adid: str | None = None
    adomain: list[str] = []
    cid: str | None = None
    crid: str | None = None
    cat: list[str] = []
    dealid: str | None = None
    w: Count | None = None
    h: Count | None = None
    exp: Count | None = None
    mtype: Int | None = None
    ext: BidExt | None = None

    @property
    def price_micros(self) -> int:
        """The price as a CPM in micros of the response's `cur`."""
        return to_micros(self.price, "bid.price")


class SeatBid(Object, frozen=True):
    """Section 4.2.2, SeatBid: the bids of one buyer seat."""

    bid: Annotated[list[Bid], Meta(min_length=1)]
    seat: str | None = None
    group: Flag = 0


class BidResponse(Object, frozen=True):
    """Section 4.2.1, BidResponse: without a seatbid it is a no-bid."""

    id: Id
    seatbid: list[SeatBid] = []
    bidid: str | None = None
    cur: Currency = "USD"
    nbr: Int | None = None
