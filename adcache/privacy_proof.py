"""What an erasure can say for itself: what it removed, and what it could not."""

from datetime import datetime, timedelta

import msgspec

# True of every erasure, wherever Redis runs.
NOT_AT_ONCE = (
    "append-only and snapshot files, backups and replicas, until they are rewritten",
    "near caches of running programs, until their entries end",
    "systems of record behind this cache: erase there as well",
    "interests of a session that nobody tied to the user: they hold no user id",
)


class Lingering(msgspec.Struct, frozen=True):
    """How many keys still mention the user, and within how many seconds they end.

    None for `seconds`: one of them has no end.
    """

    keys: int
    seconds: float | None

    def __str__(self) -> str:
        end = "no end" if self.seconds is None else f"gone in {self.seconds:.0f} s"
        return f"{self.keys} ({end})"


class ErasureProof(msgspec.Struct, frozen=True, kw_only=True):
    """Record of one `erase_user`: true when all was searched and nothing is left.

    `removed` counts keys and memberships by component, `remaining` what the last
    search still had to remove: somebody keeps writing. `lingering` is what
    mentions the user and ends by itself, such as stored bid requests; `sketches`
    the HyperLogLogs that may have counted the user and cannot forget one.
    `keys_scanned` of the namespace were looked at, the values of
    `values_searched` read; `complete` is False when the search was cut short.
    `cannot_forget` lists what no command can reach. Times are aware, UTC.
    ``str()`` of it is a report to file; it names the user.
    """

    user_id: str
    started_at: datetime
    finished_at: datetime
    suppressed_until: datetime
    removed: dict[str, int]
    remaining: dict[str, int]
    lingering: dict[str, Lingering]
    sketches: int
    keys_scanned: int
    values_searched: int
    unreadable: int
    complete: bool
    cannot_forget: tuple[str, ...] = NOT_AT_ONCE

    def __bool__(self) -> bool:
        return self.complete and not self.remaining and not self.unreadable

    def __str__(self) -> str:
        took = (self.finished_at - self.started_at) / timedelta(seconds=1)
        scope = "complete" if self.complete else "CUT SHORT, run it again with more"
        lines = [
            f"Erasure of user {self.user_id!r}",
            f"  began       {self.started_at:%Y-%m-%d %H:%M:%S} UTC, took {took:.1f} s",
            f"  suppressed  until {self.suppressed_until:%Y-%m-%d %H:%M} UTC",
            f"  removed     {_listed(self.removed)}",
            f"  remaining   {_listed(self.remaining)}",
            f"  searched    {self.keys_scanned} keys, {self.values_searched} values: "
            f"{scope}",
        ]
        if self.unreadable:
            lines.append(f"  not read    {self.unreadable} keys of an unexpected type")
        lines += [f"  ends later  {name}: {it}" for name, it in self.lingering.items()]
        if self.sketches:
            lines.append(f"  counted in  up to {self.sketches} sketches of reach")
        lines += [f"  not erased  {text}" for text in self.cannot_forget]
        return "\n".join(lines)


def _listed(counts: dict[str, int]) -> str:
    named = [f"{name} {count}" for name, count in sorted(counts.items())]
    return ", ".join(named) or "nothing"
