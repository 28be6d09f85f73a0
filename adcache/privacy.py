"""Privacy: a user is forgotten on request, and stays so.

`erase_user` first suppresses the user, so that from then on no component stores
anything new; then it removes what the components hold, in bounded steps; then
it searches the namespace and returns a proof. Interrupted at any point it is
simply run again: what leads to other keys is removed after them.

Whether a user may be profiled at all is for `adcache.consent` to say.
"""

import time
from collections import Counter
from datetime import datetime

from adcache.clock import Seconds, from_epoch_ms, to_ms
from adcache.connection import RedisAdCache
from adcache.consent import Basis, may_profile
from adcache.errors import InvalidValue, shown
from adcache.keys import encode_id
from adcache.privacy_proof import ErasureProof, Lingering
from adcache.privacy_search import Search
from adcache.profiles import UserProfileCache
from adcache.sessions import MARK_MS
from adcache.sessions_list import Listed, SessionList
from adcache.wire import Question

__all__ = ["Basis", "ErasureProof", "Lingering", "UserPrivacy", "may_profile"]
SUPPRESSION = 400 * 86_400  # seconds: longer than any id of a browser lives
PAGE = 100  # sessions that one round ends
ROUNDS = 1000  # of those, so that nobody who begins sessions can keep it busy
SEARCHES = 3  # the last one should find nothing to remove


class UserPrivacy:
    """Suppresses and erases users, and tells who is suppressed.

    A suppression lasts 400 days if you do not say otherwise: while it does,
    profiles, segments, sessions and leases of caps are refused. The flag itself
    names the user, for that is the only way to know whom to refuse. A bare
    `check_frequency_cap` looks at no flag: whoever calls it for a suppressed
    user counts, and the next erasure removes it. Calls raise `InvalidValue` before
    anything is written, and `RedisUnavailable`.

    >>> from adcache import connect
    >>> privacy = UserPrivacy(connect("fakeredis://"))
    >>> bool(privacy.erase_user("ada")), privacy.is_suppressed("ada")
    (True, True)
    """

    def __init__(self, redis_cache: RedisAdCache) -> None:
        self.cache = redis_cache
        self._profiles = UserProfileCache(redis_cache)
        self._sessions = SessionList(redis_cache)

    def suppress(self, user_id: str, ttl: Seconds = SUPPRESSION) -> datetime:
        """Refuse to store anything of the user for `ttl` seconds; returns the end.

        A suppression that ends later stays. Raises `InvalidValue`.
        """
        key, life_ms = self._key(user_id), to_ms(ttl)
        _, _, left_ms = self.cache.wire.trip(
            [
                _question("SET", key, self._now_ms(), "PX", life_ms, "NX"),
                _question("PEXPIRE", key, life_ms, "GT"),
                _question("PTTL", key),
            ]
        )
        return from_epoch_ms(self._now_ms() + left_ms)

    def unsuppress(self, user_id: str) -> bool:
        """Allow to store the user's data again; False when that was allowed."""
        return bool(self.cache.wire.execute("DEL", self._key(user_id), safe=True))

    def is_suppressed(self, user_id: str) -> bool:
        """Say whether nothing may be stored of the user."""
        return self.cache.wire.ask(self.ask_suppressed(user_id))

    def ask_suppressed(self, user_id: str) -> Question[bool]:
        """Prepare `is_suppressed` for a trip that carries more questions."""
        return Question(("EXISTS", self._key(user_id)), bool, True, "privacy")

    def erase_user(
        self,
        user_id: str,
        *,
        suppress_for: Seconds = SUPPRESSION,
        max_keys: int = 1_000_000,
    ) -> ErasureProof:
        """Forget a user: suppress, remove, search, and prove it.

        The search looks at `max_keys` keys of the server in steps of 250, up to
        three times, until nothing more turns up; a server with more keys needs
        a larger number, or the proof says that it is not complete. A second
        call proves that nothing was left. Raises `InvalidValue` before anything
        is written, and `RedisUnavailable`: then call it again.
        """
        if type(max_keys) is not int or max_keys < 1:
            raise InvalidValue(
                f"max_keys must be a whole number >= 1, got {shown(max_keys)}"
            )
        to_ms(suppress_for, "suppress_for")
        started = self._now_ms()
        until = self.suppress(user_id, suppress_for)
        removed: Counter[str] = Counter()
        removed["profiles"] += self._profiles.delete_user_profile(
            user_id, everywhere=True
        )
        self._end_sessions(user_id, removed)
        windows = self.cache.get_key("frequency_cap", user_id=user_id)
        removed["frequency"] += self.cache.wire.ask(_question("UNLINK", windows))
        for _ in range(SEARCHES):
            search = Search(self.cache, user_id).run(max_keys)
            removed += search.removed
            if not search.removed.total():
                break
        return ErasureProof(
            user_id=user_id,
            started_at=from_epoch_ms(started),
            finished_at=from_epoch_ms(self._now_ms()),
            suppressed_until=until,
            removed=dict(+removed),
            remaining=dict(+search.removed),
            lingering=search.lingering,
            sketches=search.sketches,
            keys_scanned=search.scanned,
            values_searched=search.searched,
            unreadable=search.unreadable,
            complete=search.complete,
        )

    def _end_sessions(self, user_id: str, removed: Counter[str]) -> None:
        """Per page: end the sessions, then what is known of them, then the list.

        In this order nothing is lost sight of when it is interrupted, and no
        page event can bring interests back into a session that has ended.
        """
        for _ in range(ROUNDS):
            listed = self._sessions.first(user_id, PAGE)
            if not listed:
                return
            self._end_page(user_id, listed, removed)
            self._sessions.take_off(user_id, listed)

    def _end_page(
        self, user_id: str, listed: list[Listed], removed: Counter[str]
    ) -> None:
        revoke, get_key = self.cache.lua_scripts["session_revoke"], self.cache.get_key
        names = [name for name, _ in listed]
        keys = [get_key("user_session", session_id=name) for name in names]
        user = encode_id(user_id, "user_id")
        ended: list[Question[int]] = [
            revoke.question(
                session=key,
                now_ms=self.cache.now_ms(),
                user=user,
                mark_ms=MARK_MS,
                safe=True,
            )
            for key in keys
        ]
        removed["sessions"] += sum(self.cache.wire.trip(ended))
        # In a trip of its own: a script that the server must learn first runs late.
        owners = self.cache.wire.trip([_question("HGET", key, "user") for key in keys])
        forgotten = [
            _question("UNLINK", get_key(pattern, session_id=name))
            for name, owner in zip(names, owners, strict=True)
            if owner is None  # else the id is another user's session by now
            for pattern in ("session_interests", "session_events")
        ]
        removed["targeting"] += sum(self.cache.wire.trip(forgotten))

    def _key(self, user_id: str) -> str:
        return self.cache.get_key("user_suppressed", user_id=user_id)

    def _now_ms(self) -> int:
        """For the records only: nothing is decided by this time."""
        clock = self.cache.clock
        return clock.now_ms() if clock else round(time.time() * 1000)


def _question(*command: str | int) -> Question[int]:
    """All that an erasure does may be done twice."""
    return Question(command, safe=True, component="privacy")
