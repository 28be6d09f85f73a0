"""How a frequency cap is asked: keys and arguments laid out, the answer read."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from adcache.clock import to_ms
from adcache.connection import RedisAdCache
from adcache.frequency_caps import (
    Cap,
    CapDecision,
    decision,
    listed,
    valid_caps,
    window_field,
)
from adcache.keys import encode_id
from adcache.wire import Question

Field = Callable[[str, int], str]
ALGORITHMS: dict[str, Field] = {  # name -> how it names a campaign's window (in ms)
    "fixed": window_field,
    "sliding_counter": lambda campaign, window_ms: f"{campaign}:{window_ms}:s",
    "sliding_log": lambda campaign, _: f"{campaign}:log",
}


class CapQuestions:
    """Several campaigns, several caps, impression ids: the general script's calls."""

    def __init__(self, redis_cache: RedisAdCache, algorithm: str) -> None:
        self.cache = redis_cache
        self.algorithm = algorithm
        self._field = ALGORITHMS[algorithm]
        self._script = redis_cache.lua_scripts[f"frequency_{algorithm}"]

    def ask(
        self,
        user_id: str,
        campaigns: Mapping[str, Sequence[Cap]],
        impression_id: str | None,
        look: bool = False,
    ) -> Question[dict[str, CapDecision]]:
        """Check each campaign on its own; with `look` nothing is counted."""
        args: list[str | int] = []
        asked: list[tuple[str, Sequence[Cap]]] = []
        for campaign_id, wanted in listed(campaigns):
            campaign = encode_id(campaign_id, "campaign_id")
            caps = valid_caps(campaign_id, wanted)
            args.append(len(caps))
            for cap in caps:
                window_ms = to_ms(cap.window)
                args += (self._field(campaign, window_ms), cap.limit, window_ms)
            asked.append((campaign_id, caps))
        return self._script.question(
            partial(_decisions, asked),
            windows=self.cache.get_key("frequency_cap", user_id=user_id),
            now_ms=self.cache.now_ms(),
            mode=0 if look else 1 if impression_id is None else 2,
            caps=args,
            safe=look or impression_id is not None,
            **self._keys_of(user_id, campaigns, impression_id),
        )

    def _keys_of(
        self, user_id: str, campaigns: Iterable[str], impression_id: str | None
    ) -> dict[str, list[str]]:
        """Keys beside the user's hash: records of ids, and for the log its logs."""
        keys: list[str] = []
        for campaign_id in campaigns:
            if self.algorithm == "sliding_log":
                keys.append(self.key("frequency_log", user_id, campaign_id))
                if impression_id is None:  # the script counts keys in pairs
                    keys.append(keys[-1])
            if impression_id is not None:
                ids = (user_id, campaign_id, impression_id)
                keys.append(self.key("frequency_impression", *ids))
        return {"logs" if self.algorithm == "sliding_log" else "records": keys}

    def key(self, pattern: str, user_id: str, campaign_id: str, *rest: str) -> str:
        """Build the key of a pair's log, or of an impression's record."""
        ids = {"user_id": user_id, "campaign_id": campaign_id}
        if rest:
            ids["impression_id"] = rest[0]
        return self.cache.get_key(pattern, **ids)


def _decisions(
    asked: Sequence[tuple[str, Sequence[Cap]]], reply: Sequence[int]
) -> dict[str, CapDecision]:
    return {
        campaign_id: decision(caps, reply[4 * i : 4 * i + 4])
        for i, (campaign_id, caps) in enumerate(asked)
    }
