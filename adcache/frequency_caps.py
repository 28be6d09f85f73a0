"""What a frequency cap is, and what the manager answers.

Every answer is true or false in an ``if``, and says why.
"""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from adcache.clock import Seconds, to_ms
from adcache.errors import InvalidValue, shown
from adcache.keys import encode_id

MAX_LIMIT = 1_000_000


class Cap(msgspec.Struct, frozen=True):
    """At most `limit` impressions in `window` seconds (int, float, timedelta)."""

    limit: int
    window: Seconds

    def __post_init__(self) -> None:
        refuse_bad_limit(self.limit)
        to_ms(self.window, "window")


Campaigns = Mapping[str, Sequence[Cap]]  # ids, and the caps of each


class CapDecision(msgspec.Struct, frozen=True):
    """May the ad be shown? True or False in an ``if``, with the reason inside.

    The figures are those of the cap that decided: the one that blocks longest,
    or the one with the least room. `retry_after` is in seconds: 0.0 when
    allowed, None when waiting does not help (limit 0, or a refunded id).
    """

    allowed: bool
    count: int
    limit: int
    window: float
    retry_after: float | None = 0.0

    @property
    def remaining(self) -> int:
        """Impressions that this cap still allows."""
        return max(0, self.limit - self.count)

    def __bool__(self) -> bool:
        return self.allowed


class LeaseDecision(CapDecision, frozen=True):
    """May the ad be bid with? As a `CapDecision`; `count` includes open leases.

    Reasons: ``free``, ``capped``, ``released`` (this lease was given back
    before), ``suppressed`` (the user's data must not be used).
    """

    reason: str = "free"


class Confirmation(msgspec.Struct, frozen=True):
    """What became of a confirmed impression: true when this call counted it.

    Reasons: ``in_time``; ``late`` (the lease had ended), ``released`` (it had
    been given back) and ``unlisted`` (nobody knew it; the caps came with the
    call), which are counted all the same; and where nothing is counted,
    ``duplicate``, ``unknown``, ``suppressed``. `over_cap` tells that no place
    was left for the impression: the figures are those of that cap, else of the
    tightest one (0 where nothing was counted); `window` is in seconds.
    """

    counted: bool
    reason: str
    over_cap: bool = False
    count: int = 0
    limit: int = 0
    window: float = 0.0

    def __bool__(self) -> bool:
        return self.counted


def refuse_bad_limit(limit: int) -> None:
    """Raise `InvalidValue` unless `limit` is a whole number, 0 to a million."""
    if isinstance(limit, bool) or not isinstance(limit, int):
        raise InvalidValue(f"limit must be a whole number, got {shown(limit)}")
    if not 0 <= limit <= MAX_LIMIT:
        raise InvalidValue(f"limit must be 0 to {MAX_LIMIT:,}, got {shown(limit)}")


def window_field(campaign: str, window_ms: int) -> str:
    """Name a fixed window in the user's hash: ``sneakers:86400``, ``sneakers:0.5``.

    `campaign` is an encoded id. parts/lease_caps.lua writes the same.
    """
    return f"{campaign}:{window_ms / 1000:.14g}"


def listed(campaigns: Campaigns) -> Iterable[tuple[str, Sequence[Cap]]]:
    """Pairs of a campaign's id and its caps; raises `InvalidValue` for no mapping."""
    if not isinstance(campaigns, Mapping):
        raise InvalidValue(
            "campaigns must be a mapping such as {'tea': [Cap(3, 3600)]}, "
            f"got {shown(campaigns)}"
        )
    return campaigns.items()


def only(campaign_id: str, caps: Sequence[Cap]) -> Campaigns:
    """Name one campaign and its caps, once the id is known to be one."""
    encode_id(campaign_id, "campaign_id")
    return {campaign_id: caps}


def all_with(campaigns: Iterable[str], cap: Cap) -> Campaigns:
    """Give several campaigns the same cap."""
    if isinstance(campaigns, str) or not isinstance(campaigns, Iterable):
        raise InvalidValue(f"campaigns must be several ids, got {shown(campaigns)}")
    ids = list(campaigns)
    for campaign_id in ids:
        encode_id(campaign_id, "campaign_id")
    return dict.fromkeys(ids, (cap,))


def valid_caps(campaign_id: str, wanted: Iterable[Cap]) -> Sequence[Cap]:
    """At least one `Cap`, and of several with one window the strictest."""
    caps = tuple(wanted) if isinstance(wanted, Iterable) else ()
    if len(caps) == 1 and type(caps[0]) is Cap:  # the usual case
        return caps
    if not caps or not all(isinstance(cap, Cap) for cap in caps):
        raise InvalidValue(
            f"caps of campaign {shown(campaign_id)} must be a list such as "
            f"[Cap(3, 3600)], got {shown(wanted)}"
        )
    return _strictest(caps) if len(caps) > 1 else caps


def _strictest(caps: Sequence[Cap]) -> Sequence[Cap]:
    """Of several caps with one window only the lowest limit matters."""
    lowest: dict[int, Cap] = {}
    for cap in caps:
        window_ms = to_ms(cap.window)
        if window_ms not in lowest or cap.limit < lowest[window_ms].limit:
            lowest[window_ms] = cap
    return tuple(lowest.values())


def decision(caps: Sequence[Cap], answer: Sequence[int]) -> CapDecision:
    """Read what the scripts answer for one campaign: four numbers."""
    verdict, index, count, wait_ms = answer
    cap = caps[min(index, len(caps)) - 1]
    window = to_ms(cap.window) / 1000
    never = wait_ms < 0 or verdict == 2  # 2: the id was refunded
    retry_after = None if never else wait_ms / 1000
    return CapDecision(verdict == 1, count, cap.limit, window, retry_after)
