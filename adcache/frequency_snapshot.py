"""All caps of a user at one moment: which campaigns still have room?

The ad server reads this before it knows which campaigns it will consider. It
only sorts out those that would be refused; the lease decides.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from adcache.clock import to_ms
from adcache.connection import RedisAdCache
from adcache.frequency_caps import window_field
from adcache.keys import encode_id
from adcache.wire import Question, as_dict


class CapSnapshot(NamedTuple):
    """Windows and leases of one user, and the time (ms) at which to look at them."""

    now_ms: int
    fields: dict[str, str]

    def has_room(self, campaign_id: str, caps: Iterable[tuple[int, float]]) -> bool:
        """Say whether all caps, as (limit, seconds), allow one more impression.

        What cannot be read allows nothing.
        """
        try:
            held = self._open_leases(campaign_id)
            for limit, seconds in caps:
                if self._count(_field(campaign_id, seconds)) + held >= limit:
                    return False
        except ValueError:
            return False
        return True

    def _count(self, field: str) -> int:
        state = self.fields.get(field)  # as in parts/window_state.lua
        return int(state[:-15]) if state and int(state[-15:]) > self.now_ms else 0

    def _open_leases(self, campaign_id: str) -> int:
        state = self.fields.get(_leases(campaign_id))
        ends = state.split(" ")[::2] if state else ()
        return sum(int(end) > self.now_ms for end in ends if end)


def ask_snapshot(redis_cache: RedisAdCache, user_id: str) -> Question[dict[str, str]]:
    """Prepare to read a user's caps (fixed windows): the fields of a `CapSnapshot`.

    Who asks must know that the user is not suppressed, and what time it is.
    Windows of a user without the right to ask for TIME seem to be over here.
    """
    key = redis_cache.get_key("frequency_cap", user_id=user_id)
    return Question(("HGETALL", key), as_dict, True, "frequency")


@lru_cache(maxsize=10_000)
def _field(campaign_id: str, seconds: float) -> str:
    """Name of a campaign's window in the user's hash; campaigns are few."""
    return window_field(encode_id(campaign_id), to_ms(seconds))


@lru_cache(maxsize=10_000)
def _leases(campaign_id: str) -> str:
    return f"{encode_id(campaign_id)}~leases"
