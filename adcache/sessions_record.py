"""What a session holds: checked on the way in, put back together on the way out."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from adcache.errors import InvalidValue, UnreadableRecord, shown

FIELDS = ("created_us", "last_us", "data")  # of the hash; all that a session shows
OF_THE_VISITOR = ("user_id", "user_agent", "ip_address")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def user_data_json(user_data: dict[str, Any]) -> str:
    """Write `user_data` as JSON, such that it is read back as it is.

    Raises `InvalidValue` for anything that is not a dict, for keys that are not
    text, for values that JSON does not have (datetimes, sets, NaN, infinity, half
    a surrogate pair), and for a `user_id`, `user_agent` or `ip_address` that is
    neither text nor None.
    """
    if not isinstance(user_data, dict):
        raise InvalidValue(f"user_data must be a dict, got {shown(user_data)}")
    for name in OF_THE_VISITOR:
        if not isinstance(user_data.get(name), str | None):
            value = shown(user_data[name])
            raise InvalidValue(f"{name} must be text, got {value}; str() makes it text")
    try:
        # The standard library's writer: msgspec's makes texts of datetimes and
        # null of NaN, without a word.
        text = json.dumps(
            user_data, ensure_ascii=False, allow_nan=False, separators=(",", ":")
        )
        text.encode()
        msgspec.json.decode(text)
        named_by_text = _keys_are_text(user_data)
    except (TypeError, ValueError, RecursionError) as error:
        # The data themselves are not shown: they are personal.
        raise InvalidValue(
            f"user_data must be what JSON can hold: {error}; turn other values into "
            "text or numbers first"
        ) from None
    if not named_by_text:  # json would turn 7 and True into "7" and "true"
        raise InvalidValue("user_data needs text for keys; str() makes it text")
    return text


def _keys_are_text(value: object) -> bool:
    if isinstance(value, dict):
        texts = all(isinstance(key, str) for key in value)
        return texts and all(_keys_are_text(part) for part in value.values())
    if isinstance(value, list | tuple):
        return all(_keys_are_text(part) for part in value)
    return True


def session_of(session_id: str, row: Sequence[Any]) -> dict[str, Any]:
    """Put a session together from the values of `FIELDS`.

    Raises `UnreadableRecord` for what `SessionManager` did not write.
    """
    created_us, last_us, data = row
    try:
        user_data = msgspec.json.decode(data, type=dict[str, Any])
        created = EPOCH + timedelta(microseconds=int(created_us))
        last = EPOCH + timedelta(microseconds=int(last_us))
    except (TypeError, ValueError, OverflowError) as error:
        raise UnreadableRecord(
            f"session {shown(session_id)} is damaged ({error}); delete_session "
            "removes it"
        ) from None
    return {
        "session_id": session_id,
        "user_id": user_data.get("user_id") or "",
        "created_at": created,
        "last_activity": last,
        "user_agent": user_data.get("user_agent") or "",
        "ip_address": user_data.get("ip_address") or "",
        "data": user_data,
    }
