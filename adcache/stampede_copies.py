"""Copies of records in Redis, and the leases to load them: the scripts by name."""

import contextlib
from typing import NamedTuple

import msgspec

from adcache.connection import RedisAdCache
from adcache.envelope import open_envelope
from adcache.errors import AdCacheError, InvalidValue
from adcache.keys import encode_id
from adcache.refresh import Rng, jittered
from adcache.server_clock import ServerClock

MEMORY = 10  # leases: a loader this late is still told from a newer one


class Times(msgspec.Struct, frozen=True):
    """How long copies and leases last, in ms; `jitter` is a share of the ttl."""

    ttl_ms: int
    negative_ms: int
    stale_ms: int
    lease_ms: int
    pause_ms: int
    jitter: float


class Lease(NamedTuple):
    """The answer to who may load: a verdict, and what goes with it.

    ``load`` with a token; ``fresh`` when a copy has come; ``wait`` with the ms
    that another caller's lease lasts; ``paused`` with the ms to wait and why.
    `body` is the JSON to serve meanwhile, None if the copy is too old.
    """

    verdict: str
    copy: str
    body: str | None
    token: str
    left_ms: int
    why: str


class Copies:
    """The copies and leases of one kind; keys are the callers' own."""

    def __init__(
        self, redis_cache: RedisAdCache, kind: str, times: Times, rng: Rng
    ) -> None:
        self.cache = redis_cache
        self.kind = kind
        self.times = times
        self.clock = ServerClock(redis_cache)
        self._rng = rng
        self._scripts = redis_cache.lua_scripts

    def name(self, key: str) -> str:
        """Redis key of the copy."""
        try:
            return self.cache.get_key("loaded", kind=self.kind, record_id=key)
        except InvalidValue:
            encode_id(key, "key")  # says it by the name that callers know
            raise

    def _lease_name(self, key: str) -> str:
        return self.cache.get_key("loaded_lease", kind=self.kind, record_id=key)

    def ask(self, key: str, owner: str, seen: str | None) -> Lease:
        """Ask for the lease; `seen` is a copy that is to be renewed before its end."""
        verdict, now, copy, token, left_ms, why = self._scripts["stampede_lease"](
            record=self.name(key),
            lease=self._lease_name(key),
            now_ms=self.cache.now_ms(),
            owner=owner,
            lease_ms=self.times.lease_ms,
            memory_ms=MEMORY * self.times.lease_ms,
            seen="" if seen is None else open_envelope(seen)[2],
            safe=True,
        )
        self.clock.learn(now)
        fresh = verdict == "fresh"
        body = open_envelope(copy)[3] if fresh else self.servable(copy)
        return Lease(verdict, copy, body, token, left_ms, why)

    def keep(self, key: str, token: str, load_ms: int, body: str) -> tuple[bool, str]:
        """Write what was loaded if nothing newer is there; the copy that stands."""
        fresh_ms, keep_ms = self._lifetimes(body)
        kept, now, stands = self._scripts["stampede_store"](
            record=self.name(key),
            lease=self._lease_name(key),
            now_ms=self.cache.now_ms(),
            token=token,
            fresh_ms=fresh_ms,
            keep_ms=keep_ms,
            load_ms=load_ms,
            body=body,
            safe=True,
        )
        self.clock.learn(now)
        return kept == 1, stands

    def release(self, key: str, token: str, error: BaseException) -> None:
        """End the lease of a load that failed.

        An interrupt says nothing about the record, so the next caller may load
        at once. Redis' own errors are dropped here: the loader's matters more.
        """
        pause_ms = self.times.pause_ms if isinstance(error, Exception) else 0
        with contextlib.suppress(AdCacheError):
            self._scripts["stampede_release"](
                lease=self._lease_name(key),
                now_ms=self.cache.now_ms(),
                token=token,
                pause_ms=pause_ms,
                why=type(error).__name__,
                safe=True,
            )

    def write(self, key: str, body: str | None) -> bool:
        """Write JSON as the newest copy, or with None remove it; True if one was."""
        fresh_ms, keep_ms = (0, 0) if body is None else self._lifetimes(body)
        existed = self._scripts["stampede_put"](
            record=self.name(key),
            lease=self._lease_name(key),
            now_ms=self.cache.now_ms(),
            memory_ms=MEMORY * self.times.lease_ms,
            fresh_ms=fresh_ms,
            keep_ms=keep_ms,
            body=body or "",
            safe=True,
        )
        return bool(existed)

    def servable(self, copy: str | None) -> str | None:
        """JSON of a copy that is fresh, or stale and not too old; else None."""
        if not copy:
            return None
        fresh_until, _, _, body = open_envelope(copy)
        stale_ms = self.times.stale_ms if body else 0
        return body if self.clock.now_ms() < fresh_until + stale_ms else None

    def _lifetimes(self, body: str) -> tuple[int, int]:
        """How long a copy is fresh, and how long Redis keeps it, in ms."""
        times = self.times
        ttl_ms = times.ttl_ms if body else times.negative_ms
        fresh_ms = max(
            1, round(1000 * jittered(ttl_ms / 1000, times.jitter, self._rng))
        )
        return fresh_ms, fresh_ms + (times.stale_ms if body else 0)
