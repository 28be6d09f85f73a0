"""Leases: a place under the caps, held from the bid until the impression.

Caps count impressions, not bids; but between the two lie an auction and a page
that loads. Without a lease ten bids for one user would all find the last place
free. An open lease takes a place in every window of its campaign, for all who
ask. It is confirmed at billing, given back on loss, or ends by itself.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any

from adcache.clock import Seconds, to_ms
from adcache.connection import RedisAdCache
from adcache.errors import InvalidValue, shown
from adcache.frequency_caps import (
    Cap,
    Confirmation,
    LeaseDecision,
    decision,
    listed,
    valid_caps,
)
from adcache.keys import encode_id
from adcache.wire import Question

LEASE_TTL = 300  # seconds from bid to impression: bid.exp and a margin
NOTICE_HORIZON = 3600  # seconds that notices may come late
COUNTED = ("in_time", "late", "released", "unlisted")
Choice = Sequence[tuple[str, Sequence[Cap]]]  # campaigns with their caps, best first


class CapLeases:
    """The part of `FrequencyCapManager` that leases, for fixed windows.

    Open leases stand in the user's hash, one field a campaign; what became of
    a lease is kept in a record of its own, for as long as notices may come.
    """

    def __init__(
        self, redis_cache: RedisAdCache, algorithm: str, notice_horizon: Seconds
    ) -> None:
        self.cache = redis_cache
        self._algorithm = algorithm
        self._keep_ms = to_ms(notice_horizon, "notice_horizon")
        self._record_key = redis_cache.keys.maker(
            "frequency_lease", "user_id", "lease_id"
        )
        self._lease = redis_cache.lua_scripts["frequency_lease"]
        self._confirm = redis_cache.lua_scripts["frequency_confirm"]
        self._release = redis_cache.lua_scripts["frequency_release"]

    def ask_lease(
        self,
        user_id: str,
        campaigns: Mapping[str, Sequence[Cap]],
        lease_id: str,
        ttl: Seconds,
    ) -> Question[dict[str, LeaseDecision]]:
        """Each campaign is a choice of its own, with one campaign to choose."""
        asked: list[tuple[str, Sequence[Cap]]] = []
        words: list[str | int] = []
        for campaign_id, wanted in listed(campaigns):
            caps = valid_caps(campaign_id, wanted)
            asked.append((campaign_id, caps))
            words += _single_choice(campaign_id, caps)
        return self._ask(user_id, words, lease_id, ttl, partial(_decisions, asked))

    def ask_best(
        self,
        user_id: str,
        choices: Sequence[Choice],
        lease_id: str,
        ttl: Seconds,
    ) -> Question[list[str | None]]:
        """A choice without campaigns is not asked, and answered with None."""
        if isinstance(choices, str) or not isinstance(choices, Iterable):
            raise InvalidValue(
                f"choices must be a list of choices, got {shown(choices)}"
            )
        asked = [_valid_choice(choice) for choice in choices]
        words: list[str | int] = []
        for choice in asked:
            if choice:
                words.append(len(choice))
            for campaign_id, caps in choice:
                words.append(encode_id(campaign_id, "campaign_id"))
                words += caps_as_words(caps)
        return self._ask(user_id, words, lease_id, ttl, partial(_chosen, asked))

    def _ask(
        self,
        user_id: str,
        words: Sequence[str | int],
        lease_id: str,
        ttl: Seconds,
        read: Any,
    ) -> Question[Any]:
        """Lay out the call by hand: it is part of every decision."""
        if self._algorithm != "fixed":
            raise self._not_fixed()
        get_key = self.cache.get_key
        keys = (
            get_key("frequency_cap", user_id=user_id),
            self._record_key(user_id, lease_id),
            get_key("user_suppressed", user_id=user_id),
        )
        lease = encode_id(lease_id, "lease_id")
        args = (self.cache.now_ms(), lease, to_ms(ttl), self._keep_ms, *words)
        return self._lease.in_order(read, keys, args, safe=True)

    def ask_confirm(
        self,
        user_id: str,
        campaign_id: str,
        lease_id: str,
        caps: Sequence[Cap] | None,
    ) -> Question[Confirmation]:
        """`caps` are for a lease that nobody knows (any more)."""
        known = () if caps is None else valid_caps(campaign_id, caps)
        return self._confirm.question(
            _confirmation,
            **self._keys(user_id, lease_id),
            campaign=encode_id(campaign_id, "campaign_id"),
            keep_ms=self._keep_ms,
            caps=caps_as_words(known),
            safe=True,
        )

    def ask_release(
        self, user_id: str, campaign_id: str, lease_id: str
    ) -> Question[bool]:
        """A release needs no look at suppression: it writes nothing new."""
        keys = self._keys(user_id, lease_id)
        del keys["suppressed"]
        return self._release.question(
            bool,
            **keys,
            campaign=encode_id(campaign_id, "campaign_id"),
            keep_ms=self._keep_ms,
            safe=True,
        )

    def _keys(self, user_id: str, lease_id: str) -> dict[str, str | int]:
        if self._algorithm != "fixed":
            raise self._not_fixed()
        get_key = self.cache.get_key
        return {
            "windows": get_key("frequency_cap", user_id=user_id),
            "record": get_key("frequency_lease", user_id=user_id, lease_id=lease_id),
            "suppressed": get_key("user_suppressed", user_id=user_id),
            "now_ms": self.cache.now_ms(),
            "lease": encode_id(lease_id, "lease_id"),
        }

    def _not_fixed(self) -> InvalidValue:
        return InvalidValue(
            "leases are for algorithm 'fixed', this manager counts by "
            f"{self._algorithm!r}"
        )


@lru_cache(maxsize=10_000)
def _single_choice(campaign_id: str, caps: Sequence[Cap]) -> list[str | int]:
    """One campaign to choose from, in the script's words; campaigns are few."""
    return [1, encode_id(campaign_id, "campaign_id"), *caps_as_words(caps)]


def caps_as_words(caps: Sequence[Cap]) -> list[int]:
    """Write caps as the scripts read them: how many, then limit and window in ms."""
    words = [len(caps)]
    for cap in caps:
        words += (cap.limit, to_ms(cap.window))
    return words


def _valid_choice(choice: Choice) -> list[tuple[str, Sequence[Cap]]]:
    """Campaigns with their caps, which may be none."""
    valid = []
    for pair in choice if isinstance(choice, Iterable) else [choice]:
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise InvalidValue(
                "a choice must be a list such as [('tea', [Cap(3, 3600)])], "
                f"got {shown(choice)}"
            )
        campaign_id, caps = pair
        valid.append((campaign_id, valid_caps(campaign_id, caps) if caps else ()))
    return valid


def _decisions(
    asked: Sequence[tuple[str, Sequence[Cap]]], reply: list[Any]
) -> dict[str, LeaseDecision]:
    decisions = {}
    for i, (campaign_id, caps) in enumerate(asked):
        index, cap, count, wait_ms, why = reply[5 * i : 5 * i + 5]
        told = decision(caps, (index, cap, count, wait_ms))
        wait = 0.0 if index else told.retry_after if why == "capped" else None
        decisions[campaign_id] = LeaseDecision(
            bool(index), count, told.limit, told.window, wait, why
        )
    return decisions


def _chosen(asked: Sequence[Choice], reply: list[Any]) -> list[str | None]:
    indexes = iter(reply[::5])
    chosen: list[str | None] = []
    for choice in asked:
        index = next(indexes) if choice else 0
        chosen.append(choice[index - 1][0] if index else None)
    return chosen


def _confirmation(reply: list[Any]) -> Confirmation:
    reason, over, count, limit, window_ms = reply
    return Confirmation(
        reason in COUNTED, reason, over == 1, count, limit, window_ms / 1000
    )
