"""Loads under way in this process: one thread goes to Redis, the others wait for it.

Only callers who found no fresh copy come here; a hit never takes this lock.
"""

import os
import threading
import time

from adcache.errors import LoaderFailed, shown


class Flight:
    """One load under way; its outcome is set once, by the thread that flies it.

    `body` is the JSON that came out. It stays None, with `error`, when the load
    failed; with neither of them nothing came out and the next caller tries again.
    """

    def __init__(self, seconds: float) -> None:
        self.thread = threading.get_ident()
        self.overdue = time.monotonic() + seconds
        self.body: str | None = None
        self.error: LoaderFailed | None = None
        self._landed = threading.Event()

    def land(self) -> None:
        """Wake those who wait."""
        self._landed.set()

    def wait(self, seconds: float) -> bool:
        """Wait for the outcome; False when it is overdue or `seconds` have passed."""
        left = min(seconds, self.overdue - time.monotonic())
        return self._landed.wait(max(0.0, left))


class Flights:
    """At most one flight for each name, as long as it is not overdue."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._forget_all()

    def board(self, name: str, seconds: float) -> tuple[Flight, bool]:
        """Return the flight under way, or a new one and True: then fly it.

        A flight that takes longer than `seconds` is left to itself. Raises
        `LoaderFailed` when the thread that flies asks for its own record.
        """
        if self._pid != os.getpid():  # forked: no thread of the parent came along
            self._pid = os.getpid()
            self._forget_all()
        with self._lock:
            flight = self._under_way.get(name)
            if flight is None or flight.overdue <= time.monotonic():
                flight = self._under_way[name] = Flight(seconds)
                return flight, True
        if flight.thread == threading.get_ident():
            raise LoaderFailed(f"load() asked for {shown(name)}, which it is loading")
        return flight, False

    def land(self, name: str, flight: Flight) -> None:
        """End a flight, whatever came out of it."""
        flight.land()
        with self._lock:
            if self._under_way.get(name) is flight:
                del self._under_way[name]

    def forget(self, name: str) -> None:
        """Let callers from now on not wait for a flight that began earlier."""
        with self._lock:
            self._under_way.pop(name, None)

    def _forget_all(self) -> None:
        self._lock = threading.Lock()
        self._under_way: dict[str, Flight] = {}
