"""All caps of a user at one moment: which campaigns still have room?

The ad server reads this before it knows which campaigns it will consider. It
only sorts out those that would be refused; the lease decides.
"""

from collections.abc import Iterable
from typing import NamedTuple

from adcache.clock import to_ms
from adcache.connection import RedisAdCache
from adcache.frequency_caps import window_field
from adcache.keys import encode_id
from adcache.wire import Question


class CapSnapshot(NamedTuple):
    """Windows and leases of one user, and the time (ms) when they were read."""

    now_ms: int
    fields: dict[str, str]

    def has_room(self, campaign_id: str, caps: Iterable[tuple[int, float]]) -> bool:
        """Say whether all caps, as (limit, seconds), allow one more impression."""
        campaign = encode_id(campaign_id, "campaign_id")
        held = self._open_leases(campaign)
        return all(
            self._count(window_field(campaign, to_ms(seconds))) + held < limit
            for limit, seconds in caps
        )

    def _count(self, field: str) -> int:
        state = self.fields.get(field)  # as in parts/window_state.lua
        return int(state[:-15]) if state and int(state[-15:]) > self.now_ms else 0

    def _open_leases(self, campaign: str) -> int:
        ends = self.fields.get(f"{campaign}~leases", "").split(" ")[::2]
        return sum(int(end) > self.now_ms for end in ends if end)


def ask_snapshot(
    redis_cache: RedisAdCache, user_id: str
) -> Question[CapSnapshot | None]:
    """Prepare to read a user's caps (fixed windows), to share a trip.

    The answer is None for a suppressed user: then nothing may be known of them.
    """
    key = redis_cache.get_key
    return redis_cache.lua_scripts["frequency_snapshot"].question(
        _snapshot,
        windows=key("frequency_cap", user_id=user_id),
        suppressed=key("user_suppressed", user_id=user_id),
        now_ms=redis_cache.now_ms(),
        safe=True,
    )


def _snapshot(reply: list[str]) -> CapSnapshot | None:
    if not reply:
        return None
    fields = iter(reply)
    return CapSnapshot(int(next(fields)), dict(zip(fields, fields, strict=True)))
