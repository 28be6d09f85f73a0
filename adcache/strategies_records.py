"""The system of record: where the truth is kept, and what a cache asks of it.

Anything with `load` and `store` will do. `SqliteRecords` is one in a file, with
the standard library alone.
"""

import os
import re
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any, Protocol

from adcache.clock import Seconds, to_ms
from adcache.envelope import from_json, to_json
from adcache.errors import InvalidValue, shown


class SystemOfRecord(Protocol):
    """What a cache asks of the database behind it.

    Both methods may raise what they like: it reaches the caller unchanged.
    """

    def load(self, key: str) -> Any:
        """Return the record of `key`, None when there is none."""
        ...

    def store(self, key: str, value: Any, version: int | None = None) -> None:
        """Keep `value` as the record of `key`; None removes it.

        `version` comes with write-back only, and grows with each write of a
        key. Then a version not above the one that was stored last must change
        nothing, also after a removal: a write that is repeated, or comes after a
        newer one, has no effect. A store for the other strategies may leave
        this parameter out.
        """
        ...


class SqliteRecords:
    """Records in a SQLite file: key, JSON, version. Safe for threads and processes.

    What `store` has returned from survives a crash of the process and of the
    machine. A removed record leaves a row that remembers its version. Errors of
    SQLite come out as `sqlite3.Error`; `timeout` is how many seconds to wait
    for another process that writes. Raises `InvalidValue` for a bad argument.

    >>> records = SqliteRecords(":memory:")
    >>> records.store("ad-1", {"format": "video"}, version=2)
    >>> records.store("ad-1", {"format": "banner"}, version=1)  # came too late
    >>> records.load("ad-1")
    {'format': 'video'}
    """

    def __init__(
        self, path: str | Path, table: str = "records", *, timeout: Seconds = 5
    ) -> None:
        """Open or create `table` in the file; ":memory:" is for one process only."""
        if not isinstance(table, str) or not re.fullmatch(r"[A-Za-z_]\w{0,62}", table):
            raise InvalidValue(
                f"table must be a name of letters, digits and _, got {shown(table)}"
            )
        self.path = str(path)
        self._timeout = to_ms(timeout, "timeout") / 1000
        self._inherited: list[sqlite3.Connection] = []
        self._statements = {
            name: statement.format(table=table)
            for name, statement in _STATEMENTS.items()
        }
        self._open()

    def load(self, key: str) -> Any:
        """Return the record of `key`, None when there is none."""
        with self._mine():
            row = self._connection.execute(self._statements["load"], (key,)).fetchone()
        return from_json(row[0] or "") if row else None

    def store(self, key: str, value: Any, version: int | None = None) -> None:
        """Keep `value` under `key`; None removes it.

        Without a version it replaces whatever is there. With one it does so
        only if the version is above the one there. Raises `InvalidValue` for
        what JSON would change.
        """
        body = to_json(value, f"the value of {shown(key)}") or None
        statement = self._statements["put" if version is None else "put_version"]
        with self._mine():
            self._connection.execute(statement, (key, body, version or 1))

    def version(self, key: str) -> int | None:
        """Return the version stored last, also of a removed record; None if never."""
        with self._mine():
            row = self._connection.execute(
                self._statements["version"], (key,)
            ).fetchone()
        return int(row[0]) if row else None

    def close(self) -> None:
        """Close the file; the object is of no use afterwards."""
        with self._mine():
            self._connection.close()

    def _mine(self) -> threading.Lock:
        """The lock of this process's connection: SQLite forbids to take one along."""
        if self._pid != os.getpid():
            self._inherited.append(self._connection)  # its end would disturb the parent
            self._open()
        return self._lock

    def _open(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(
            self.path,
            timeout=self._timeout,
            isolation_level=None,  # each statement is a transaction of its own
            check_same_thread=False,
        )
        # Of several that turn a new file to WAL at once SQLite refuses all but one
        # on the spot, whatever the timeout: those try again.
        deadline = time.monotonic() + self._timeout
        while True:
            try:
                for name in ("wal", "full", "create"):
                    self._connection.execute(self._statements[name])
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
            else:
                return


_STATEMENTS = {
    "wal": "PRAGMA journal_mode = WAL",  # readers do not wait for a writer
    "full": "PRAGMA synchronous = FULL",  # stored means on the disk
    "create": (
        "CREATE TABLE IF NOT EXISTS {table} "
        "(key TEXT PRIMARY KEY, value TEXT, version INTEGER NOT NULL) WITHOUT ROWID"
    ),
    "load": "SELECT value FROM {table} WHERE key = ?",
    "version": "SELECT version FROM {table} WHERE key = ?",
    "put": (
        "INSERT INTO {table} VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE "
        "SET value = excluded.value, version = version + 1"
    ),
    "put_version": (
        "INSERT INTO {table} VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE "
        "SET value = excluded.value, version = excluded.version "
        "WHERE excluded.version > version"
    ),
}
