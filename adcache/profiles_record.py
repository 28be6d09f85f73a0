"""How a profile looks in Redis: one JSON array, its numbers first.

``[1767229200000,1767225600000000,75.5,"readers",["tea"],{"age":36}]``: when it
expires (ms since 1970), the last activity (microseconds), the score, then what
scripts never touch. A hash of six fields takes more than twice the memory and
has to be parsed field by field; here a script rewrites the numbers exactly, and
one call of msgspec reads all.
"""

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from adcache.errors import InvalidValue, UnreadableRecord, shown
from adcache.models import UserProfile

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
_CANNOT = (TypeError, ValueError, RecursionError, msgspec.MsgspecError)


class StoredProfile(msgspec.Struct, array_like=True):
    """A profile as it stands in Redis; the user's id is in the key."""

    expires_ms: int
    last_activity_us: int
    behavior_score: float
    segment: str
    interests: list[str]
    demographics: dict[str, Any]


_decode = msgspec.json.Decoder(StoredProfile).decode


def write_profile(profile: UserProfile) -> str:
    """Write all but the expiry, which the script puts in front: ``75.5,...]``.

    Raises `InvalidValue` for what is no profile, and for what would come back
    from JSON as something else: tuples, sets, NaN, keys that are no text.
    """
    if not isinstance(profile, UserProfile):
        raise InvalidValue(f"profile must be a UserProfile, got {shown(profile)}")
    profile = replace(profile)  # checks again: its fields may have been changed
    stored = StoredProfile(
        0,
        (profile.last_activity - EPOCH) // MICROSECOND,
        profile.behavior_score,
        profile.segment,
        profile.interests,
        profile.demographics,
    )
    try:
        text = msgspec.json.encode(stored)
        same = bool(_decode(text) == stored)
    except _CANNOT as error:
        raise InvalidValue(
            f"the profile of {shown(profile.user_id)} cannot be written as JSON "
            f"({error}): {shown(profile)}"
        ) from error
    if not same:
        raise InvalidValue(
            "demographics would come back from JSON as something else: "
            f"{shown(profile.demographics)}; use dicts with text keys, lists, text, "
            "finite numbers, True, False and None"
        )
    return text.removeprefix(b"[0,").decode()


def read_profile(user_id: str, text: str, now_ms: int | None) -> UserProfile | None:
    """Read a profile back; None when it is over by the clock `now_ms`.

    Without a clock of one's own `now_ms` is None: Redis has removed what is over.
    Raises `UnreadableRecord` for what `write_profile` did not write.
    """
    try:
        stored = _decode(text)
    except _CANNOT as error:
        raise UnreadableRecord(
            f"the profile of user {shown(user_id)} is not as adcache writes it "
            f"({error}): {shown(text)}; set it again, or delete it"
        ) from error
    if now_ms is not None and stored.expires_ms <= now_ms:
        return None
    # Everything was checked on the way in: __post_init__ would take longer than
    # reading the JSON.
    profile = object.__new__(UserProfile)
    profile.user_id = user_id
    profile.interests = stored.interests
    profile.demographics = stored.demographics
    profile.behavior_score = stored.behavior_score
    profile.last_activity = from_epoch_us(stored.last_activity_us)
    profile.segment = stored.segment
    return profile


def stored_profile(text: str | None, now_ms: int) -> StoredProfile | None:
    """Read a profile as it stands; None for none, one that is over, or damaged."""
    try:
        stored = _decode(text) if text else None
    except _CANNOT:
        return None
    return stored if stored and stored.expires_ms > now_ms else None


def from_epoch_us(microseconds: int) -> datetime:
    """Aware UTC datetime for microseconds since 1970, without any rounding."""
    return EPOCH + microseconds * MICROSECOND


def score_delta(activity_data: object) -> float:
    """Take the ``score_delta`` out of an activity; 0.0 when it has none.

    Raises `InvalidValue` for another key (a misspelt one would be lost without
    a word), for what is no number, and for NaN and infinity.
    """
    if not isinstance(activity_data, dict):
        raise InvalidValue(
            "activity_data must be a dict such as {'score_delta': 1.5}, got "
            f"{shown(activity_data)}"
        )
    unknown = [key for key in activity_data if key != "score_delta"]
    if unknown:
        raise InvalidValue(
            f"activity_data has no {shown(unknown[0])}; it may hold 'score_delta', and "
            "set_user_profile changes the other fields"
        )
    delta = activity_data.get("score_delta", 0.0)
    if isinstance(delta, bool) or not isinstance(delta, int | float):
        raise InvalidValue(f"score_delta must be a number, got {shown(delta)}")
    try:
        if math.isfinite(delta):
            return float(delta)
    except OverflowError:
        pass  # an int beyond every float
    raise InvalidValue(f"score_delta must be finite, got {shown(delta)}")
