"""One bid request of each kind that a bidder meets, as OpenRTB 2.6 dicts.

The lessons read them, the tests decode them, and `adcache.simulate` varies
them. Names, domains (.example) and addresses (RFC 5737) are made up.
"""

from copy import deepcopy
from typing import Any

from adcache.errors import InvalidValue

_PHONE: dict[str, Any] = {
    "ua": "Mozilla/5.0 (Linux; Android 15; Pixel 9) Mobile Safari/537.36",
    "ip": "203.0.113.24",
    "geo": {"country": "GBR", "city": "GBLON", "type": 2},
    "lmt": 0,
    "devicetype": 4,
    "os": "Android",
    "language": "en",
    "ifa": "6d92078a-8246-4ba4-ae5b-76104861e7dc",
}
_TELEVISION = _PHONE | {"ua": "StreamBox/4.2", "devicetype": 3, "os": "StreamOS"}
_SPEAKER = _PHONE | {"ua": "KitchenRadio/1.8", "devicetype": 6, "os": "Linux"}


def _banner(tagid: str, floor: float, *sizes: tuple[int, int]) -> dict[str, Any]:
    formats = [{"w": w, "h": h} for w, h in sizes]
    banner = {"format": formats, "pos": 1, "battr": [1, 3]}
    return {"tagid": tagid, "bidfloor": floor, "secure": 1, "banner": banner}


def _request(imp: dict[str, Any], **rest: Any) -> dict[str, Any]:
    usd_imp = {"id": "1", "bidfloorcur": "USD"} | imp
    user = {"id": "x-ada", "buyeruid": "ada"}
    limits = {"at": 2, "tmax": 100, "cur": ["USD"], "bcat": ["IAB25", "IAB26"]}
    return {"imp": [usd_imp], **rest, "user": user, **limits}


SAMPLES: dict[str, dict[str, Any]] = {
    "mobile_news": _request(
        _banner("top-of-article", 1.20, (320, 50), (300, 250)),
        site={
            "id": "site-17",
            "name": "The Morning Paper",
            "domain": "morningpaper.example",
            "page": "https://morningpaper.example/sport/marathon",
            "cat": ["IAB12"],
            "keywords": "marathon,running,london",
            "mobile": 1,
            "publisher": {"id": "pub-3", "name": "Morning Paper Ltd"},
        },
        device=_PHONE,
        badv=["rivalpaper.example"],
    ),
    "game_app": _request(
        _banner("between-levels", 0.80, (320, 480)) | {"instl": 1, "exp": 300},
        app={
            "id": "app-4",
            "name": "Tile Garden",
            "bundle": "com.example.tilegarden",
            "cat": ["IAB9-30"],
            "publisher": {"id": "pub-8", "name": "Small Garden Games"},
        },
        device=_PHONE,
    ),
    "tv_stream": _request(
        {
            "bidfloor": 12.00,
            "exp": 3600,
            "video": {
                "mimes": ["video/mp4"],
                "minduration": 6,
                "maxduration": 30,
                "protocols": [3, 6, 7],
                "w": 1920,
                "h": 1080,
                "plcmt": 1,
                "linearity": 1,
                "startdelay": 0,
            },
            "pmp": {
                "private_auction": 0,
                "deals": [{"id": "tv-spring", "bidfloor": 15.00, "at": 3}],
            },
        },
        app={
            "id": "app-9",
            "name": "Evening Stream",
            "bundle": "1000009",
            "content": {"title": "Harbour Lights", "genre": "drama", "len": 2640},
            "publisher": {"id": "pub-5", "name": "Evening Media"},
        },
        device=_TELEVISION,
    ),
    "kitchen_radio": _request(
        {
            "bidfloor": 4.50,
            "audio": {
                "mimes": ["audio/mp4", "audio/mpeg"],
                "minduration": 10,
                "maxduration": 30,
                "protocols": [9, 10],
                "feed": 2,
                "stitched": 1,
            },
        },
        app={"id": "app-12", "name": "Kitchen Radio", "cat": ["IAB1-6"]},
        device=_SPEAKER,
    ),
    "recipe_feed": _request(
        {
            "bidfloor": 0.60,
            "native": {
                "request": '{"ver":"1.2","assets":[{"id":1,"required":1,'
                '"title":{"len":60}},{"id":2,"img":{"type":3,"wmin":600}}]}',
                "ver": "1.2",
            },
        },
        site={
            "id": "site-22",
            "domain": "suppertime.example",
            "page": "https://suppertime.example/soup",
            "cat": ["IAB8"],
        },
        device=_PHONE,
    ),
}


def sample_request(name: str = "mobile_news") -> dict[str, Any]:
    """Return a copy of a sample, its ``id`` in front; `SAMPLES` has the names.

    Raises `InvalidValue` (a ValueError) for a name that is not there.
    """
    if name not in SAMPLES:
        raise InvalidValue(f"sample must be one of {list(SAMPLES)}, got {name!r}")
    return {"id": f"sample-{name}", **deepcopy(SAMPLES[name])}
