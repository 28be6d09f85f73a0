"""The list of the sessions that a user began: what "log out everywhere" needs."""

from collections.abc import Iterable, Sequence
from typing import Any

from adcache.connection import RedisAdCache
from adcache.keys import decode_id, encode_id

MOST = 10_000  # ids that one call reads
Listed = tuple[str, int]  # a session's id, and when it ends at the latest (ms)


class SessionList:
    """One sorted set per user: session ids by their absolute end.

    It names a session before it is there, and until the last moment that it may
    live: it may know too much and never too little. Only a revoked session, which
    cannot begin for a while, is taken off earlier. The list lives in the user's
    slot, the sessions do not.
    """

    def __init__(self, redis_cache: RedisAdCache) -> None:
        self.cache = redis_cache

    def note(
        self, user_id: str, session_id: str, age_ms: int, most: int
    ) -> tuple[int, list[Listed]] | None:
        """Note a session that is about to begin; None for a suppressed user.

        Returns its absolute end (ms) and the sessions that are too many for a
        list of `most`, those that end first.
        """
        reply = self.cache.lua_scripts["session_enlist"](
            list=self._key(user_id),
            suppressed=self.cache.get_key("user_suppressed", user_id=user_id),
            now_ms=self.cache.now_ms(),
            session=encode_id(session_id, "session_id"),
            age_ms=age_ms,
            most=most,
            safe=True,
        )
        return (int(reply[0]), pairs(reply[1:])) if reply else None

    def ids(self, user_id: str) -> list[str]:
        """Return the ids, those that end last first."""
        key = self._key(user_id)
        read = self.cache.wire.execute
        return [
            decode_id(name) for name in read("ZREVRANGE", key, 0, MOST - 1, safe=True)
        ]

    def first(self, user_id: str, count: int) -> list[Listed]:
        """Return the `count` sessions that end first."""
        key = self._key(user_id)
        return pairs(
            self.cache.wire.execute(
                "ZRANGE", key, 0, count - 1, "WITHSCORES", safe=True
            )
        )

    def take_off(self, user_id: str, ended: Iterable[Listed]) -> None:
        """Take revoked sessions off the list, unless one began anew since then."""
        self.cache.lua_scripts["session_unlist"](
            list=self._key(user_id),
            ended=[
                part
                for session_id, ends_ms in ended
                for part in (encode_id(session_id, "session_id"), ends_ms)
            ],
            safe=True,
        )

    def _key(self, user_id: str) -> str:
        return self.cache.get_key("user_sessions", user_id=user_id)


def pairs(reply: Sequence[Any]) -> list[Listed]:
    """Ids with ends, from a flat reply or, on the fake and the cluster, from pairs."""
    if reply and not isinstance(reply[0], str):
        reply = [part for pair in reply for part in pair]
    flat = zip(reply[::2], reply[1::2], strict=True)
    return [(decode_id(name), int(float(ends_ms))) for name, ends_ms in flat]
