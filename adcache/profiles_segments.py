"""Who is in which segment, kept on both sides: two keys, maybe on two nodes.

A segment knows its members (``segments:{segment}``), a user the segments that
it is in (``user:segments:{user}``), so that nobody has to search. No script can
write both, so the order makes a crash harmless: the user's list is written
first and cleaned last. At any moment it names every segment that may still know
the user; what a crash left half done, the next change completes.
"""

from collections.abc import Sequence
from typing import Any

from adcache.clock import Seconds, to_ms
from adcache.connection import RedisAdCache
from adcache.errors import InvalidValue, shown
from adcache.keys import decode_id, encode_id
from adcache.wire import Question

MOST_MEMBERS = 10_000_000  # about 1 GB for one segment
MOST_SEGMENTS = 1000  # a script walks through all segments of a user
ROUNDS = 5  # how often to follow others who change the same membership meanwhile


class Segments:
    """Joins and leaves segments for `UserProfileCache`, and lists them.

    A membership lasts `ttl` seconds from the last joining. Of more than
    `max_members` a segment drops those who joined longest ago; a user in more
    than `max_segments` leaves those that end soonest.
    """

    def __init__(
        self,
        redis_cache: RedisAdCache,
        ttl: Seconds,
        max_members: int,
        max_segments: int,
    ) -> None:
        self.cache = redis_cache
        self.ttl_ms = to_ms(ttl, "segment_ttl")
        self.max_members = _count(max_members, "max_members", 1, MOST_MEMBERS)
        self.max_segments = _count(max_segments, "max_segments", 1, MOST_SEGMENTS)
        self._scripts = redis_cache.lua_scripts

    def enter(self, user_id: str, segment: str) -> bool:
        """Add the user, or make it the newest member; False when suppressed."""
        keys = self.keys_of(user_id)
        entered = encode_id(segment, "segment")
        left = self._scripts["segment_enter"](
            now_ms=self.cache.now_ms(),
            segment=entered,
            segment_ttl=self.ttl_ms,
            most=self.max_segments,
            safe=True,
            **keys,
        )
        if left is None:
            return False
        self.carry_out(user_id, [entered], left)
        return True

    def leave(self, user_id: str, segment: str) -> bool:
        """Remove the user; True when it was a member."""
        left = encode_id(segment, "segment")
        memberships = self.keys_of(user_id)["memberships"]
        self.cache.wire.execute("ZADD", memberships, "XX", 0, left, safe=True)
        return self.carry_out(user_id, [], [left]) > 0

    def carry_out(self, user_id: str, join: Sequence[str], leave: Sequence[str]) -> int:
        """Join and leave (encoded) segments as the user's list already says.

        Afterwards the list is asked again: somebody may have changed it in the
        meantime, or suppressed the user; then that is followed. What is left
        stands in the list until the segment has confirmed it. Returns of how
        many segments the user was a member before leaving them.
        """
        ended = 0
        for _ in range(ROUNDS):
            if not join and not leave:
                break
            moves = [self._ask_join(user_id, each) for each in join]
            moves += [self._ask_leave(user_id, each) for each in leave]
            settle = self._ask_settle(user_id, join, leave)
            if leave:
                replies = self.cache.wire.trip(moves)
                undo = self.cache.wire.ask(settle)
                ended += sum(replies[len(join) :])
            else:
                undo = self.cache.wire.trip([*moves, settle])[-1]
            again = [each for each in leave if each in undo]
            join, leave = again, [each for each in join if each in undo]
        return ended

    def ask_members(self, segment: str, limit: int) -> Question[list[str]]:
        """Prepare the list of a segment's users, the newest first."""
        return self._scripts["segment_list"].question(
            _decoded,
            list=self.cache.get_key("user_segments", segment_id=segment),
            now_ms=self.cache.now_ms(),
            ttl_ms=self.ttl_ms,
            limit=min(_count(limit, "limit", 0), MOST_MEMBERS),
            safe=True,
        )

    def ask_size(self, segment: str) -> Question[int]:
        """Prepare the number of a segment's users."""
        return self._scripts["segment_list"].question(
            list=self.cache.get_key("user_segments", segment_id=segment),
            now_ms=self.cache.now_ms(),
            ttl_ms=self.ttl_ms,
            limit=-1,
            safe=True,
        )

    def ask_segments_of(self, user_id: str) -> Question[list[str]]:
        """Prepare the list of a user's segments, the newest first."""
        return self._scripts["segment_list"].question(
            _decoded,
            list=self.keys_of(user_id)["memberships"],
            now_ms=self.cache.now_ms(),
            ttl_ms=0,
            limit=self.max_segments,
            safe=True,
        )

    def keys_of(self, user_id: str) -> dict[str, Any]:
        """The user's list of segments, and the flag that forbids to store it."""
        return {
            "memberships": self.cache.get_key("user_segments_of", user_id=user_id),
            "suppressed": self.cache.get_key("user_suppressed", user_id=user_id),
        }

    def _ask_join(self, user_id: str, segment: str) -> Question[Any]:
        return self._scripts["segment_join"].question(
            members=self._members(segment),
            now_ms=self.cache.now_ms(),
            user=encode_id(user_id, "user_id"),
            segment_ttl=self.ttl_ms,
            most=self.max_members,
            safe=True,
        )

    def _ask_leave(self, user_id: str, segment: str) -> Question[Any]:
        return self._scripts["segment_leave"].question(
            members=self._members(segment),
            now_ms=self.cache.now_ms(),
            user=encode_id(user_id, "user_id"),
            segment_ttl=self.ttl_ms,
            safe=True,
        )

    def _ask_settle(
        self, user_id: str, join: Sequence[str], leave: Sequence[str]
    ) -> Question[Any]:
        return self._scripts["segment_settle"].question(
            joined=len(join),
            segments=[*join, *leave],
            safe=True,
            **self.keys_of(user_id),
        )

    def _members(self, segment: str) -> str:
        return self.cache.get_key("user_segments", segment_id=decode_id(segment))


def _decoded(ids: list[str]) -> list[str]:
    return [decode_id(each) for each in ids]


def _count(number: int, name: str, least: int, most: int | None = None) -> int:
    if isinstance(number, bool) or not isinstance(number, int) or number < least:
        raise InvalidValue(
            f"{name} must be a whole number >= {least}, got {shown(number)}"
        )
    if most is not None and number > most:
        raise InvalidValue(f"{name} must be at most {most:,}, got {shown(number)}")
    return number
