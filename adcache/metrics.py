"""What the cache does, counted where it happens: in the process that asks.

A server's own hit rate mixes all its clients and commands. These meters belong
to one `RedisAdCache`: one per component, with its calls, hits, misses and
errors, and the times of its last calls. Counting costs a fraction of a
microsecond, so it is always on; `CacheMonitor` reads it.
"""

import math
import os
import threading
import weakref
from collections import deque
from collections.abc import Iterable

RECENT = 1024  # calls whose times are kept, for the percentiles
_everywhere: "weakref.WeakSet[Metrics]" = weakref.WeakSet()  # for a forked child


class Meter:
    """The figures of one component; safe to use from many threads."""

    __slots__ = ("_lock", "calls", "errors", "hits", "misses", "recent")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.calls = self.hits = self.misses = self.errors = 0
        self.recent: deque[float] = deque(maxlen=RECENT)  # seconds

    def took(self, seconds: float) -> None:
        """Note a call that waited `seconds` for its reply."""
        self.recent.append(seconds)
        with self._lock:
            self.calls += 1

    def hit(self, count: int = 1) -> None:
        """Note that something asked for was there."""
        with self._lock:
            self.hits += count

    def miss(self, count: int = 1) -> None:
        """Note that something asked for was not there."""
        with self._lock:
            self.misses += count

    def failed(self) -> None:
        """Note a call that ended in an error."""
        with self._lock:
            self.errors += 1

    @property
    def hit_rate(self) -> float | None:
        """Hits per look-up, 0 to 1; None when nothing was looked up yet."""
        looked_up = self.hits + self.misses
        return self.hits / looked_up if looked_up else None

    def percentile(self, share: float) -> float | None:
        """Seconds that `share` (0 to 1) of the recent calls stayed within.

        The nearest-rank definition: a time that was measured, never a mean of
        two. None before the first call.
        """
        times = sorted(self.recent)
        if not times:
            return None
        return times[max(0, math.ceil(share * len(times)) - 1)]

    def forget_locks(self) -> None:
        """In a forked child: the lock may have been held by a thread left behind."""
        self._lock = threading.Lock()


class Metrics:
    """One `Meter` per component, made when it is first asked for."""

    def __init__(self) -> None:
        self._meters: dict[str, Meter] = {}
        _everywhere.add(self)

    def meter(self, component: str) -> Meter:
        """Return the meter of a component, such as ``profiles``."""
        try:
            return self._meters[component]
        except KeyError:
            return self._meters.setdefault(component, Meter())

    def took(self, components: Iterable[str], seconds: float) -> None:
        """Note a call of each of these components: they waited together."""
        for component in components:
            meter = self._meters.get(component) or self.meter(component)
            meter.recent.append(seconds)
            with meter._lock:
                meter.calls += 1

    def all(self) -> dict[str, Meter]:
        """Return every meter by its component's name."""
        return dict(sorted(self._meters.items()))


def _after_fork() -> None:
    for metrics in _everywhere:
        for meter in metrics.all().values():
            meter.forget_locks()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_after_fork)
