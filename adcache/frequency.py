"""Frequency caps: how often one user may see one campaign.

"At most 3 an hour and 10 a day." Every ad server of the platform counts into
the same windows in Redis, so the check and the count are one script: of two
servers that find one place left, one gets it.
"""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from adcache.clock import Seconds, to_ms
from adcache.connection import RedisAdCache
from adcache.errors import InvalidValue, shown
from adcache.keys import encode_id

MAX_LIMIT = 1_000_000
ALGORITHMS = {  # name -> what a field's name ends with; "{}" is the window in ms
    "fixed": ":{}",
    "sliding_counter": ":{}:s",
    "sliding_log": ":log",
}


class Cap(msgspec.Struct, frozen=True):
    """At most `limit` impressions in `window` seconds (int, float, timedelta)."""

    limit: int
    window: Seconds

    def __post_init__(self) -> None:
        _refuse_bad_limit(self.limit)
        to_ms(self.window, "window")


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


class FrequencyCapManager:
    """Counts impressions per user and campaign, and refuses beyond the caps.

    Algorithms: ``fixed`` (a window opens at the first impression; cheapest),
    ``sliding_counter`` (an estimate over two windows) and ``sliding_log``
    (exact; keeps the time of every impression). Time is the server's.

    >>> from adcache import connect
    >>> caps = FrequencyCapManager(connect("fakeredis://"))
    >>> [bool(caps.check_frequency_cap("ada", "coffee", limit=1)) for _ in "ab"]
    [True, False]
    """

    def __init__(self, redis_cache: RedisAdCache, algorithm: str = "fixed") -> None:
        if algorithm not in ALGORITHMS:
            known = ", ".join(ALGORITHMS)
            raise InvalidValue(
                f"algorithm must be one of {known}, got {shown(algorithm)}"
            )
        self.cache = redis_cache
        self.algorithm = algorithm
        self._field_end = ALGORITHMS[algorithm]
        self._count_one_script = redis_cache.lua_scripts["frequency_cap"]
        self._script = redis_cache.lua_scripts[f"frequency_{algorithm}"]

    def check_frequency_cap(
        self,
        user_id: str,
        campaign_id: str,
        limit: int = 3,
        window: Seconds = 86400,
        *,
        caps: Sequence[Cap] | None = None,
        impression_id: str | None = None,
    ) -> CapDecision:
        """Count one impression if the cap allows it, in one round trip.

        `caps` replaces `limit` and `window` when several must all allow it: it
        then counts in all or in none. With an `impression_id` a retry is
        answered as the first call was and counts nothing, so name all caps of
        an impression in one call; a count is remembered for its longest
        window, a refusal for up to a minute. Raises
        `InvalidValue` before anything is written, and `RedisUnavailable`.
        """
        if self.algorithm == "fixed" and caps is None and impression_id is None:
            return self._count_one(user_id, campaign_id, limit, window)
        wanted = {campaign_id: (Cap(limit, window),) if caps is None else caps}
        return self._ask(user_id, wanted, impression_id)[campaign_id]

    def check_many(
        self,
        user_id: str,
        campaigns: Mapping[str, Sequence[Cap]],
        *,
        impression_id: str | None = None,
    ) -> dict[str, CapDecision]:
        """Check and count several campaigns, each on its own, in one trip."""
        return self._ask(user_id, campaigns, impression_id)

    def peek(
        self,
        user_id: str,
        campaign_id: str,
        limit: int = 3,
        window: Seconds = 86400,
        *,
        caps: Sequence[Cap] | None = None,
    ) -> CapDecision:
        """Say what `check_frequency_cap` would answer, and count nothing."""
        wanted = {campaign_id: (Cap(limit, window),) if caps is None else caps}
        return self._ask(user_id, wanted, None, look=True)[campaign_id]

    def peek_many(
        self,
        user_id: str,
        campaigns: Iterable[str] | Mapping[str, Sequence[Cap]],
        limit: int = 3,
        window: Seconds = 86400,
    ) -> dict[str, CapDecision]:
        """Look at many campaigns in one trip: which may this user still see?

        A mapping gives each campaign caps of its own; otherwise `limit` and
        `window` hold for all.
        """
        if isinstance(campaigns, str):
            raise InvalidValue(f"campaigns must be several ids, got {campaigns!r}")
        if not isinstance(campaigns, Mapping):
            campaigns = dict.fromkeys(campaigns, (Cap(limit, window),))
        return self._ask(user_id, campaigns, None, look=True)

    def refund(self, user_id: str, campaign_id: str, impression_id: str) -> bool:
        """Give a counted impression back, for instance after a lost auction.

        True when it was given back now; False when the id is unknown, was
        refused, or was given back before. A later retry of the id is refused.
        """
        reply = self.cache.lua_scripts["frequency_refund"](
            windows=self.cache.get_key("frequency_cap", user_id=user_id),
            log=self._key("frequency_log", user_id, campaign_id),
            record=self._key(
                "frequency_impression", user_id, campaign_id, impression_id
            ),
        )
        return bool(reply)

    def reset_frequency_cap(self, user_id: str, campaign_id: str) -> bool:
        """Forget all windows of this user and campaign, of every algorithm.

        True when there was something to forget.
        """
        reply = self.cache.lua_scripts["frequency_reset"](
            windows=self.cache.get_key("frequency_cap", user_id=user_id),
            log=self._key("frequency_log", user_id, campaign_id),
            campaign=encode_id(campaign_id, "campaign_id"),
            safe=True,
        )
        return bool(reply)

    def _count_one(
        self, user_id: str, campaign_id: str, limit: int, window: Seconds
    ) -> CapDecision:
        """The usual case, with the shortest script."""
        _refuse_bad_limit(limit)
        window_ms = to_ms(window, "window")
        allowed, count, wait_ms = self._count_one_script(
            windows=self.cache.get_key("frequency_cap", user_id=user_id),
            now_ms=self.cache.now_ms(),
            field=f"{encode_id(campaign_id, 'campaign_id')}:{window_ms}",
            limit=limit,
            window_ms=window_ms,
        )
        retry_after = 0.0 if allowed else wait_ms / 1000 if limit else None
        return CapDecision(allowed == 1, count, limit, window_ms / 1000, retry_after)

    def _ask(
        self,
        user_id: str,
        campaigns: Mapping[str, Sequence[Cap]],
        impression_id: str | None,
        look: bool = False,
    ) -> dict[str, CapDecision]:
        """Lay out keys and arguments, run the script, read its flat answer."""
        args: list[str | int] = []
        asked: list[tuple[str, Sequence[Cap]]] = []
        for campaign_id, wanted in campaigns.items():
            campaign = encode_id(campaign_id, "campaign_id")
            caps = _valid_caps(campaign_id, wanted)
            args.append(len(caps))
            for cap in caps:
                window_ms = to_ms(cap.window)
                field = campaign + self._field_end.format(window_ms)
                args += (field, cap.limit, window_ms)
            asked.append((campaign_id, caps))
        if not asked:
            return {}
        keys = self._keys_of(user_id, campaigns, impression_id)
        reply = self._script(
            windows=self.cache.get_key("frequency_cap", user_id=user_id),
            now_ms=self.cache.now_ms(),
            mode=0 if look else 1 if impression_id is None else 2,
            caps=args,
            safe=look or impression_id is not None,
            **keys,
        )
        return {
            campaign_id: _decision(caps, reply[4 * i : 4 * i + 4])
            for i, (campaign_id, caps) in enumerate(asked)
        }

    def _keys_of(
        self, user_id: str, campaigns: Iterable[str], impression_id: str | None
    ) -> dict[str, list[str]]:
        """Keys beside the user's hash: records of ids, and for the log its logs."""
        keys: list[str] = []
        for campaign_id in campaigns:
            if self.algorithm == "sliding_log":
                keys.append(self._key("frequency_log", user_id, campaign_id))
                if impression_id is None:  # the script counts keys in pairs
                    keys.append(keys[-1])
            if impression_id is not None:
                ids = (user_id, campaign_id, impression_id)
                keys.append(self._key("frequency_impression", *ids))
        return {"logs" if self.algorithm == "sliding_log" else "records": keys}

    def _key(self, pattern: str, user_id: str, campaign_id: str, *rest: str) -> str:
        ids = {"user_id": user_id, "campaign_id": campaign_id}
        if rest:
            ids["impression_id"] = rest[0]
        return self.cache.get_key(pattern, **ids)


def _refuse_bad_limit(limit: int) -> None:
    if isinstance(limit, bool) or not isinstance(limit, int):
        raise InvalidValue(f"limit must be a whole number, got {shown(limit)}")
    if not 0 <= limit <= MAX_LIMIT:
        raise InvalidValue(f"limit must be 0 to {MAX_LIMIT:,}, got {shown(limit)}")


def _valid_caps(campaign_id: str, wanted: Iterable[Cap]) -> Sequence[Cap]:
    """At least one `Cap`, and of several with one window the strictest."""
    caps = tuple(wanted) if isinstance(wanted, Iterable) else ()
    if not caps or not all(isinstance(cap, Cap) for cap in caps):
        raise InvalidValue(
            f"caps of campaign {campaign_id!r} must be a list such as "
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


def _decision(caps: Sequence[Cap], answer: Sequence[int]) -> CapDecision:
    verdict, index, count, wait_ms = answer
    cap = caps[min(index, len(caps)) - 1]
    window = to_ms(cap.window) / 1000
    never = wait_ms < 0 or verdict == 2  # 2: the id was refunded
    retry_after = None if never else wait_ms / 1000
    return CapDecision(verdict == 1, count, cap.limit, window, retry_after)
