"""The libraries to compare with, as PyPI has them; who is missing is named."""

import importlib
from collections.abc import Callable, Iterator
from importlib import metadata
from typing import Any

from tools.bench.measure import Absent, Contender, Run

PEERS = {  # name on PyPI -> module to import
    "limits": "limits",
    "throttled-py": "throttled",
    "pyrate-limiter": "pyrate_limiter",
    "redis-om": "redis_om",
    "dogpile.cache": "dogpile.cache",
    "django-redis": "django_redis",
    "cashews": "cashews",
    "aiocache": "aiocache",
}


def peer(
    name: str, make: Callable[[], Run], label: str = ""
) -> Iterator[Contender | Absent]:
    """Yield the peer's contender; or who is left out, if it is not installed."""
    label = label or name
    try:
        importlib.import_module(PEERS[name])
    except ImportError:
        yield Absent(label, "not installed (make bench installs it)")
        return
    yield Contender(label, make(), peer=True)


def versions() -> dict[str, str]:
    """Return the version of each peer that is installed."""
    found = {}
    for name in PEERS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def module(name: str) -> Any:
    """Import a module of a peer: untyped on purpose, it may not be there."""
    return importlib.import_module(name)
