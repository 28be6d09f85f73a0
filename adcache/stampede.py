"""A hot record is loaded once, however many ask for it at the same moment.

A copy of a popular record ends, and everybody who wants it goes to the database
at once: a stampede. Here one caller gets a lease in Redis and loads; the others
take the old copy, or wait for the new one. See also `refresh.py`: how the ends
of copies are spread, and how one caller goes ahead before the end.
"""

import secrets
import time
from collections.abc import Callable
from typing import Any

from adcache.clock import Seconds, to_ms
from adcache.connection import RedisAdCache
from adcache.envelope import from_json, open_envelope, to_json
from adcache.errors import AdCacheError, InvalidValue, LoaderFailed, shown
from adcache.keys import encode_id
from adcache.refresh import RANDOM, Rng, early_refresh, jittered
from adcache.stampede_copies import Copies, Lease, Times
from adcache.stampede_flights import Flight, Flights

SLOWEST_POLL = 0.1  # seconds


class ReadThrough:
    """Reads records through the cache: `get` finds the copy or calls `load`.

    `load(key)` returns the record, made of what JSON knows, or None when there
    is none. Guarantees, for all threads and processes that use one `kind`:

    - One call of `load` for a record while its lease lives. A loader that is
      killed or hangs loses its lease in time; then one more is called.
    - A hit is one GET, without a lock; a TIME goes with it at most once a minute.
    - What a late loader brings is not kept if something newer was loaded, put
      or invalidated since: its token tells ("fencing").
    - When `load` raises, the old copy is served for `stale` seconds beyond its
      end. Without one all callers get `LoaderFailed`, and nobody calls `load`
      again for `pause` seconds. The errors are counted in the meter.

    A reader sees a change in the database after `ttl`, and up to `stale` later
    while loads fail or are under way; at once if `invalidate` or `put` follow it.
    A read that begins after they returned never gets what was loaded before.

    Raises `InvalidValue` for a key or value that cannot be, `LoaderFailed`,
    `UnreadableRecord` for a copy of another program's, and `RedisUnavailable`.

    >>> from adcache import connect
    >>> names = ReadThrough(connect("fakeredis://"), "names", lambda key: key.title())
    >>> [names.get("ada"), names.get("ada")]  # the second finds the copy
    ['Ada', 'Ada']
    """

    def __init__(
        self,
        redis_cache: RedisAdCache,
        kind: str,
        load: Callable[[str], Any],
        ttl: Seconds | None = None,
        *,
        negative_ttl: Seconds = 10,
        stale: Seconds | None = 60,
        lease: Seconds = 5,
        wait: Seconds = 10,
        pause: Seconds = 1,
        poll: Seconds = 0.01,
        jitter: float = 0.1,
        beta: float = 1.0,
        rng: Rng = RANDOM,
    ) -> None:
        """Set the times, all in seconds (int, float or timedelta).

        A record is fresh for `ttl` (the config's default_ttl), made shorter by
        up to the share `jitter`; that there is none is remembered for
        `negative_ttl`. A loader has `lease` to itself. Who waits for the copy
        of another loader looks every `poll`, less often with time, for at most
        `wait`. `beta` as in `early_refresh`. Raises `InvalidValue`.
        """
        encode_id(kind, "kind")
        if not callable(load):
            raise InvalidValue(f"load must be a function of a key, got {shown(load)}")
        number = isinstance(beta, int | float) and not isinstance(beta, bool)
        if not (number and 0 <= beta <= 1000):
            raise InvalidValue(f"beta must be from 0 to 1000, got {shown(beta)}")
        jittered(1, jitter)  # refuses a bad share
        times = Times(
            ttl_ms=to_ms(redis_cache.config.default_ttl if ttl is None else ttl),
            negative_ms=to_ms(negative_ttl, "negative_ttl"),
            stale_ms=0 if stale is None else to_ms(stale, "stale"),
            lease_ms=to_ms(lease, "lease"),
            pause_ms=to_ms(pause, "pause"),
            jitter=jitter,
        )
        self.cache = redis_cache
        self.kind = kind
        self.load = load
        self._wait = to_ms(wait, "wait") / 1000
        self._poll = to_ms(poll, "poll") / 1000
        self._lease = times.lease_ms / 1000
        self._beta, self._rng = beta, rng
        self._copies = Copies(redis_cache, kind, times, rng)
        self._flights = Flights()
        self._meter = redis_cache.metrics.meter("stampede")

    def get(self, key: str) -> Any:
        """Return the record of `key`, or None when there is none.

        Raises `LoaderFailed` when it cannot be loaded and there is no copy to
        serve, and `RedisUnavailable`.
        """
        name = self._copies.name(key)
        copy, body = self._look(name)
        if body is None:
            body = self._renew(key, name, copy)
        return from_json(body)

    def put(self, key: str, value: Any) -> None:
        """Write a newer copy: call it after the database has the new value.

        None says that there is no such record. No load under way can put an
        older value back. Of several writers at once the last put stands, which
        need not be the database's last: use `invalidate` then. Raises
        `InvalidValue` before anything is written.
        """
        body = to_json(value, f"the value of {shown(key)}")
        self._copies.write(key, body)
        self._flights.forget(self._copies.name(key))

    def invalidate(self, key: str) -> bool:
        """Remove the copy, so that the next `get` loads; True if there was one."""
        existed = self._copies.write(key, None)
        self._flights.forget(self._copies.name(key))
        return existed

    def _look(self, name: str) -> tuple[str | None, str | None]:
        """Read the copy, and its JSON if it needs no refresh: this is all of a hit."""
        copy = self.cache.wire.execute("GET", name, safe=True, meter=self._meter)
        if copy is None:
            return None, None
        now = self._copies.clock.now_ms()
        fresh_until, load_ms, _, body = open_envelope(copy)
        if early_refresh(now, fresh_until, load_ms, self._beta, self._rng):
            return copy, None
        self._meter.hit()
        return copy, body

    def _renew(self, key: str, name: str, copy: str | None) -> str:
        """One thread of this process goes on; the others serve the copy or wait."""
        ends = time.monotonic() + self._wait
        while True:
            flight, mine = self._flights.board(name, self._lease)
            if mine:
                return self._fly(key, name, copy, flight, ends)
            body = self._copies.servable(copy)
            if body is not None:
                self._meter.hit()
                return body
            flight.wait(ends - time.monotonic())
            if flight.body is not None:
                self._meter.miss()
                return flight.body
            if flight.error:
                raise LoaderFailed(str(flight.error)) from flight.error.__cause__
            if time.monotonic() >= ends:
                raise self._too_late(key)
            copy, body = self._look(name)
            if body is not None:
                return body

    def _fly(
        self, key: str, name: str, copy: str | None, flight: Flight, ends: float
    ) -> str:
        """Load under a lease, or take the copy that another process has or brings."""
        try:
            lease = self._ask(key, copy, ends)
            if lease.verdict == "load":
                return self._load(key, name, lease, flight)
            if lease.body is None:
                raise LoaderFailed(
                    f"{self._what(key)} could not be loaded just now ({lease.why}); "
                    f"load() may be called again in {lease.left_ms / 1000} s"
                )
            self._meter.hit()
            return lease.body
        except LoaderFailed as error:
            flight.error = error
            raise
        finally:
            self._flights.land(name, flight)

    def _ask(self, key: str, copy: str | None, ends: float) -> Lease:
        """Ask for the lease until there is something to do or to serve."""
        owner, poll = secrets.token_hex(8), self._poll
        while True:
            lease = self._copies.ask(key, owner, copy)
            if lease.verdict != "wait" or lease.body is not None:
                return lease
            left = ends - time.monotonic()
            if left <= 0:
                raise self._too_late(key)
            time.sleep(min(poll, left, lease.left_ms / 1000))
            poll = max(poll, min(2 * poll, SLOWEST_POLL))

    def _load(self, key: str, name: str, lease: Lease, flight: Flight) -> str:
        """Call the loader; serve the old copy if it fails."""
        self._meter.miss()
        started = time.perf_counter()
        try:
            body = to_json(self.load(key), f"what load({shown(key)}) returned")
        except BaseException as error:
            self._copies.release(key, lease.token, error)
            if not isinstance(error, Exception):
                raise
            self._meter.failed()
            served = self._copies.servable(lease.copy)
            if served is not None:
                return served
            raise LoaderFailed(
                f"{self._what(key)} could not be loaded ({type(error).__name__}: "
                f"{error}), and there is no copy to serve"
            ) from error
        load_ms = max(1, round((time.perf_counter() - started) * 1000))
        return self._keep(key, name, lease.token, load_ms, body, flight)

    def _keep(
        self,
        key: str,
        name: str,
        token: str,
        load_ms: int,
        body: str,
        flight: Flight,
    ) -> str:
        """Write the copy, and give it to the threads that have waited for it.

        Who comes from here on does not join them: the copy might be invalidated
        before it asked. When Redis fails now, the callers have the record all
        the same (the meter counts the error).
        """
        self._flights.forget(name)
        try:
            kept, stands = self._copies.keep(key, token, load_ms, body)
        except AdCacheError:
            kept, stands = True, ""
        if kept:
            flight.body = body
            return body
        newer = self._copies.servable(stands)
        return body if newer is None else newer

    def _too_late(self, key: str) -> LoaderFailed:
        return LoaderFailed(
            f"{self._what(key)} was not loaded within {self._wait} s by the caller "
            "that has the lease"
        )

    def _what(self, key: str) -> str:
        return f"record {shown(key)} of kind {shown(self.kind)}"
