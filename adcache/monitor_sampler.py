"""A thread that does something again and again until it is told to stop.

`time.sleep(interval)` in a loop cannot be woken: a stop would take effect a
minute later, and a start in between would make a second thread. An Event waits
as long, and ends at once when it is set.
"""

import os
import threading
from collections.abc import Callable

STOP_WAIT = 0.04  # seconds for a thread that is just talking to a server

Work = Callable[[threading.Event], object]


class Sampler:
    """Calls `work(stopped)` at once and then every interval, in one thread."""

    _thread: threading.Thread | None

    def __init__(self, work: Work) -> None:
        self._work = work
        self._forget()

    @property
    def running(self) -> bool:
        """Is there a thread, in this process? (A fork takes none along.)"""
        here = self._pid == os.getpid()
        return here and self._thread is not None and self._thread.is_alive()

    def start(self, interval: float) -> bool:
        """Start the thread; False when one runs already, whatever its interval."""
        if self._pid != os.getpid():
            self._forget()
        with self._lock:
            if self.running:
                return False
            self._stopped = threading.Event()
            self._thread = threading.Thread(
                target=self._loop,
                args=(interval, self._stopped),
                name="adcache-monitor",
                daemon=True,
            )
            self._thread.start()
            return True

    def stop(self) -> bool:
        """Wake the thread and wait for its end; False if it did not end in 40 ms.

        Such a thread waits for a server that hangs. It ends with that call, and
        `stopped` is set, so that it leaves nothing behind.
        """
        if self._pid != os.getpid():
            self._forget()
        with self._lock:
            thread, self._thread = self._thread, None
            self._stopped.set()
        if thread is None or thread is threading.current_thread():
            return True
        thread.join(STOP_WAIT)
        return not thread.is_alive()

    def _loop(self, interval: float, stopped: threading.Event) -> None:
        while not stopped.is_set():
            self._work(stopped)
            stopped.wait(interval)

    def _forget(self) -> None:
        """A new process: the lock may have been held when it was forked."""
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._thread = None
        self._stopped = threading.Event()
