"""Four ways to keep a cache beside a database, and what each of them promises.

`RecordCache` reads and writes the records of a system of record (see
`strategies_records.py`) by one of the strategies in `CacheStrategy`.
"""

import secrets
import threading
from enum import Enum
from typing import Any

from adcache.clock import Seconds, to_ms
from adcache.connection import RedisAdCache
from adcache.envelope import from_json, open_envelope, to_json
from adcache.errors import InvalidValue, shown
from adcache.keys import encode_id
from adcache.refresh import jittered
from adcache.strategies_queue import Flushed, WriteLag, WriteQueue
from adcache.strategies_records import SystemOfRecord
from adcache.wire import Question


class CacheStrategy(Enum):
    """When a write reaches the database, and when the cache.

    For all four: a read finds the copy or loads the record and keeps a copy,
    unless the record was written since (so no read puts an old value back). A
    read that begins after a write has returned sees that write or a later one.
    If the program that writes is killed, the database has the write or not; the
    cache has nothing older than the database, but for the cases named here. Who
    writes the database by another way is seen by all after `ttl`.

    - CACHE_ASIDE: `put` drops the copy, stores, and lets copies be made again.
      Two trips. While it runs, reads go to the database. Only if it takes longer
      than `lease` and is then killed can an old copy live, for up to `ttl`.
    - WRITE_THROUGH: the same, but the new value becomes the copy: the next read
      is a hit. Of writes at the same time none becomes the copy, because nobody
      but the database knows the last of them. A store that fails leaves no copy.
    - WRITE_AROUND: `put` stores, then drops the copy. One trip, for records that
      are written more than read. Between the two steps reads see the old value;
      killed between them, or without Redis, they see it for up to `ttl`.
    - WRITE_BACK: `put` returns when Redis has the write, in one trip and without
      the database; `flush` carries it there later. All readers of the cache see
      it at once; those who read the database itself see it after the lag. Killed
      callers and writers lose nothing. Redis is the only one that has a queued
      write: it is lost if Redis loses it (run it with appendfsync always, and
      maxmemory-policy noeviction). On a cluster all of a kind is on one node.
    """

    WRITE_THROUGH = "write_through"
    WRITE_BACK = "write_back"
    WRITE_AROUND = "write_around"
    CACHE_ASIDE = "cache_aside"


class RecordCache:
    """Reads and writes records of one `kind`, by one strategy.

    Values are what JSON gives back unchanged: dicts with text keys, lists, text,
    numbers. All programs that write a kind must do it through this class;
    write-back does not mix with the other three. Raises `InvalidValue` before
    anything is written, `UnreadableRecord` for a copy of another program's, and
    `RedisUnavailable`; errors of the database come out unchanged.

    >>> from adcache import SqliteRecords, connect
    >>> ads = RecordCache(connect("fakeredis://"), "ads", SqliteRecords(":memory:"))
    >>> ads.put("ad-1", {"format": "video"})
    >>> ads.get("ad-1")
    {'format': 'video'}
    """

    def __init__(
        self,
        redis_cache: RedisAdCache,
        kind: str,
        records: SystemOfRecord,
        strategy: CacheStrategy = CacheStrategy.CACHE_ASIDE,
        ttl: Seconds | None = None,
        *,
        lease: Seconds = 10,
        jitter: float = 0.1,
    ) -> None:
        """Set the times in seconds.

        A copy lives for `ttl` (the config's default_ttl), made shorter by up to
        the share `jitter`. A load, a write or a batch that takes longer than
        `lease` is given up by the others: its copy is not kept, its writes are
        taken by another writer. Raises `InvalidValue`.
        """
        encode_id(kind, "kind")
        if not isinstance(strategy, CacheStrategy):
            known = ", ".join(strategy.name for strategy in CacheStrategy)
            raise InvalidValue(
                f"strategy must be a CacheStrategy ({known}), got {shown(strategy)}"
            )
        jittered(1, jitter)  # refuses a bad share
        self.cache = redis_cache
        self.kind = kind
        self.records = records
        self.strategy = strategy
        self._ttl_ms = to_ms(redis_cache.config.default_ttl if ttl is None else ttl)
        self._lease_ms = to_ms(lease, "lease")
        self._jitter = jitter
        self._scripts = redis_cache.lua_scripts
        self._meter = redis_cache.metrics.meter("strategies")
        self._queue: WriteQueue | None = None
        self._patterns = ("record", "record_lease")
        if strategy is CacheStrategy.WRITE_BACK:
            self._queue = WriteQueue(redis_cache, kind, records, self._lease_ms)
            self._patterns = ("write_record", "write_lease")

    def get(self, key: str) -> Any:
        """Return the record of `key`, None when there is none.

        A hit is one GET.
        """
        record = self._key(0, key)
        copy = self.cache.wire.execute("GET", record, safe=True, meter=self._meter)
        if copy is not None:
            fresh_until, _, _, body = open_envelope(copy)
            now = self.cache.now_ms()
            if now == "" or int(now) < fresh_until:  # else the manual clock went on
                self._meter.hit()
                return from_json(body)
        self._meter.miss()
        return self._load(key, record)

    def put(self, key: str, value: Any) -> None:
        """Write the record of `key`, as the strategy says.

        Raises `InvalidValue` before anything is written, `RedisUnavailable`
        (then the database may have the value, or write-back's queue), and the
        database's own errors.
        """
        if value is None:
            raise InvalidValue(f"put({shown(key)}, None): delete() removes a record")
        self._write(key, value, to_json(value, f"the value of {shown(key)}"))

    def delete(self, key: str) -> None:
        """Remove the record of `key`, as the strategy says; errors as for `put`."""
        self._write(key, None, "")

    def flush(self, limit: int = 100) -> Flushed:
        """Store up to `limit` (1 to 1000) queued writes: write-back's writer.

        Several writers may run. Each takes a batch for `lease` seconds; nothing
        leaves the queue before it is stored, so a writer killed at any point
        loses nothing. What it had stored is stored again with the same version,
        which changes nothing. A write that fails stays, to be retried after
        0.5 s, then twice as long each time, up to 60 s; others do not wait for it.
        """
        return self._write_back().flush(limit)

    def run_writer(
        self, stop: threading.Event, limit: int = 100, pause: Seconds = 0.1
    ) -> int:
        """Flush until `stop` is set; returns how many writes were stored.

        With nothing to do it looks again after `pause` seconds. While Redis is
        away it goes on trying.
        """
        return self._write_back().run_writer(stop, limit, to_ms(pause, "pause") / 1000)

    def lag(self) -> WriteLag:
        """Say how many writes the database does not have yet, and since when."""
        return self._write_back().lag()

    def _load(self, key: str, record: str) -> Any:
        """Ask write-back's queue, then the database; keep a copy if that is safe."""
        _refuse_unwritable(key)
        lease = self._key(1, key)
        claim: Question[str] = self._scripts["record_claim"].question(
            lease=lease,
            now_ms=self.cache.now_ms(),
            token=f"r:{secrets.token_hex(8)}",
            lease_ms=self._lease_ms,
            safe=True,
        )
        questions: list[Question[Any]] = [claim]
        if self._queue:
            questions.append(self._queue.ask_waiting(key))
        token, *waiting = self.cache.wire.trip(questions)
        if waiting and waiting[0]:
            body = waiting[0].body  # newer than what the database has
        else:
            body = to_json(self.records.load(key), f"what load({shown(key)}) returned")
        if token and body:
            self._scripts["record_fill"](
                record=record,
                lease=lease,
                now_ms=self.cache.now_ms(),
                token=token,
                ttl_ms=self._copy_ms(),
                body=body,
                safe=True,
            )
        return from_json(body)

    def _write(self, key: str, value: Any, body: str) -> None:
        _refuse_unwritable(key)
        record, lease = self._key(0, key), self._key(1, key)
        if self._queue:
            self._queue.put(key, record, lease, self._copy_ms(), body)
            return
        writer = f"w:{secrets.token_hex(8)}"
        if self.strategy is not CacheStrategy.WRITE_AROUND:
            self._scripts["record_begin"](
                record=record,
                lease=lease,
                now_ms=self.cache.now_ms(),
                writer=writer,
                lease_ms=self._lease_ms,
                safe=True,
            )
        keep = ""  # a store that raised may have stored all the same
        try:
            self.records.store(key, value)
            keep = body if self.strategy is CacheStrategy.WRITE_THROUGH else ""
        finally:
            self._scripts["record_finish"](
                record=record,
                lease=lease,
                now_ms=self.cache.now_ms(),
                writer=writer,
                ttl_ms=self._copy_ms(),
                body=keep,
                safe=True,
            )

    def _copy_ms(self) -> int:
        """How long the next copy lives, in ms."""
        return max(1, round(1000 * jittered(self._ttl_ms / 1000, self._jitter)))

    def _key(self, which: int, key: str) -> str:
        """Redis key of the copy (0) or of its lease (1)."""
        pattern = self._patterns[which]
        try:
            return self.cache.get_key(pattern, kind=self.kind, record_id=key)
        except InvalidValue:
            encode_id(key, "key")  # says it by the name that callers know
            raise

    def _write_back(self) -> WriteQueue:
        if self._queue is None:
            raise InvalidValue(
                f"{self.strategy.name} stores at once and has no queue: only "
                "WRITE_BACK has flush, run_writer and lag"
            )
        return self._queue


def _refuse_unwritable(key: str) -> None:
    """A database cannot keep a key that is no proper Unicode text."""
    try:
        key.encode()
    except (UnicodeEncodeError, AttributeError):
        raise InvalidValue(
            f"key must be text that UTF-8 can write, got {shown(key)}"
        ) from None
