"""How a copy of a record looks in Redis: a head of three numbers, then JSON.

``1767225600000 12 7 {"name":"Ada"}`` is fresh until that time (ms since 1970),
took 12 ms to load, and has version 7. Scripts read the head and never the JSON.
No JSON after the head means: it is known that there is no such record.
"""

from typing import Any

import msgspec

from adcache.errors import InvalidValue, UnreadableRecord, shown

_CANNOT = (TypeError, ValueError, RecursionError, msgspec.MsgspecError)


def to_json(value: Any, what: str) -> str:
    """Write `value` as JSON that reads back as an equal value; None gives ''.

    A reader must get the same whether it finds the copy or loads the record.
    So what JSON would change is refused with `InvalidValue`, which names it by
    `what`: tuples, sets, NaN, keys that are no text, objects.

    >>> to_json({"bid": 2}, "campaign")
    '{"bid":2}'
    """
    if value is None:
        return ""
    try:
        body = msgspec.json.encode(value)
        same = bool(msgspec.json.decode(body) == value)
    except _CANNOT as error:
        raise InvalidValue(
            f"{what} cannot be written as JSON ({error}): {shown(value)}"
        ) from error
    if not same:
        raise InvalidValue(
            f"{what} would come back from JSON as something else: {shown(value)}; use "
            "dicts with text keys, lists, text, finite numbers, True, False and None"
        )
    return body.decode()


def from_json(body: str) -> Any:
    """Read what `to_json` wrote: '' is None. Raises `UnreadableRecord`."""
    try:
        return msgspec.json.decode(body) if body else None
    except msgspec.DecodeError as error:
        raise _damaged(body) from error


def open_envelope(text: str) -> tuple[int, int, int, str]:
    """Split a copy into fresh until (ms since 1970), load time (ms), version, JSON.

    Raises `UnreadableRecord`.
    """
    try:
        fresh_until, load_ms, version, body = text.split(" ", 3)
        return int(fresh_until), int(load_ms), int(version), body
    except ValueError as error:
        raise _damaged(text) from error


def _damaged(text: str) -> UnreadableRecord:
    return UnreadableRecord(
        f"a copy in Redis is not as adcache writes it: {shown(text)}; write the "
        "record anew, or remove the key"
    )
