"""Answers about a campaign that work in an ``if`` and say why not."""

from collections.abc import Sequence
from typing import Any

import msgspec

from adcache.money import from_micros


class CampaignState(msgspec.Struct, frozen=True):
    """May the campaign run now? True or False in an ``if``, with the reason inside.

    `reason` is "active", or why not: "unknown", "paused", "inactive" (another
    status), "not started", "ended", "lost" (its spend counter is gone), "budget"
    or "daily budget" (all spent). `bid` is the CPM in micros.
    """

    active: bool
    reason: str
    bid: int

    @classmethod
    def read(cls, reply: Sequence[str]) -> "CampaignState":
        """Read the answer of campaign_active.lua."""
        reason, bid = reply
        return cls(reason == "active", reason, int(bid))

    def __bool__(self) -> bool:
        return self.active


class SpendUpdate(msgspec.Struct, frozen=True):
    """Was the amount charged? True or False in an ``if``, with the reason inside.

    `reason` is "charged", or why not: "unknown" (no such campaign), "budget" (no
    room for it), "lost" (its spend counter is gone) or "taken" (the operation id
    is that of a reservation). `spent` and `left` are in currency units.
    """

    charged: bool
    reason: str
    spent: float
    left: float

    @classmethod
    def read(cls, reply: Sequence[Any]) -> "SpendUpdate":
        """Read the answer of budget_charge.lua."""
        verdict, spent, left = reply
        money = (from_micros(int(spent)), from_micros(int(left)))
        return cls(verdict == "charged", verdict, *money)

    def __bool__(self) -> bool:
        return self.charged
