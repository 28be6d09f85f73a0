"""The queue of write-back: writes that Redis has and the database not yet."""

import inspect
import threading
import time
from typing import NamedTuple

import msgspec

from adcache.connection import RedisAdCache
from adcache.envelope import from_json
from adcache.errors import (
    CommandRefused,
    InvalidValue,
    RedisUnavailable,
    UnreadableRecord,
    shown,
)
from adcache.keys import decode_id, encode_id
from adcache.strategies_records import SystemOfRecord
from adcache.wire import Question

MAX_BATCH = 1000  # writes taken at once: one script must not hold Redis up
FIRST_RETRY_MS, LAST_RETRY_MS = 500, 60_000
MANY = 20  # attempts, after which the wait no longer grows


class WriteLag(msgspec.Struct, frozen=True):
    """How far the database is behind: writes waiting, seconds the oldest waits."""

    queued: int
    oldest: float


class Flushed(msgspec.Struct, frozen=True):
    """What a flush did: writes taken, stored, and failed (they wait for a retry).

    A write that was taken and is neither stored nor failed comes back by itself
    when its lease ends, or was replaced by a newer one meanwhile.
    """

    taken: int
    stored: int
    failed: int


class Queued(NamedTuple):
    """A write in the queue; `body` is its JSON, '' for a removal."""

    version: int
    attempts: int
    body: str


def retry_after_ms(attempts: int) -> int:
    """Milliseconds until a failed write is retried: doubled each time, 60 s at most.

    >>> [retry_after_ms(attempts) for attempts in (0, 1, 2, 30)]
    [500, 1000, 2000, 60000]
    """
    return int(min(FIRST_RETRY_MS * 2 ** min(attempts, MANY), LAST_RETRY_MS))


class WriteQueue:
    """Puts writes of one kind into Redis and carries them to the database.

    All keys of a kind have one hash tag: its queue lives on one node.
    """

    def __init__(
        self, redis_cache: RedisAdCache, kind: str, records: SystemOfRecord, lease: int
    ) -> None:
        """Take `records`, whose store must know versions; `lease` is in ms."""
        _refuse_without_versions(records)
        self.cache = redis_cache
        self.kind = kind
        self.records = records
        self._lease_ms = lease
        self._scripts = redis_cache.lua_scripts
        self._meter = redis_cache.metrics.meter("strategies")
        self._queue, self._order, self._due, self._versions = (
            redis_cache.get_key(pattern, kind=kind)
            for pattern in ("write_queue", "write_order", "write_due", "write_versions")
        )

    def put(self, key: str, record: str, lease: str, ttl_ms: int, body: str) -> int:
        """Queue JSON and show it to readers, in one step; returns the version."""
        version = self._scripts["write_put"](
            record=record,
            lease=lease,
            queue=self._queue,
            order=self._order,
            due=self._due,
            versions=self._versions,
            now_ms=self.cache.now_ms(),
            id=encode_id(key),
            ttl_ms=ttl_ms,
            body=body,
        )
        return int(version)

    def ask_waiting(self, key: str) -> Question[Queued | None]:
        """Question for the write of `key` in the queue: `Queued`, or None."""
        command = ("HGET", self._queue, encode_id(key))
        return Question(command, _if_queued, safe=True, component="strategies")

    def flush(self, limit: int) -> Flushed:
        """Store up to `limit` writes that are due; see `RecordCache.flush`."""
        number = isinstance(limit, int) and not isinstance(limit, bool)
        if not (number and 1 <= limit <= MAX_BATCH):
            raise InvalidValue(f"limit must be 1 to {MAX_BATCH}, got {shown(limit)}")
        ends = time.monotonic() + self._lease_ms / 1000
        reply = self._scripts["write_take"](
            queue=self._queue,
            due=self._due,
            now_ms=self.cache.now_ms(),
            limit=limit,
            lease_ms=self._lease_ms,
        )
        outcome: list[str | int] = []
        failed = 0
        try:
            for i in range(0, len(reply), 2):
                if time.monotonic() > ends:
                    break  # another writer may have the rest by now
                version, retry = self._store(decode_id(reply[i]), reply[i + 1])
                failed += retry != ""
                outcome += (reply[i], version, retry)
        finally:  # also when interrupted: what is stored need not be stored again
            stored = self._done(outcome) if outcome else 0
        return Flushed(len(reply) // 2, stored, failed)

    def run_writer(self, stop: threading.Event, limit: int, pause: float) -> int:
        """Flush until `stop` is set; see `RecordCache.run_writer`."""
        stored = 0
        while not stop.is_set():
            try:
                flushed = self.flush(limit)
            except (RedisUnavailable, CommandRefused):  # counted by the wire
                stop.wait(pause)
                continue
            stored += flushed.stored
            if flushed.taken < limit:
                stop.wait(pause)
        return stored

    def lag(self) -> WriteLag:
        """Ask how many writes wait, and since when."""
        queued, oldest_ms = self._scripts["write_lag"](
            order=self._order, now_ms=self.cache.now_ms(), safe=True
        )
        return WriteLag(queued, oldest_ms / 1000)

    def _store(self, key: str, entry: str) -> tuple[int, str | int]:
        """Store one write; its version, and '' or the ms until it is retried."""
        queued = Queued(0, MANY, "")
        try:
            queued = _queued(entry)
            self.records.store(key, from_json(queued.body), queued.version)
        except Exception:  # whatever the database says: others must not wait for it
            self._meter.failed()
            return queued.version, retry_after_ms(queued.attempts)
        return queued.version, ""

    def _done(self, outcome: list[str | int]) -> int:
        removed = self._scripts["write_done"](
            queue=self._queue,
            order=self._order,
            due=self._due,
            now_ms=self.cache.now_ms(),
            writes=outcome,
        )
        return int(removed)


def _queued(entry: str) -> Queued:
    """Read an entry of the queue, "version attempts queued_ms JSON"."""
    try:
        version, attempts, _, body = entry.split(" ", 3)
        return Queued(int(version), int(attempts), body)
    except ValueError as error:
        raise UnreadableRecord(
            f"a queued write is not as adcache writes it: {shown(entry)}; write the "
            "record anew"
        ) from error


def _if_queued(entry: str | None) -> Queued | None:
    return None if entry is None else _queued(entry)


def _refuse_without_versions(records: SystemOfRecord) -> None:
    try:
        inspect.signature(records.store).bind("key", {}, 1)
    except TypeError:
        raise InvalidValue(
            "write-back needs a system of record with store(key, value, version) "
            f"that ignores older versions; {type(records).__name__}.store takes none"
        ) from None
