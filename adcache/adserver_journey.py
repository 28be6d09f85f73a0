"""One bid request on its way: the time it has left, and what its hops cost."""

import time
from collections.abc import Sequence
from typing import Any

from adcache.connection import RedisAdCache
from adcache.hops import Hops
from adcache.wire import Question


class Journey:
    """Asks Redis on behalf of one request; notes the hops if somebody wants them."""

    def __init__(self, redis_cache: RedisAdCache, trace: Hops | None) -> None:
        self._cache = redis_cache
        self._trace = trace
        self._started = self._since = time.perf_counter()
        self._deadline: float | None = None

    def limit(self, tmax: int | None, network: float) -> None:
        """Take ``tmax`` (milliseconds) of the request, less `network` (seconds)."""
        if tmax is not None:
            self._deadline = self._started + max(0.0, tmax / 1000 - network)

    @property
    def late(self) -> bool:
        """Whether the exchange has stopped waiting."""
        return self._deadline is not None and time.perf_counter() > self._deadline

    def trip(self, name: str, questions: Sequence[Question[Any]]) -> list[Any]:
        """Ask in one wait for the network; an error stands in an answer's place."""
        wire, trace = self._cache.wire, self._trace
        if trace is None:
            return wire.trip(questions, keep_errors=True)
        travelled: list[list[tuple[Any, Any]]] = []
        try:
            return wire.trip(
                questions,
                watch=lambda pairs, _: travelled.append(pairs),
                keep_errors=True,
            )
        finally:
            self._note(name, travelled)

    def end(self, name: str) -> None:
        """Note what was computed since the last trip."""
        if self._trace is not None:
            self._note(name, [])

    def _note(self, name: str, travelled: list[list[tuple[Any, Any]]]) -> None:
        now = time.perf_counter()
        if self._trace is not None:
            self._trace.add(name, self._cache.keys, travelled, now - self._since)
        self._since = time.perf_counter()
