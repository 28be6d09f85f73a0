"""Targeting index: copies of campaigns, sorted so that a decision reads only the best.

A cell is an interest at a location. It has four keys of one hash tag, written
together by one script: the board (who may run now, by bid), the lines (what the
ad server must know of each), when somebody enters or leaves the board, and the
best lines as one text: written a few times a day, read with every decision.

The record of a campaign lives elsewhere, often on another node, so record and
copies cannot change in one step. The record changes first and takes a number;
the copies carry it, and in each cell the higher number wins, whoever comes last.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from adcache.ad_line import (
    AdLine,
    Targeting,
    decode_lines,
    make_line,
    read_targeting,
)
from adcache.ad_records import decode_campaign, decode_creative
from adcache.clock import to_epoch_ms
from adcache.connection import RedisAdCache
from adcache.errors import InvalidValue, shown
from adcache.keys import decode_id, encode_id
from adcache.models import CampaignData, Creative
from adcache.wire import Question

MAX_BEST = 1000
MAX_CELLS_KNOWN = 10_000
CELL = (  # slots of the scripts, and the patterns of their keys
    ("board", "targeting_index"),
    ("ads", "targeting_ads"),
    ("due", "targeting_due"),
    ("ready", "targeting_ready"),
)
READY = 64  # lines of the ready text; parts/campaign_turn.lua knows it, too
PLACES = ("interests", "locations", "location")  # what only the index may say


class Change(NamedTuple):
    """What a script answers that changed a campaign (parts/campaign_change.lua)."""

    known: bool
    now_ms: int = 0
    version: int = 0  # 0: it was never indexed, so there are no copies
    cells: Sequence[str] = ()
    left: Sequence[str] = ()  # cells in which a copy must not be found any more
    targeting: str = "{}"
    creatives: str = ""
    record: str = ""
    status: str = ""
    expires_ms: int = 0

    @classmethod
    def read(cls, reply: Sequence[Any]) -> "Change":
        """Read a script's reply."""
        if len(reply) == 1:
            return cls(bool(reply[0]))
        known, now, version, cells, left, targeting, creatives, *rest = reply
        record, status, expires = rest
        return cls(
            bool(known),
            int(now),
            int(version),
            cells.split(),
            left.split(),
            targeting,
            creatives,
            record,
            status,
            int(expires or 0),
        )


class Cell(NamedTuple):
    """The best lines of a cell, and until when (ms since 1970) they are the best.

    From then on a campaign has entered or left: `TargetingIndex.ask_ads` tells.
    """

    until_ms: int
    lines: list[AdLine]


EMPTY = Cell(2**53, [])


class TargetingIndex:
    """The cells in Redis; `keep_ms` is how long a copy is found unless renewed."""

    def __init__(self, redis_cache: RedisAdCache, keep_ms: int) -> None:
        self.cache = redis_cache
        self.keep_ms = keep_ms
        self._scripts = redis_cache.lua_scripts
        self._cells: dict[tuple[str, str], dict[str, Any]] = {}

    def ask_ads(
        self, interest: str, location: str, best: int
    ) -> Question[list[AdLine]]:
        """Ask for the lines of the highest bids in one cell."""
        if type(best) is not int or not 1 <= best <= MAX_BEST:
            raise InvalidValue(f"best must be 1 to {MAX_BEST} lines, got {shown(best)}")
        return self._scripts["campaign_ads"].question(
            decode_lines,
            safe=True,
            now_ms=self.cache.now_ms(),
            best=best,
            **self._keys(interest, location),
        )

    def ask_ready(self, interest: str, location: str) -> Question[Cell]:
        """Ask for the `READY` best lines of one cell by one GET.

        The question remembers the last text it was answered with: the same text
        again, which is the rule, is not decoded again.
        """
        known: tuple[str | None, Cell] = (None, EMPTY)

        def read(text: str | None) -> Cell:
            nonlocal known
            if text != known[0]:
                known = (text, _cell(text) if text else EMPTY)
            return known[1]

        key = self._keys(interest, location)["ready"]
        return Question(("GET", key), read, True, "campaigns")

    def ask_ids(self, interest: str, location: str) -> Question[list[str]]:
        """Ask for the encoded ids of all campaigns on the board of one cell."""
        return self._scripts["campaign_found"].question(
            safe=True, now_ms=self.cache.now_ms(), **self._keys(interest, location)
        )

    def spread(
        self,
        campaign_id: str,
        change: Change,
        creatives: Iterable[Creative] = (),
    ) -> None:
        """Bring a change of a campaign into all cells where it was or will be.

        `creatives` are those at hand; others are read. Safe to repeat, and to
        give up half-way: the next change brings what this one did not.
        """
        line = self._line(campaign_id, change, creatives)
        wanted = [*((cell, line) for cell in change.cells)]
        wanted += [(cell, "") for cell in change.left]
        if not wanted:
            return
        put = self._scripts["campaign_list"]
        questions: list[Question[int]] = [
            put.question(
                safe=True,
                now_ms=self.cache.now_ms(),
                keep_ms=self.keep_ms,
                campaign=encode_id(campaign_id, "campaign_id"),
                version=change.version,
                line=text,
                **self._keys(*map(decode_id, cell.split(":"))),
            )
            for cell, text in wanted
        ]
        self.cache.wire.trip(questions)
        if change.left:
            self._scripts["campaign_left"](
                index=self.cache.get_key("campaign_index", campaign_id=campaign_id),
                version=change.version,
                safe=True,
            )

    def ask_creative(self, creative_id: str) -> Question[Creative | None]:
        """Ask for a creative's record; None when the cache has none."""
        key = self.cache.get_key("ad_creative", creative_id=creative_id)
        return Question(("GET", key), decode_creative, True, "campaigns")

    def _line(
        self, campaign_id: str, change: Change, creatives: Iterable[Creative]
    ) -> str:
        """Write the line; empty for a campaign that must not be found."""
        if not (change.cells and change.known and change.status == "active"):
            return ""
        campaign = decode_campaign(change.record, change.status, None)
        end_ms = to_epoch_ms(campaign.end_date)
        over_ms = min(end_ms + 1, change.now_ms + self.keep_ms, change.expires_ms)
        targeting = whole_targeting(campaign, msgspec.json.decode(change.targeting))
        ids = msgspec.json.decode(change.creatives or "[]") or campaign.creatives
        found = self._creatives(ids, creatives)
        return make_line(campaign, targeting, found, change.version, over_ms)

    def _creatives(
        self, ids: Sequence[str], at_hand: Iterable[Creative]
    ) -> list[Creative]:
        """The creatives of these ids that exist, in one trip if any is not at hand."""
        have = {creative.creative_id: creative for creative in at_hand}
        missing = [each for each in ids if each not in have]
        for found in self.cache.wire.trip([self.ask_creative(i) for i in missing]):
            if found is not None:
                have[found.creative_id] = found
        return [have[each] for each in ids if each in have]

    def _keys(self, interest: str, location: str) -> dict[str, Any]:
        """Keys of a cell by slot; kept, since every decision asks for several."""
        cell = (interest, location)
        text = isinstance(interest, str) and isinstance(location, str)
        keys = self._cells.get(cell) if text else None
        if keys is None:
            ids = {"interest": interest, "location": location}
            keys = {slot: self.cache.get_key(name, **ids) for slot, name in CELL}
            if len(self._cells) >= MAX_CELLS_KNOWN:
                self._cells.clear()
            self._cells[cell] = keys
        return keys


def _cell(text: str) -> Cell:
    until_ms, *lines = text.split("\n")
    return Cell(int(until_ms), decode_lines(lines))


def whole_targeting(campaign: CampaignData, indexed: dict[str, Any]) -> Targeting:
    """Join the record's targeting with that of the index, which wins where both speak.

    Interests and locations are the index's alone: it decides who is found.
    """
    spoken = {key: value for key, value in indexed.items() if value is not None}
    rest = {k: v for k, v in campaign.targeting.items() if k not in PLACES}
    return read_targeting(rest | spoken)


def cells_of(targeting: Targeting) -> str:
    """Write a targeting's cells as scripts and keys have them."""
    return " ".join(
        f"{encode_id(interest, 'interest')}:{encode_id(location, 'location')}"
        for interest in targeting.interests
        for location in targeting.locations
    )
