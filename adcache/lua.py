"""Lua scripts called by slot name, so that two numbers cannot change places.

Each file in ``scripts/`` is one atomic decision. Its header is its contract::

    -- KEYS[1] auction     what lives there
    -- ARGV[1] now_ms      unit and meaning
    -- ARGV[2+] bids       any number of values from here on

`Script` reads the slots from the header and puts named values in their place.
What several scripts share stands in ``scripts/parts/``; the line ``-- include
clock.lua`` is replaced by that part.
"""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

from redis.exceptions import NoScriptError

from adcache.wire import Answer, Question, Wire, as_it_is

# Whose meter a script's calls go to, where the file's first word is not its name.
COMPONENT_OF = {
    "ad": "creatives",
    "auction": "bidding",
    "bid": "bidding",
    "budget": "pacing",
    "campaign": "campaigns",
    "interest": "targeting",
    "profile": "profiles",
    "record": "strategies",
    "segment": "profiles",
    "session": "sessions",
    "user": "privacy",
    "write": "strategies",
}
_INCLUDE = re.compile(r"^-- include (\w+\.lua)$", re.MULTILINE)
_SLOT = re.compile(r"^-- (KEYS|ARGV)\[(\d+)(\+?)\] +(\w+)", re.MULTILINE)


class Script:
    """One Lua script: `source` to read, and a call with a value per slot."""

    def __init__(self, name: str, source: str, wire: Wire) -> None:
        self.name = name
        self.source = source
        self.sha = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()
        word = name.partition("_")[0]
        self.component = COMPONENT_OF.get(word, word)
        self._wire = wire
        self._meter = wire.metrics.meter(self.component)
        wire.scripts[self.sha] = source
        self.keys, self.more_keys = _slots(name, source, "KEYS")
        self.args, self.more_args = _slots(name, source, "ARGV")
        rest = [slot for slot in (self.more_keys, self.more_args) if slot]
        self.slots = (*self.keys, *self.args, *rest)

    def __call__(self, *, safe: bool = False, **values: Any) -> Any:
        """Run the script on the server; `safe` as in `Wire.execute`.

        A server that does not know the script yet (a restart, SCRIPT FLUSH, a
        failover) gets its source with the same call. Raises TypeError for a
        missing or unknown slot.
        """
        keys, args = self._lay_out(values)
        run, meter = self._wire.execute, self._meter
        try:
            return run(
                "EVALSHA", self.sha, len(keys), *keys, *args, safe=safe, meter=meter
            )
        except NoScriptError:
            return run(
                "EVAL", self.source, len(keys), *keys, *args, safe=safe, meter=meter
            )

    def question(
        self,
        read: Callable[[Any], Answer] = as_it_is,
        *,
        safe: bool = False,
        **values: Any,
    ) -> Question[Answer]:
        """Prepare a call for `Wire.trip`; `read` turns its reply into the answer."""
        keys, args = self._lay_out(values)
        command = ("EVALSHA", self.sha, len(keys), *keys, *args)
        return Question(command, read, safe, self.component)

    def in_order(
        self,
        read: Callable[[Any], Answer],
        keys: Sequence[Any],
        args: Sequence[Any],
        *,
        safe: bool = False,
    ) -> Question[Answer]:
        """As `question`, with values in the order of the header, for busy callers.

        Nobody looks whether they stand in their places.
        """
        command = ("EVALSHA", self.sha, len(keys), *keys, *args)
        return Question(command, read, safe, self.component)

    def _lay_out(self, values: Mapping[str, Any]) -> tuple[list[Any], list[Any]]:
        """Put named values into the order of the header's slots."""
        try:
            keys = [values[slot] for slot in self.keys]
            args = [values[slot] for slot in self.args]
            if self.more_keys:
                keys += values[self.more_keys]
            if self.more_args:
                args += values[self.more_args]
        except KeyError:
            raise self._wrong_slots(values) from None
        if len(values) != len(self.slots):
            raise self._wrong_slots(values)
        return keys, args

    def __repr__(self) -> str:
        return f"<Script {self.name}({', '.join(self.slots)})>"

    def _wrong_slots(self, values: Mapping[str, Any]) -> TypeError:
        missing = [slot for slot in self.slots if slot not in values]
        unknown = [name for name in values if name not in self.slots]
        return TypeError(f"{self.name}.lua: missing {missing}, unknown {unknown}")


def _slots(name: str, source: str, kind: str) -> tuple[tuple[str, ...], str]:
    """Read the fixed slots and the open-ended last one from the header."""
    fixed: list[str] = []
    rest = ""
    for found, number, open_ended, slot in _SLOT.findall(source):
        if found != kind:
            continue
        if rest or int(number) != len(fixed) + 1:
            raise ValueError(f"{name}.lua: slot {kind}[{number}] is out of order")
        if open_ended:
            rest = slot
        else:
            fixed.append(slot)
    return tuple(fixed), rest


def load_scripts(wire: Wire) -> dict[str, Script]:
    """Load every script of the package, by file name without ``.lua``."""
    return {name: Script(name, source, wire) for name, source in sources().items()}


@cache
def sources() -> dict[str, str]:
    """Read the scripts of the package, with their parts filled in."""
    folder = resources.files("adcache") / "scripts"

    def part(include: re.Match[str]) -> str:
        return (folder / "parts" / include[1]).read_text("utf-8").rstrip()

    return {
        file.name.removesuffix(".lua"): _INCLUDE.sub(part, file.read_text("utf-8"))
        for file in sorted(folder.iterdir(), key=lambda file: file.name)
        if file.name.endswith(".lua")
    }
