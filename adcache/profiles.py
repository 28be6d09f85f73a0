"""User profiles: what the platform knows of a user, and the segments it sells.

A profile is read for every bid request and changed by every server of the
platform. So a read is one GET, and a change is one script: of two servers that
add to the same score neither loses its delta, and a profile that has just
expired is not brought back as a ghost with two fields.
"""

from collections.abc import Iterable
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

import msgspec

from adcache.clock import Seconds, to_ms
from adcache.connection import RedisAdCache
from adcache.errors import InvalidValue, shown
from adcache.keys import encode_id
from adcache.models import UserProfile
from adcache.profiles_record import (
    StoredProfile,
    from_epoch_us,
    read_profile,
    score_delta,
    stored_profile,
    write_profile,
)
from adcache.profiles_segments import Segments
from adcache.wire import Question

REMEMBER_MS = 600_000  # how long a retry of an activity is recognised
MAX_REMEMBERED = 10_000  # activity ids per user


class ActivityResult(msgspec.Struct, frozen=True):
    """Score and last activity (aware, UTC) after an activity was noted.

    `repeated` says that the activity id was known: nothing was added this time.
    """

    behavior_score: float
    last_activity: datetime
    repeated: bool = False


class Known(NamedTuple):
    """What is known of a user; `suppressed`: nothing of it may be used."""

    suppressed: bool
    profile: StoredProfile | None


class UserProfileCache:
    """Keeps `UserProfile` records and the segments that their users are in.

    `segment_ttl` (seconds, a day by default) is how long a membership lasts
    after the user was last set or added. A segment holds at most `max_members`
    and drops those who joined longest ago; a user may be in `max_segments`.
    Nothing is stored of a user whom `erase_user` has suppressed.

    Raises `InvalidValue` before anything is written, `UnreadableRecord` for a
    record that another program wrote, and `RedisUnavailable`.

    >>> from datetime import UTC, datetime
    >>> from adcache import connect
    >>> profiles = UserProfileCache(connect("fakeredis://"))
    >>> profiles.set_user_profile(UserProfile(
    ...     user_id="ada", interests=["tea"], demographics={}, behavior_score=0.1,
    ...     last_activity=datetime(2026, 1, 1, tzinfo=UTC), segment="readers"))
    True
    >>> profiles.update_user_activity("ada", {"score_delta": 0.2}).behavior_score
    0.30000000000000004
    >>> profiles.get_users_by_segment("readers")
    ['ada']
    """

    def __init__(
        self,
        redis_cache: RedisAdCache,
        *,
        segment_ttl: Seconds = 86400,
        max_members: int = 100_000,
        max_segments: int = 100,
    ) -> None:
        self.cache = redis_cache
        self._segments = Segments(redis_cache, segment_ttl, max_members, max_segments)
        self._set_script = redis_cache.lua_scripts["profile_set"]
        self._update_script = redis_cache.lua_scripts["profile_update"]
        self._delete_script = redis_cache.lua_scripts["profile_delete"]
        self._meter = redis_cache.metrics.meter("profiles")

    def get_user_profile(self, user_id: str) -> UserProfile | None:
        """Read a profile in one trip; None when there is none.

        Raises `UnreadableRecord` for what another program put there.
        """
        return self.cache.wire.ask(self.ask_user_profile(user_id))

    def ask_user_profile(self, user_id: str) -> Question[UserProfile | None]:
        """Prepare `get_user_profile` for a trip together with other questions."""
        key = self.cache.get_key("user_profile", user_id=user_id)
        read = partial(self._read, user_id)
        return Question(("GET", key), read, safe=True, component="profiles")

    def ask_known(self, user_id: str) -> Question[Known]:
        """Ask what an ad server needs, in one MGET: profile, and is it to be used?

        What cannot be read is taken as unknown: without a profile an ad is still
        an ad.
        """
        key = self.cache.get_key
        command = (
            "MGET",
            key("user_profile", user_id=user_id),
            key("user_suppressed", user_id=user_id),
        )
        return Question(command, self._read_known, True, "profiles")

    def get_many(self, user_ids: Iterable[str]) -> dict[str, UserProfile | None]:
        """Read several profiles in one trip, by user id; None where there is none."""
        if isinstance(user_ids, str) or not isinstance(user_ids, Iterable):
            raise InvalidValue(f"user_ids must be several ids, got {shown(user_ids)}")
        asked = {user_id: self.ask_user_profile(user_id) for user_id in user_ids}
        return dict(zip(asked, self.cache.wire.trip(list(asked.values())), strict=True))

    def set_user_profile(self, profile: UserProfile, ttl: Seconds = 3600) -> bool:
        """Store a profile for `ttl` seconds, join its segment, leave the former one.

        The profile and the user's own list of segments change in one step; the
        segments, which may live on other nodes, follow in a second trip (a third
        one takes what was left off the list). After a crash in between the user
        may miss in the new segment or linger in the former one; the next
        `set_user_profile` puts both right, at the latest the segment's ttl.

        False when the user is suppressed. A retry overwrites what others added
        meanwhile, so it is never made behind your back. Raises `InvalidValue`.
        """
        record = write_profile(profile)
        segment = encode_id(profile.segment, "segment")
        left = self._set_script(
            profile=self.cache.get_key("user_profile", user_id=profile.user_id),
            now_ms=self.cache.now_ms(),
            record=record,
            ttl_ms=to_ms(ttl),
            segment=segment,
            segment_ttl=self._segments.ttl_ms,
            most=self._segments.max_segments,
            **self._segments.keys_of(profile.user_id),
        )
        if left is None:
            return False
        self._segments.carry_out(profile.user_id, [segment], left)
        return True

    def update_user_activity(
        self,
        user_id: str,
        activity_data: dict[str, Any],
        *,
        activity_id: str | None = None,
    ) -> ActivityResult | None:
        """Add ``score_delta`` to the score and note the time, in one atomic call.

        The sum is that of Python's floats. `last_activity` becomes the server's
        time (or the manual clock's) and never moves backwards; the profile's
        lifetime does not change. None, and nothing written, when the user has
        no profile or is suppressed. With an `activity_id` a retry within ten
        minutes counts nothing more (the last 10,000 ids of a user are known).

        The place in the segment stays: it lives on another node and its name in
        the profile, so moving it would take a second trip for every click.

        Raises `InvalidValue` for another key than ``score_delta``, for what is
        not finite, and for a sum beyond every float; then nothing is written.
        """
        question = self.ask_update_user_activity(
            user_id, activity_data, activity_id=activity_id
        )
        return self.cache.wire.ask(question)

    def ask_update_user_activity(
        self,
        user_id: str,
        activity_data: dict[str, Any],
        *,
        activity_id: str | None = None,
    ) -> Question[ActivityResult | None]:
        """Prepare `update_user_activity` for a trip together with other questions."""
        delta = score_delta(activity_data)
        activity = "" if activity_id is None else encode_id(activity_id, "activity_id")
        return self._update_script.question(
            partial(_read_result, delta),
            profile=self.cache.get_key("user_profile", user_id=user_id),
            suppressed=self.cache.get_key("user_suppressed", user_id=user_id),
            activities=self.cache.get_key("user_activities", user_id=user_id),
            now_ms=self.cache.now_ms(),
            delta=repr(delta),
            activity=activity,
            remember=REMEMBER_MS,
            most=MAX_REMEMBERED,
            safe=activity_id is not None,
        )

    def delete_user_profile(self, user_id: str, *, everywhere: bool = False) -> int:
        """Remove a profile and leave its segment; `everywhere`: leave all segments.

        Returns how many keys and memberships were removed, 0 when there was
        nothing. First the profile goes and the user's list says what is to be
        left, then the segments follow: a crash in between leaves the user listed
        until the next call or the segment's ttl.
        """
        removed, *left = self._delete_script(
            profile=self.cache.get_key("user_profile", user_id=user_id),
            memberships=self.cache.get_key("user_segments_of", user_id=user_id),
            activities=self.cache.get_key("user_activities", user_id=user_id),
            everywhere=int(everywhere),
            safe=True,
        )
        return int(removed) + self._segments.carry_out(user_id, [], left)

    def add_user_to_segment(self, user_id: str, segment: str) -> bool:
        """Add a user, with or without a profile, as the segment's newest member.

        Who is in it already becomes the newest, and is listed once. False when
        the user is suppressed. Order of writes as in `set_user_profile`.
        """
        return self._segments.enter(user_id, segment)

    def remove_user_from_segment(self, user_id: str, segment: str) -> bool:
        """Remove a user from a segment; True when it was in there.

        If it is the profile's own segment, the next `set_user_profile` joins again.
        """
        return self._segments.leave(user_id, segment)

    def get_users_by_segment(self, segment: str, limit: int = 100) -> list[str]:
        """List a segment's users, last set or added first; limit 0 lists nobody."""
        return self.cache.wire.ask(self._segments.ask_members(segment, limit))

    def segment_size(self, segment: str) -> int:
        """Count a segment's users, without those whose membership has ended."""
        return self.cache.wire.ask(self._segments.ask_size(segment))

    def segments_of(self, user_id: str) -> list[str]:
        """List the segments that a user is in, last entered first.

        From the user's own list: a segment that had too many members and
        dropped the user stands in it until the membership ends.
        """
        return self.cache.wire.ask(self.ask_segments_of(user_id))

    def ask_segments_of(self, user_id: str) -> Question[list[str]]:
        """Prepare `segments_of` for a trip together with other questions."""
        return self._segments.ask_segments_of(user_id)

    def _read_known(self, reply: list[str | None]) -> Known:
        text, suppressed = reply
        clock = self.cache.clock
        stored = stored_profile(text, clock.now_ms() if clock else 0)
        self._meter.hit() if stored else self._meter.miss()
        return Known(bool(suppressed), stored)

    def _read(self, user_id: str, text: str | None) -> UserProfile | None:
        clock = self.cache.clock
        now_ms = clock.now_ms() if clock else None
        profile = None if text is None else read_profile(user_id, text, now_ms)
        if profile is None:
            self._meter.miss()
        else:
            self._meter.hit()
        return profile


def _read_result(delta: float, reply: list[Any] | None) -> ActivityResult | None:
    """Read the reply of profile_update.lua."""
    if reply is None:
        return None
    seen, score, repeated = reply
    if score == "inf":
        raise InvalidValue(
            f"score_delta {delta!r} would make the score larger than a float can be"
        )
    return ActivityResult(float(score), from_epoch_us(int(seen)), repeated == 1)
