"""Campaigns: what an advertiser wants, and which of them may run right now.

Three things of a campaign change at different speeds. Its record is replaced
when the advertiser edits it; its spend counter moves with every impression and
must survive that; its copies in the targeting index are what ad servers read.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from adcache.ad_line import (
    ALL_LOCATIONS,
    ANY_INTEREST,
    AdLine,
    read_targeting,
)
from adcache.ad_records import decode_campaign, encode_campaign, json_text
from adcache.budget_days import day_offsets, pacing_curve
from adcache.campaigns_index import Cell, Change, TargetingIndex, cells_of
from adcache.campaigns_results import CampaignState, SpendUpdate
from adcache.clock import Seconds, to_epoch_ms, to_ms
from adcache.connection import RedisAdCache
from adcache.errors import InvalidValue, shown
from adcache.keys import decode_id, encode_id
from adcache.models import CampaignData, Creative
from adcache.money import Money, to_micros
from adcache.wire import Question

BEST = 32  # lines of a cell that a decision reads
AFTERMATH = 30 * 86_400  # seconds that the money counter outlives the flight


class CampaignCache:
    """Campaign records, their spend, and the index that finds them.

    A change goes to the record first, then to the copies in the index. A crash
    in between leaves copies that are out of date until the next change, or until
    they end with `index_ttl` (seconds). That costs a decision, not money: the
    script that reserves budget looks at the record itself, so nothing paused,
    ended or unknown is ever served.

    Raises `InvalidValue` before anything is written, `UnreadableRecord` for a
    record that another program wrote, and `RedisUnavailable`.

    >>> from adcache import connect
    >>> CampaignCache(connect("fakeredis://")).get_campaign("nobody") is None
    True
    """

    def __init__(self, redis_cache: RedisAdCache, index_ttl: Seconds = 86_400) -> None:
        self.cache = redis_cache
        self.index = TargetingIndex(redis_cache, to_ms(index_ttl, "index_ttl"))
        self._meter = redis_cache.metrics.meter("campaigns")

    def get_campaign(self, campaign_id: str) -> CampaignData | None:
        """Return the campaign, `spent` being what is spent by now; None if unknown."""
        key = self._key("campaign", campaign_id)
        spend = self._key("campaign_spend", campaign_id)
        fields = ("record", "status", "expires_ms")
        row, spent = self.cache.wire.trip(
            [
                Question(("HMGET", key, *fields), safe=True, component="campaigns"),
                Question(("HGET", spend, "spent"), safe=True, component="campaigns"),
            ]
        )
        record, status, expires_ms = row
        clock = self.cache.clock
        if record is None or (clock and clock.now_ms() >= int(expires_ms)):
            self._meter.miss()
            return None
        self._meter.hit()
        return decode_campaign(record, status, spent)

    def set_campaign(
        self, campaign: CampaignData, ttl: Seconds = 7200, *, reseed: bool = False
    ) -> None:
        """Store a campaign for `ttl` seconds, and renew its copies in the index.

        What is spent is left alone: `campaign.spent` counts only where nothing
        was ever counted. When Redis has lost the counter of a campaign that it
        still knows, reservations are refused as ``lost``; `reseed` then begins
        anew at `campaign.spent`. Takes one trip, two where it is indexed.
        Raises `InvalidValue` before anything is written.
        """
        record = encode_campaign(campaign)
        read_targeting(campaign.targeting)
        daily = campaign.daily_budget
        fields = {
            "record": record,
            "status": campaign.status,
            "start_ms": to_epoch_ms(campaign.start_date),
            "bid": campaign.bid_price_micros,
            "budget": campaign.budget_micros,
            "daily": "" if daily is None else to_micros(daily, "daily_budget"),
            "offsets": day_offsets(campaign),
            "curve": pacing_curve(campaign),
        }
        question = self.cache.lua_scripts["campaign_set"].question(
            Change.read,
            safe=True,
            **self._change_slots(campaign.campaign_id),
            spend=self._key("campaign_spend", campaign.campaign_id),
            ttl_ms=to_ms(ttl),
            spent=campaign.spent_micros,
            end_ms=to_epoch_ms(campaign.end_date),
            keep_ms=to_ms(AFTERMATH),
            reseed=int(bool(reseed)),
            fields=[part for pair in fields.items() for part in pair],
        )
        known = [self.index.ask_creative(each) for each in campaign.creatives]
        change, *creatives = self.cache.wire.trip([question, *known])
        self.index.spread(
            campaign.campaign_id, change, [each for each in creatives if each]
        )

    def update_campaign_spend(
        self,
        campaign_id: str,
        spend_amount: Money,
        *,
        operation_id: str | None = None,
        remember: Seconds = 86_400,
    ) -> SpendUpdate:
        """Charge an amount (currency units), if what is left of the budget covers it.

        With an `operation_id` a retry is answered as the first call was and
        charges nothing, for `remember` seconds; without, do not retry. An unknown
        campaign is refused and nothing is created. Raises `InvalidValue` for an
        amount that is negative or no number.
        """
        keys = {"campaign_id": campaign_id, "reservation_id": operation_id or ""}
        known = operation_id is not None
        if operation_id is not None:
            encode_id(operation_id, "operation_id")
        reply = self.cache.lua_scripts["budget_charge"](
            campaign=self._key("campaign", campaign_id),
            spend=self._key("campaign_spend", campaign_id),
            leases=self._key("budget_leases", campaign_id),
            ledger=[self.cache.get_key("budget_ledger", **keys)] if known else [],
            now_ms=self.cache.now_ms(),
            amount=to_micros(spend_amount, "spend_amount"),
            horizon_ms=to_ms(remember, "remember"),
            safe=known,
        )
        return SpendUpdate.read(reply)

    def set_status(self, campaign_id: str, status: str) -> bool:
        """Pause a campaign (any status but "active"), or let it run again.

        False when the campaign is unknown; nothing is created then. A pause
        takes two trips: from the first on no budget is reserved any more, with
        the second the campaign has left the index.
        """
        if not isinstance(status, str) or not status:
            raise InvalidValue(f"status must be a word, got {shown(status)}")
        json_text(status, "status")
        change = self._change("campaign_status", campaign_id, status=status)
        self.index.spread(campaign_id, change)
        return change.known

    def pause(self, campaign_id: str) -> bool:
        """Set the status "paused"; see `set_status`."""
        return self.set_status(campaign_id, "paused")

    def resume(self, campaign_id: str) -> bool:
        """Set the status "active"; see `set_status`."""
        return self.set_status(campaign_id, "active")

    def delete_campaign(self, campaign_id: str) -> bool:
        """Forget the record and all copies; True when there was a record.

        What was spent stays until the flight's end: money is not forgotten.
        """
        change = self._change("campaign_delete", campaign_id)
        self.index.spread(campaign_id, change)
        return change.known

    def index_campaign_targeting(
        self,
        campaign_id: str,
        targeting: Mapping[str, Any],
        creatives: Sequence[Creative] | None = None,
    ) -> bool:
        """Let the campaign be found by these interests and locations, and no others.

        See `read_targeting` for what is understood; what `targeting` does not
        restrict, the record's own targeting may. `creatives` replaces those that
        the record lists; else their records are read. False when there is no
        record yet: then it is found as soon as `set_campaign` brings one.
        """
        wanted = read_targeting(targeting)
        ids = _creative_ids(campaign_id, creatives)
        change = self._change(
            "campaign_index",
            campaign_id,
            cells=cells_of(wanted),
            targeting=json_text(dict(targeting), "targeting"),
            creatives=ids,
        )
        self.index.spread(campaign_id, change, creatives or ())
        return change.known

    def ask_ads(
        self, interest: str, location: str = ALL_LOCATIONS, best: int = BEST
    ) -> Question[list[AdLine]]:
        """Ask for the highest bids of one cell of the index, the highest first.

        It costs the same however many campaigns stand behind it. Ask also for
        `ALL_LOCATIONS`, and for `ANY_INTEREST`. Lines of campaigns that start
        within the next minute are among them: compare `start_ms`.
        """
        return self.index.ask_ads(interest, location, best)

    def ask_ready(self, interest: str, location: str = ALL_LOCATIONS) -> Question[Cell]:
        """Ask for the 64 highest bids of a cell as they were written last.

        What `ask_ads` tells, for a fraction of the server's time, until the
        answer's `until_ms`. Keep the question: it remembers what it has decoded.
        """
        return self.index.ask_ready(interest, location)

    def get_ads(
        self, interest: str, location: str = ALL_LOCATIONS, best: int = BEST
    ) -> list[AdLine]:
        """Return what `ask_ads` asks for."""
        return self.cache.wire.ask(self.ask_ads(interest, location, best))

    def get_active_campaigns(self, targeting_criteria: Mapping[str, Any]) -> list[str]:
        """Return the ids of all campaigns that may run now and fit the criteria.

        Criteria: ``interests`` (a list; a campaign fits by one of them, or by
        having none) and ``location`` (default ``"all"``; campaigns for all
        locations fit every one). Each campaign once, the highest bid first, equal
        bids by id. Two trips, whatever the number of interests and campaigns.
        """
        interests, location = _criteria(targeting_criteria)
        cells = [(i, place) for i in interests for place in location]
        boards = self.cache.wire.trip([self.index.ask_ids(*cell) for cell in cells])
        ids = sorted({decode_id(each) for board in boards for each in board})
        states = self.cache.wire.trip([self.ask_state(each) for each in ids])
        active = [(-s.bid, i) for i, s in zip(ids, states, strict=True) if s]
        return [campaign_id for _, campaign_id in sorted(active)]

    def ask_state(self, campaign_id: str) -> Question[CampaignState]:
        """Ask whether a campaign may run now, and why not."""
        return self.cache.lua_scripts["campaign_active"].question(
            CampaignState.read,
            safe=True,
            campaign=self._key("campaign", campaign_id),
            spend=self._key("campaign_spend", campaign_id),
            now_ms=self.cache.now_ms(),
        )

    def get_state(self, campaign_id: str) -> CampaignState:
        """Return what `ask_state` asks for."""
        return self.cache.wire.ask(self.ask_state(campaign_id))

    def _change(self, script: str, campaign_id: str, **slots: Any) -> Change:
        run = self.cache.lua_scripts[script]
        slots |= self._change_slots(campaign_id)
        return Change.read(run(safe=True, **slots))

    def _change_slots(self, campaign_id: str) -> dict[str, Any]:
        return {
            "campaign": self._key("campaign", campaign_id),
            "index": self._key("campaign_index", campaign_id),
            "now_ms": self.cache.now_ms(),
            "index_ms": self.index.keep_ms,
        }

    def _key(self, pattern: str, campaign_id: str) -> str:
        return self.cache.get_key(pattern, campaign_id=campaign_id)


def _criteria(criteria: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Interests and locations to look at: also those that stand for everybody."""
    wanted = read_targeting(criteria)
    interests = dict.fromkeys([*wanted.interests, ANY_INTEREST])
    return list(interests), list(dict.fromkeys([*wanted.locations, ALL_LOCATIONS]))


def _creative_ids(campaign_id: str, creatives: Sequence[Creative] | None) -> str:
    """Ids as JSON, '' for those of the record; each must be this campaign's."""
    if creatives is None:
        return ""
    for each in creatives if isinstance(creatives, Sequence) else [creatives]:
        if not isinstance(each, Creative) or each.campaign_id != campaign_id:
            raise InvalidValue(
                f"creatives must be of campaign {campaign_id!r}, got {shown(each)}"
            )
    return json_text([each.creative_id for each in creatives], "creatives")
