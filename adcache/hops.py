"""What one bid request cost on its way: trips, bytes and time, hop by hop.

An exchange waits about 100 ms, network included. `Hops` is the list that the
ad server fills in when it is asked to: each wait for Redis, and what was
computed between two of them. Sizes are those of the Redis protocol (RESP2); a
key counts without its namespace, so they are the same for every learner.
"""

from dataclasses import dataclass, field
from typing import Any

from adcache.keys import KeySpace
from adcache.resp import command_size, reply_size


@dataclass(frozen=True)
class Hop:
    """One part of a request's way; `micros` is wall-clock time in microseconds."""

    name: str
    trips: int
    commands: int
    bytes_out: int
    bytes_in: int
    micros: int


@dataclass
class Hops:
    """The hops of one request, in order; give it to `AdServer.handle` as `trace`."""

    hops: list[Hop] = field(default_factory=list)

    @property
    def trips(self) -> int:
        """Waits for the network."""
        return sum(hop.trips for hop in self.hops)

    @property
    def bytes_out(self) -> int:
        """Bytes sent to Redis."""
        return sum(hop.bytes_out for hop in self.hops)

    @property
    def bytes_in(self) -> int:
        """Bytes that came back."""
        return sum(hop.bytes_in for hop in self.hops)

    @property
    def micros(self) -> int:
        """Microseconds in all."""
        return sum(hop.micros for hop in self.hops)

    def add(
        self,
        name: str,
        keys: KeySpace,
        travelled: list[list[tuple[Any, Any]]],
        seconds: float,
    ) -> None:
        """Add a hop: its trips as lists of (command, reply), and its seconds."""
        pairs = [pair for trip in travelled for pair in trip]
        words = [[_bare(word, keys) for word in command] for command, _ in pairs]
        self.hops.append(
            Hop(
                name,
                trips=len(travelled),
                commands=len(pairs),
                bytes_out=sum(command_size(command) for command in words),
                bytes_in=sum(
                    reply_size(str(command[0]), _bare(reply, keys))
                    for command, (_, reply) in zip(words, pairs, strict=True)
                ),
                micros=round(seconds * 1e6),
            )
        )

    def __str__(self) -> str:
        heads = ("hop", "trips", "commands", "bytes out", "bytes in", "microseconds")
        totals = ("total", self.trips, sum(h.commands for h in self.hops))
        rows = [heads, *(tuple(vars(hop).values()) for hop in self.hops)]
        rows.append((*totals, self.bytes_out, self.bytes_in, self.micros))
        widths = [max(len(f"{row[n]}") for row in rows) for n in range(len(heads))]
        return "\n".join(
            "  ".join(
                f"{cell:<{width}}" if n == 0 else f"{cell:>{width}}"
                for n, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
            for row in rows
        )


def _bare(word: Any, keys: KeySpace) -> Any:
    """Take the namespace off a key; an error reply counts as its text."""
    if isinstance(word, list):
        return [_bare(part, keys) for part in word]
    if isinstance(word, Exception):
        return str(word)
    return keys.strip(word) if isinstance(word, str) else word
