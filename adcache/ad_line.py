"""Ad lines: all that an ad server must know of a campaign to decide, in one read.

Beside its record, a campaign stands as one line in each cell of the targeting
index, a cell being an interest at a location. A decision reads the best lines of
a few cells and nothing else of the campaigns: neither records nor creatives.

A line is a JSON array, not an object: without the names it has a third of the
size, and each server of the platform reads thousands of lines a second. Its
first four numbers are read by the scripts of the index too.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from adcache.clock import to_epoch_ms
from adcache.errors import InvalidValue, shown
from adcache.models import CampaignData, Creative

ANY_INTEREST = "any"  # where campaigns without interests stand: run of network
ALL_LOCATIONS = "all"
MAX_CELLS = 1000  # interests times locations of one campaign
OLDEST = 150
# What a targeting may call devices, as codes of AdCOM 1.0, List: Device Types,
# which OpenRTB's device.devicetype holds.
DEVICES = {
    "mobile": (1, 4, 5),
    "desktop": (2,),
    "tv": (3, 7),
    "phone": (4,),
    "tablet": (5,),
    "connected_device": (6,),
    "set_top_box": (7,),
    "out_of_home": (8,),
}


class CreativeLine(msgspec.Struct, frozen=True, array_like=True):
    """What decides whether a creative fits a slot: a `Creative` without markup."""

    creative_id: str
    format: str
    w: int
    h: int
    duration: int
    mimes: tuple[str, ...]
    attr: tuple[int, ...]
    language: str


class AdLine(msgspec.Struct, frozen=True, array_like=True):
    """One campaign as the ad server sees it.

    `version` numbers the change that wrote the line, and the line is over at
    `over_ms`. `bid` is a CPM in micros; times are milliseconds since 1970, both
    ends of the flight included; `caps` are (limit, seconds) pairs. An empty
    tuple, or None for `age_range`, means no restriction; `devices` are codes of
    OpenRTB's ``device.devicetype``.
    """

    version: int
    over_ms: int
    start_ms: int
    bid: int
    end_ms: int
    campaign_id: str
    advertiser_id: str
    caps: tuple[tuple[int, float], ...]
    deals: tuple[str, ...]
    adomain: tuple[str, ...]
    cat: tuple[str, ...]
    pacing: str
    age_range: tuple[int, int] | None
    segments: tuple[str, ...]
    devices: tuple[int, ...]
    creatives: tuple[CreativeLine, ...]


class Targeting(msgspec.Struct, frozen=True):
    """Whom a campaign is for, checked and in one shape; see `read_targeting`."""

    interests: tuple[str, ...]
    locations: tuple[str, ...]
    age_range: tuple[int, int] | None
    segments: tuple[str, ...]
    devices: tuple[int, ...]


_LINE = msgspec.json.Decoder(AdLine)
_LINES = msgspec.json.Decoder(list[AdLine])


def decode_lines(lines: Iterable[str | None]) -> list[AdLine]:
    """Read lines, all in one go.

    One that is lost, damaged or of another version of this package is left out:
    it is a copy, the next change of its campaign writes it anew, and it must not
    cost the others their bids.
    """
    texts = [line for line in lines if line]
    try:
        return _LINES.decode(f"[{','.join(texts)}]")
    except msgspec.MsgspecError:
        return [line for line in map(_readable, texts) if line]


def _readable(text: str) -> AdLine | None:
    try:
        return _LINE.decode(text)
    except msgspec.MsgspecError:
        return None


def make_line(
    campaign: CampaignData,
    targeting: Targeting,
    creatives: Iterable[Creative],
    version: int,
    over_ms: int,
) -> str:
    """Write a campaign's line as JSON."""
    line = AdLine(
        version=version,
        over_ms=over_ms,
        start_ms=to_epoch_ms(campaign.start_date),
        bid=campaign.bid_price_micros,
        end_ms=to_epoch_ms(campaign.end_date),
        campaign_id=campaign.campaign_id,
        advertiser_id=campaign.advertiser_id,
        caps=tuple(campaign.caps),
        deals=tuple(campaign.deals),
        adomain=tuple(campaign.adomain),
        cat=tuple(campaign.cat),
        pacing=campaign.pacing,
        age_range=targeting.age_range,
        segments=targeting.segments,
        devices=targeting.devices,
        creatives=tuple(map(_creative_line, creatives)),
    )
    return msgspec.json.encode(line).decode()


def _creative_line(creative: Creative) -> CreativeLine:
    return CreativeLine(
        creative.creative_id,
        creative.format,
        creative.w,
        creative.h,
        creative.duration,
        tuple(creative.mimes),
        tuple(creative.attr),
        creative.language,
    )


def read_targeting(targeting: Mapping[str, Any]) -> Targeting:
    """Read a campaign's targeting; keys not listed here are ignored.

    ``interests`` and ``locations``: lists of words (none: `ANY_INTEREST`,
    `ALL_LOCATIONS`); ``location``: one word instead; ``age_range``: [lowest,
    highest], both included; ``segments``: ids, of which a user needs one;
    ``devices``: words of `DEVICES` or codes of OpenRTB's ``devicetype``.
    Raises `InvalidValue` that names the key, the value and the cure.
    """
    if not isinstance(targeting, Mapping):
        raise InvalidValue(f"targeting must be a dict, got {shown(targeting)}")
    interests = _words(targeting, "interests") or (ANY_INTEREST,)
    locations = _locations(targeting)
    if len(interests) * len(locations) > MAX_CELLS:
        raise InvalidValue(
            f"targeting has {len(interests)} interests x {len(locations)} locations; "
            f"at most {MAX_CELLS} together: name fewer places, or 'all'"
        )
    return Targeting(
        interests,
        locations,
        _age_range(targeting.get("age_range")),
        _words(targeting, "segments"),
        _devices(targeting.get("devices")),
    )


def _words(targeting: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """The words of a key, each once, in their order; none where it is missing."""
    words = targeting.get(key)
    if words is None:
        return ()
    listed = isinstance(words, list | tuple)
    if not listed or not all(isinstance(word, str) and word for word in words):
        raise InvalidValue(
            f"{key} must be a list of words such as ['tea'], got {shown(words)}"
        )
    return tuple(dict.fromkeys(words))


def _locations(targeting: Mapping[str, Any]) -> tuple[str, ...]:
    one = targeting.get("location")
    if one is None:
        return _words(targeting, "locations") or (ALL_LOCATIONS,)
    if targeting.get("locations") is not None:
        raise InvalidValue(
            f"targeting has both locations and location {shown(one)}: name one of them"
        )
    if not isinstance(one, str) or not one:
        raise InvalidValue(f"location must be a word such as 'GBR', got {shown(one)}")
    return (one,)


def _age_range(ages: object) -> tuple[int, int] | None:
    if ages is None:
        return None
    pair = tuple(ages) if isinstance(ages, list | tuple) else ()
    whole = all(isinstance(age, int) and not isinstance(age, bool) for age in pair)
    if len(pair) != 2 or not whole or not 0 <= pair[0] <= pair[1] <= OLDEST:
        raise InvalidValue(
            f"age_range must be [lowest, highest] in whole years up to {OLDEST}, "
            f"such as [25, 35], got {shown(ages)}"
        )
    return pair[0], pair[1]


def _devices(devices: object) -> tuple[int, ...]:
    if devices is None:
        return ()
    codes: set[int] = set()
    for device in devices if isinstance(devices, list | tuple) else [None]:
        if isinstance(device, str) and device in DEVICES:
            codes.update(DEVICES[device])
        elif type(device) is int and 1 <= device <= 8:
            codes.add(device)
        else:
            raise InvalidValue(
                f"devices must be a list of {', '.join(DEVICES)}, or of OpenRTB's "
                f"devicetype codes 1 to 8, got {shown(devices)}"
            )
    return tuple(sorted(codes))
