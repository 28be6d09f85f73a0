"""Which campaigns may bid? The lists of the targeting index, read for one request.

The best lines of each interest at this place are read as they were written, one
GET a cell. What the page is about stands in the request: those cells are asked
for with the first trip. What only the user's interests lead to takes a second
one, unless the near cache has it.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from adcache.ad_line import ALL_LOCATIONS, ANY_INTEREST, AdLine
from adcache.adserver_journey import Journey
from adcache.campaigns import CampaignCache
from adcache.campaigns_index import READY
from adcache.connection import RedisAdCache
from adcache.eligibility import Visitor, by_bid
from adcache.errors import InvalidValue, shown
from adcache.keys import encode_id
from adcache.near import NearCache
from adcache.wire import Question

KEPT = 20_000  # questions
Name = tuple[str, str]  # of a cell: interest and place


class Search:
    """What one request has found so far, as of `now_ms` (the server's time)."""

    __slots__ = ("asked", "found", "now_ms", "overdue", "ticket")

    def __init__(self, now_ms: int) -> None:
        self.now_ms = now_ms
        self.found: dict[Name, list[AdLine]] = {}
        self.asked: list[Name] = []  # in the trip that is under way
        self.overdue: list[Name] = []  # a campaign has started or ended there
        self.ticket = 0  # of the near cache


class Cells:
    """Reads the targeting index on behalf of the ad server, `best` lines a cell."""

    def __init__(
        self, redis_cache: RedisAdCache, near: NearCache | None, best: int
    ) -> None:
        self.near = near
        self._best = best
        self._campaigns = CampaignCache(redis_cache)
        if type(best) is not int or not 1 <= best <= READY:
            raise InvalidValue(f"best must be 1 to {READY} lines, got {shown(best)}")
        self._of_cell = lru_cache(maxsize=KEPT)(self._campaigns.ask_ready)

    def ask(
        self, search: Search, interests: tuple[str, ...], place: str | None
    ) -> list[Question[Any]]:
        """Ask for the cells of these interests that are not found yet."""
        found = search.found
        names = [name for name in _names(interests, place) if name not in found]
        if self.near and names:
            search.ticket = self.near.ticket()
            cells = self.near.get_many([_tag(*name) for name in names])
            for name, cell in zip(names, cells, strict=True):
                if cell is not None and cell.until_ms > search.now_ms:
                    found[name] = self._cut(cell.lines)
            names = [name for name in names if name not in found]
        search.asked = names
        return [self._of_cell(*name) for name in names]

    def take(self, search: Search, answers: Sequence[Any]) -> None:
        """Take the answers to what was asked, in its order."""
        for name, cell in zip(search.asked, answers, strict=True):
            search.found[name] = []
            if isinstance(cell, Exception):
                continue  # the campaigns of one node of a cluster are missing
            if cell.until_ms <= search.now_ms:
                search.overdue.append(name)
                continue
            search.found[name] = self._cut(cell.lines)
            if self.near:
                self.near.put(_tag(*name), cell, search.ticket)

    def _cut(self, lines: list[AdLine]) -> list[AdLine]:
        return lines if len(lines) <= self._best else lines[: self._best]

    def eligible(
        self, journey: Journey, search: Search, visitor: Visitor
    ) -> list[AdLine]:
        """Return the best campaigns for the visitor's interests, by bid.

        Where a campaign has just started or ended, the server makes the list
        anew: one trip more.
        """
        questions = self.ask(search, visitor.interests, visitor.location)
        if questions:
            self.take(search, journey.trip("campaigns", questions))
        if search.overdue:
            self._anew(journey, search)
        names = _names(visitor.interests, visitor.location)
        lists = [lines for name in names if (lines := search.found[name])]
        if len(lists) == 1:
            return lists[0]  # a cell's lines come in this order
        return by_bid({line.campaign_id: line for c in lists for line in c}.values())

    def _anew(self, journey: Journey, search: Search) -> None:
        """Let the server make lists anew; those of a node that is lost stay empty."""
        ask, names = self._campaigns.ask_ads, search.overdue
        lists = journey.trip("campaigns anew", [ask(*n, self._best) for n in names])
        for name, lines in zip(names, lists, strict=True):
            if not isinstance(lines, Exception):
                search.found[name] = lines


@lru_cache(maxsize=10_000)
def _names(interests: tuple[str, ...], location: str | None) -> tuple[Name, ...]:
    """Cells that a visitor's campaigns stand in: each interest, here and anywhere."""
    places = dict.fromkeys((location or ALL_LOCATIONS, ALL_LOCATIONS))
    return tuple((each, p) for each in (*interests, ANY_INTEREST) for p in places)


@lru_cache(maxsize=10_000)
def _tag(interest: str, place: str) -> str:
    """The hash tag of a cell's keys, as the near cache names it."""
    return f"{encode_id(interest)}:{encode_id(place)}"
