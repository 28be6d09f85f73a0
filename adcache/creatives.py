"""Creatives: the ads themselves, kept close to where they are served.

The system of record (a database, the advertisers' tool) is asked only for what
the cache does not know. That there is no creative by some id is known as well,
for a short time: a page that keeps asking for a deleted ad would otherwise ask
the database each time, where a cache of positive answers never helps.
"""

from collections.abc import Callable, Iterable
from typing import Protocol

from adcache.ad_records import (
    UNKNOWN,
    decode_creative,
    decode_markup,
    encode_creative,
)
from adcache.clock import Seconds, to_ms
from adcache.connection import RedisAdCache
from adcache.errors import InvalidValue, shown
from adcache.models import Creative
from adcache.wire import Question

Load = Callable[[str], Creative | None]


class CreativeSource(Protocol):
    """A system of record of creatives: anything that has `load`."""

    def load(self, creative_id: str) -> Creative | None:
        """Return the creative, or None when there is none by this id."""
        ...


class CreativeCache:
    """Creative records by id, loaded from a system of record when unknown.

    `source` is that system; `negative_ttl` (seconds) is how long "there is none"
    is believed. Raises `InvalidValue` before anything is written,
    `UnreadableRecord` for a record that another program wrote, and
    `RedisUnavailable`.

    >>> from adcache import connect
    >>> ads = CreativeCache(connect("fakeredis://"))
    >>> ads.get_creative("nothing by this id") is None
    True
    """

    def __init__(
        self,
        redis_cache: RedisAdCache,
        source: CreativeSource | None = None,
        negative_ttl: Seconds = 30,
    ) -> None:
        self.cache = redis_cache
        self._load: Load | None = None if source is None else source.load
        self._negative_ms = to_ms(negative_ttl, "negative_ttl")
        self._meter = redis_cache.metrics.meter("creatives")

    def set_creative(self, creative: Creative, ttl: Seconds = 7200) -> None:
        """Store a creative for `ttl` seconds, whatever was known of its id before.

        Raises `InvalidValue` before anything is written.
        """
        record, ttl_ms = encode_creative(creative), to_ms(ttl)
        key = self._key(creative.creative_id)
        command = ("SET", key, record, "PX", ttl_ms)
        self.cache.wire.execute(*command, safe=True, meter=self._meter)

    def get_creative(
        self, creative_id: str, load: Load | None = None, ttl: Seconds = 7200
    ) -> Creative | None:
        """Return the creative, or None when there is none.

        One that the cache does not know is asked for with `load` (default: the
        source's) and kept for `ttl` seconds. What is set or deleted while it
        loads is newer, and stands. Errors of `load` come out as they are, and
        nothing is kept then.
        """
        return self.get_many([creative_id], load, ttl)[creative_id]

    def get_many(
        self, creative_ids: Iterable[str], load: Load | None = None, ttl: Seconds = 7200
    ) -> dict[str, Creative | None]:
        """Return several creatives by id in one trip; a second one keeps what loads."""
        if isinstance(creative_ids, str) or not isinstance(creative_ids, Iterable):
            raise InvalidValue(
                f"creative_ids must be several, got {shown(creative_ids)}"
            )
        ttl_ms, load = to_ms(ttl), load or self._load
        ids = list({self._key(each): each for each in creative_ids}.values())
        records = self.cache.wire.trip([self._ask_record(each) for each in ids])
        unknown = [i for i, record in zip(ids, records, strict=True) if record is None]
        found = dict(zip(ids, map(decode_creative, records), strict=True))
        if load and unknown:
            fills = [self._fill(each, load(each), ttl_ms) for each in unknown]
            found |= zip(unknown, self.cache.wire.trip(fills), strict=True)
        return found

    def ask_creative(self, creative_id: str) -> Question[Creative | None]:
        """Ask for a creative that the cache knows; nothing is loaded."""
        return Question(("GET", self._key(creative_id)), self._read, True, "creatives")

    def ask_markup(self, creative_id: str) -> Question[str | None]:
        """Ask for the ad itself (HTML, VAST or native JSON); nothing is loaded."""
        command = ("GET", self._key(creative_id))
        return Question(command, self._read_markup, True, "creatives")

    def get_markup(self, creative_id: str) -> str | None:
        """Return what `ask_markup` asks for; None when the cache knows no such ad."""
        return self.cache.wire.ask(self.ask_markup(creative_id))

    def delete_creative(self, creative_id: str) -> bool:
        """Forget a creative; True when there was one.

        Its id counts as unknown for `negative_ttl` seconds, so that a load which
        began before cannot bring it back.
        """
        forget = self.cache.lua_scripts["ad_forget"]
        key = self._key(creative_id)
        return bool(forget(creative=key, ttl_ms=self._negative_ms, safe=True))

    def _ask_record(self, creative_id: str) -> Question[str | None]:
        command = ("GET", self._key(creative_id))
        return Question(command, self._counted, True, "creatives")

    def _fill(
        self, creative_id: str, loaded: Creative | None, ttl_ms: int
    ) -> Question[Creative | None]:
        """Keep what was loaded, or that there is none; answers what stands."""
        if loaded is not None and getattr(loaded, "creative_id", None) != creative_id:
            raise InvalidValue(
                f"load({creative_id!r}) must return that creative or None, "
                f"got {shown(loaded)}"
            )
        return self.cache.lua_scripts["ad_fill"].question(
            decode_creative,
            safe=True,
            creative=self._key(creative_id),
            record=UNKNOWN if loaded is None else encode_creative(loaded),
            ttl_ms=self._negative_ms if loaded is None else ttl_ms,
        )

    def _counted(self, record: str | None) -> str | None:
        """Count a hit or a miss; to know that there is none is a hit."""
        if record is None:
            self._meter.miss()
        else:
            self._meter.hit()
        return record

    def _read(self, record: str | None) -> Creative | None:
        return decode_creative(self._counted(record))

    def _read_markup(self, record: str | None) -> str | None:
        return decode_markup(self._counted(record))

    def _key(self, creative_id: str) -> str:
        return self.cache.get_key("ad_creative", creative_id=creative_id)
