"""What can go wrong, by name: every error says which value and what to do.

Missing data is ``None`` and a refused bid is a result; only what is broken
raises. Each class also derives from the built-in that a Python user would
catch, so ``except ValueError`` works without knowing this package.
"""


def shown(value: object) -> str:
    """Write a value as an error message shows it: never longer than a line."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number of 5000 digits, lists in lists
        text = f"a {type(value).__name__} too long to print"
    return text if len(text) <= 80 else text[:77] + "..."


class AdCacheError(Exception):
    """Base of every error that adcache raises on purpose."""


class InvalidValue(AdCacheError, ValueError):
    """An argument was refused before anything was written."""


class InvalidBidRequest(InvalidValue):
    """A bid request is malformed; `field` is the path of the offending value.

    The path is written as in OpenRTB 2.6, for instance ``imp[0].bidfloor``.
    """

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"bid request: {field} {problem}")
        self.field = field
        self.problem = problem


class UnknownKey(AdCacheError, KeyError):
    """A key pattern was asked for by a wrong name or with wrong ids."""

    def __str__(self) -> str:
        return str(self.args[0])  # KeyError would print the repr


class RedisUnavailable(AdCacheError, ConnectionError):
    """No reply from Redis; for a write it is unknown whether it happened."""


class RedisTimeout(RedisUnavailable, TimeoutError):
    """Redis is there but did not answer within the socket timeout."""


class AccessDenied(AdCacheError, PermissionError):
    """Redis refused the password, or the user may not run this command."""


class CommandRefused(AdCacheError, RuntimeError):
    """Redis answered with an error: wrong type, out of memory, read-only."""


class UnreadableRecord(AdCacheError, ValueError):
    """A stored value is not as adcache writes it: damaged, or another program's."""


class LoaderFailed(AdCacheError, RuntimeError):
    """A record could not be loaded, and there is no copy of it to serve."""


class LibraryMissing(AdCacheError, ImportError):
    """Something was asked for that needs an optional library; the error names it."""


class ServerNotFound(AdCacheError, FileNotFoundError):
    """No redis-server or valkey-server binary was found on this machine."""
