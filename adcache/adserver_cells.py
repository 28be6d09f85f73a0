"""Second wait for Redis of a bid request: which campaigns may bid?

The best lines of each interest at this place are read as they were written, one
GET a cell, or come from the near cache, which may save the trip.
"""

from collections.abc import Sequence
from functools import lru_cache

from adcache.ad_line import ALL_LOCATIONS, ANY_INTEREST, AdLine
from adcache.adserver_journey import Journey
from adcache.campaigns import CampaignCache
from adcache.campaigns_index import READY
from adcache.connection import RedisAdCache
from adcache.eligibility import Visitor, by_bid
from adcache.keys import encode_id
from adcache.near import NearCache

KEPT = 20_000  # questions
Name = tuple[str, str]  # of a cell: interest and place


class Cells:
    """Reads the targeting index on behalf of the ad server, `best` lines a cell."""

    def __init__(
        self, redis_cache: RedisAdCache, near: NearCache | None, best: int
    ) -> None:
        self.near = near
        self._best = best
        self._campaigns = CampaignCache(redis_cache)
        self._campaigns.ask_ads(ANY_INTEREST, best=best)  # refuses a bad number
        self._of_cell = lru_cache(maxsize=KEPT)(self._campaigns.ask_ready)

    def eligible(self, journey: Journey, visitor: Visitor, now_ms: int) -> list[AdLine]:
        """Return the best campaigns for the visitor's interests, by bid.

        What the near cache knows is not asked; it may save the whole trip. Where
        a campaign has just started or ended, the list is made anew: one trip more.
        """
        known, missing = self._at_hand(
            _names(visitor.interests, visitor.location), now_ms
        )
        if missing:
            ticket = self.near.ticket() if self.near else 0
            cells = journey.trip(
                "campaigns", [self._of_cell(*name) for name in missing]
            )
            overdue = []
            for name, cell in zip(missing, cells, strict=True):
                if isinstance(cell, Exception):
                    continue  # the campaigns of one node of a cluster are missing
                if cell.until_ms <= now_ms or self._best > READY:
                    overdue.append(name)
                    continue
                known.append(cell.lines)
                if self.near:
                    self.near.put(_tag(*name), cell, ticket)
            known += self._anew(journey, overdue)
        known = [lines for lines in known if lines]
        if len(known) == 1:
            return known[0]  # a cell's lines come in this order
        return by_bid({line.campaign_id: line for c in known for line in c}.values())

    def _at_hand(
        self, names: Sequence[Name], now_ms: int
    ) -> tuple[list[list[AdLine]], Sequence[Name]]:
        """The lists that the near cache knows, and the cells that must be asked."""
        if self.near is None:
            return [], names
        known, missing = [], []
        cells = self.near.get_many([_tag(*name) for name in names])
        for name, cell in zip(names, cells, strict=True):
            if cell is None or cell.until_ms <= now_ms:
                missing.append(name)
            else:
                known.append(cell.lines)
        return known, missing

    def _anew(self, journey: Journey, names: Sequence[Name]) -> list[list[AdLine]]:
        """Let the server make lists anew; those of a node that is lost are left out."""
        if not names:
            return []
        ask = self._campaigns.ask_ads
        lists = journey.trip("campaigns anew", [ask(*n, self._best) for n in names])
        return [lines for lines in lists if not isinstance(lines, Exception)]


@lru_cache(maxsize=10_000)
def _names(interests: tuple[str, ...], location: str | None) -> tuple[Name, ...]:
    """Cells that a visitor's campaigns stand in: each interest, here and anywhere."""
    places = dict.fromkeys((location or ALL_LOCATIONS, ALL_LOCATIONS))
    return tuple((each, p) for each in (*interests, ANY_INTEREST) for p in places)


@lru_cache(maxsize=10_000)
def _tag(interest: str, place: str) -> str:
    """The hash tag of a cell's keys, as the near cache names it."""
    return f"{encode_id(interest)}:{encode_id(place)}"
