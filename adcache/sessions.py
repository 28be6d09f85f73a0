"""Sessions: who is on the page, from the first click until they leave.

A session lives `ttl` seconds after the last activity, and `max_age` seconds at
most, however active. Each user has a list of the sessions they began, so that
all of them can be ended at once. The list and the sessions live on different
nodes of a cluster, so they are written in an order that a crash leaves safe.
"""

import secrets
from collections.abc import Sequence
from typing import Any

from adcache.clock import Seconds, to_ms
from adcache.connection import RedisAdCache
from adcache.errors import InvalidValue, shown
from adcache.keys import encode_id
from adcache.sessions_list import Listed, SessionList
from adcache.sessions_record import FIELDS, session_of, user_data_json
from adcache.wire import Question

MAX_AGE = 43_200  # seconds: twelve hours
MAX_SESSIONS = 1000
PAGE = 100  # sessions that one trip reads or ends
ROUNDS = 100  # trips that "all" may take at most
MARK_MS = 10_000  # a revoked id is refused so long: longer than a create is under way

Session = dict[str, Any]


class SessionManager:
    """Sessions in Redis that end when they should and stay ended.

    `max_age` (seconds) is the longest life of a session. `max_sessions` is how many
    a user may begin in that time, ended ones included; with one more the one that
    ends first is revoked.
    Where an id comes from the browser, begin a new one at login (session id
    None): an id that someone else may have planted is no proof of anything.

    Raises `InvalidValue` before anything is written, `UnreadableRecord` for a
    session that another program wrote, and `RedisUnavailable`.

    >>> from adcache import connect
    >>> sessions = SessionManager(connect("fakeredis://"))
    >>> sessions.create_session("s1", {"user_id": "ada", "cart": ["tea"]})
    's1'
    >>> sessions.get_session("s1")["data"]["cart"]
    ['tea']
    """

    def __init__(
        self,
        redis_cache: RedisAdCache,
        *,
        max_age: Seconds = MAX_AGE,
        max_sessions: int = MAX_SESSIONS,
    ) -> None:
        if type(max_sessions) is not int or max_sessions < 1:
            raise InvalidValue(
                f"max_sessions must be a whole number >= 1, got {shown(max_sessions)}"
            )
        to_ms(max_age, "max_age")
        self.cache = redis_cache
        self.max_age = max_age
        self.max_sessions = max_sessions
        self._list = SessionList(redis_cache)
        self._meter = redis_cache.metrics.meter("sessions")
        self._scripts = redis_cache.lua_scripts
        self._touch_script = redis_cache.lua_scripts["session_touch"]

    def create_session(
        self,
        session_id: str | None,
        user_data: dict[str, Any],
        ttl: Seconds = 1800,
        *,
        max_age: Seconds | None = None,
    ) -> str:
        """Begin a session and return its id; '' when it was refused.

        `user_data` is any dict that JSON can hold; its `user_id`, `user_agent` and
        `ip_address` are shown beside it. With None for an id one is made (128 random
        bits); an id of yours is taken as it is. `ttl` (seconds) is the life without
        activity, `max_age` the longest, if not the manager's.

        Refused: another user's open session with this id (someone without a
        `user_id` is another user, too), a suppressed user, an id that was revoked
        seconds ago. The same user's session is replaced and begins anew; but the
        very same call changes nothing, so a retry after a lost reply is safe.

        Two trips, in the order "list first": after a crash in between, the list
        names a session that never was, which is harmless and fades; the other way
        round, a session would live that `revoke_all` cannot find.

        Raises `InvalidValue` before anything is written.
        """
        if session_id is None:
            session_id = secrets.token_urlsafe(16)
        age_ms = to_ms(self.max_age if max_age is None else max_age, "max_age")
        terms = {
            "session": self._key(session_id),
            "idle_ms": to_ms(ttl),
            "age_ms": age_ms,
            "data": user_data_json(user_data),
        }
        user_id = user_data.get("user_id") or ""
        if not user_id:
            return session_id if self._begin("", "", terms) else ""
        noted = self._list.note(user_id, session_id, age_ms, self.max_sessions)
        if noted is None or not self._begin(encode_id(user_id), noted[0], terms):
            return ""
        if noted[1]:
            self._end(user_id, noted[1])
        return session_id

    def _begin(self, user: str, ends_ms: int | str, terms: dict[str, Any]) -> bool:
        """Write the session, unless someone else has the id or it was revoked."""
        state = self._scripts["session_create"](
            now_ms=self.cache.now_ms(), user=user, ends_ms=ends_ms, safe=True, **terms
        )
        return state in ("created", "same")

    def get_session(self, session_id: str) -> Session | None:
        """Return an open session, else None; looking does not prolong it.

        Keys: ``session_id``, ``user_id``, ``created_at`` and ``last_activity``
        (datetimes in UTC), ``user_agent``, ``ip_address``, and ``data``, the dict
        that it was created with.
        """
        return self.cache.wire.ask(self.ask_session(session_id))

    def ask_session(self, session_id: str) -> Question[Session | None]:
        """Prepare `get_session` for a trip that others share."""

        def read(row: Sequence[Any]) -> Session | None:
            return self._met(session_id, row[1:] if self._is_open(row) else None)

        command = ("HMGET", self._key(session_id), "expires_ms", *FIELDS)
        return Question(command, read, safe=True, component="sessions")

    def ask_owner(self, session_id: str) -> Question[tuple[str, str] | None]:
        """Ask whose an open session is: the user's encoded id, '' for nobody's.

        And when it began, as it stands in Redis: the session's name in time.
        """

        def read(row: Sequence[Any]) -> tuple[str, str] | None:
            known = self._is_open(row)
            self._meter.hit() if known else self._meter.miss()
            return (row[1], row[2]) if known else None

        fields = ("expires_ms", "user", "created_us")
        command = ("HMGET", self._key(session_id), *fields)
        return Question(command, read, True, "sessions")

    def update_session_activity(self, session_id: str) -> bool:
        """Note activity: an open session lives its own ttl longer, in one trip.

        False when there is none: a session that is over or deleted stays so.
        """
        reply = self._touch_script(
            session=self._key(session_id),
            now_ms=self.cache.now_ms(),
            want=0,
            safe=True,
        )
        return bool(reply)

    def ask_touch(self, session_id: str) -> Question[Session | None]:
        """Prepare to note activity and to read the session, both in one question.

        The answer is that of `get_session`.
        """
        return self._touch_script.question(
            lambda row: self._met(session_id, row or None),
            session=self._key(session_id),
            now_ms=self.cache.now_ms(),
            want=1,
            safe=True,
        )

    def delete_session(self, session_id: str) -> bool:
        """End a session (a logout), in one trip; False when there is none.

        The user's list still names it until it would have ended anyway: a login
        with this id may be under way at this moment, and must be found there.
        """
        gone = self._scripts["session_delete"](
            session=self._key(session_id), now_ms=self.cache.now_ms(), safe=True
        )
        return bool(gone)

    def list_sessions(self, user_id: str, limit: int = PAGE) -> list[Session]:
        """Return a user's open sessions as `get_session` does, those ending last first.

        Two trips where the list names up to 100; limit 0 lists none. What it names
        and is not there, or is another user's, is left out.
        """
        if type(limit) is not int or limit < 0:
            raise InvalidValue(f"limit must be a whole number >= 0, got {shown(limit)}")
        names, user = self.session_ids(user_id), encode_id(user_id)
        found: list[Session] = []
        for start in range(0, len(names), PAGE):
            if len(found) >= limit:
                break
            page = [self._ask_if_of(user, name) for name in names[start : start + PAGE]]
            found += filter(None, self.cache.wire.trip(page))
        return found[:limit]

    def session_ids(self, user_id: str) -> list[str]:
        """Return the ids in a user's list, also of sessions that are over by now.

        What `erase_user` needs to forget all that other components know of them.
        """
        return self._list.ids(user_id)

    def revoke_all(self, user_id: str) -> int:
        """End all sessions of a user; returns how many were open.

        A session whose `create_session` is under way is refused: its id is
        already in the list and gets a mark that stays ten seconds. Three trips
        for each hundred, ten thousand sessions at most; run again after an error.
        """
        ended = 0
        for _ in range(ROUNDS):
            listed = self._list.first(user_id, PAGE)
            if not listed:
                break
            ended += self._end(user_id, listed)
        return ended

    def _end(self, user_id: str, listed: Sequence[Listed]) -> int:
        """End listed sessions of a user, then take them off the list."""
        revoke = self._scripts["session_revoke"]
        questions: list[Question[int]] = [
            revoke.question(
                session=self._key(session_id),
                now_ms=self.cache.now_ms(),
                user=encode_id(user_id),
                mark_ms=MARK_MS,
                safe=True,
            )
            for session_id, _ in listed
        ]
        ended: int = sum(self.cache.wire.trip(questions))
        self._list.take_off(user_id, listed)
        return ended

    def _ask_if_of(self, user: str, session_id: str) -> Question[Session | None]:
        def read(row: Sequence[Any]) -> Session | None:
            ours = row[1] == user and self._is_open(row)
            return session_of(session_id, row[2:]) if ours else None

        command = ("HMGET", self._key(session_id), "expires_ms", "user", *FIELDS)
        return Question(command, read, safe=True, component="sessions")

    def _is_open(self, row: Sequence[Any]) -> bool:
        """Compare `expires_ms`, first of the row, with a clock of our own.

        On the server's clock the key's TTL ends in that same millisecond.
        """
        now = self.cache.now_ms()
        return bool(row[0]) and (isinstance(now, str) or now < int(row[0]))

    def _met(self, session_id: str, row: Sequence[Any] | None) -> Session | None:
        if row is None:
            self._meter.miss()
            return None
        self._meter.hit()
        return session_of(session_id, row)

    def _key(self, session_id: str) -> str:
        return self.cache.get_key("user_session", session_id=session_id)
