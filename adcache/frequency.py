"""Frequency caps: how often one user may see one campaign.

"At most 3 an hour and 10 a day." Every ad server of the platform counts into
the same windows in Redis, so the check and the count are one script: of two
servers that find one place left, one gets it.
"""

from collections.abc import Iterable, Mapping, Sequence

from adcache.clock import Seconds, to_ms
from adcache.connection import RedisAdCache
from adcache.errors import InvalidValue, shown
from adcache.frequency_caps import (
    Campaigns,
    Cap,
    CapDecision,
    Confirmation,
    LeaseDecision,
    all_with,
    only,
    refuse_bad_limit,
    window_field,
)
from adcache.frequency_leases import LEASE_TTL, NOTICE_HORIZON, CapLeases, Choice
from adcache.frequency_questions import ALGORITHMS, CapQuestions
from adcache.keys import encode_id
from adcache.wire import Question

__all__ = ["ALGORITHMS", "Cap", "CapDecision", "FrequencyCapManager"]


class FrequencyCapManager:
    """Counts impressions per user and campaign, and refuses beyond the caps.

    Algorithms: ``fixed`` (a window opens at the first impression; cheapest),
    ``sliding_counter`` (an estimate over two windows) and ``sliding_log``
    (exact; keeps the time of every impression). Time is the server's.

    Caps count impressions, not bids. `lease` holds a place from the bid until
    `confirm` counts it or `release` gives it back, with ``fixed`` only. What
    became of a lease is known for `notice_horizon` seconds after it. All calls
    raise `InvalidValue` before anything is written, and `RedisUnavailable`.

    >>> from adcache import connect
    >>> caps = FrequencyCapManager(connect("fakeredis://"))
    >>> [bool(caps.check_frequency_cap("ada", "coffee", limit=1)) for _ in "ab"]
    [True, False]
    """

    def __init__(
        self,
        redis_cache: RedisAdCache,
        algorithm: str = "fixed",
        *,
        notice_horizon: Seconds = NOTICE_HORIZON,
    ) -> None:
        if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
            known = ", ".join(ALGORITHMS)
            raise InvalidValue(
                f"algorithm must be one of {known}, got {shown(algorithm)}"
            )
        self.cache = redis_cache
        self.algorithm = algorithm
        self._count_one_script = redis_cache.lua_scripts["frequency_cap"]
        self._questions = CapQuestions(redis_cache, algorithm)
        self._key = self._questions.key
        self._leases = CapLeases(redis_cache, algorithm, notice_horizon)

    def check_frequency_cap(
        self,
        user_id: str,
        campaign_id: str,
        limit: int = 3,
        window: Seconds = 86400,
        *,
        caps: Sequence[Cap] | None = None,
        impression_id: str | None = None,
    ) -> CapDecision:
        """Count one impression if the cap allows it, in one round trip.

        `caps` replaces `limit` and `window` when several must all allow it: it
        then counts in all or in none. With an `impression_id` a retry is
        answered as the first call was and counts nothing, so name all caps of
        an impression in one call; a count is remembered for its longest window,
        a refusal for up to a minute.
        """
        if self.algorithm == "fixed" and caps is None and impression_id is None:
            return self._count_one(user_id, campaign_id, limit, window)
        wanted = only(campaign_id, (Cap(limit, window),) if caps is None else caps)
        return self._ask(user_id, wanted, impression_id)[campaign_id]

    def check_many(
        self,
        user_id: str,
        campaigns: Campaigns,
        *,
        impression_id: str | None = None,
    ) -> dict[str, CapDecision]:
        """Check and count several campaigns, each on its own, in one trip."""
        return self._ask(user_id, campaigns, impression_id)

    def peek(
        self,
        user_id: str,
        campaign_id: str,
        limit: int = 3,
        window: Seconds = 86400,
        *,
        caps: Sequence[Cap] | None = None,
    ) -> CapDecision:
        """Say what `check_frequency_cap` would answer, and count nothing."""
        wanted = only(campaign_id, (Cap(limit, window),) if caps is None else caps)
        return self._ask(user_id, wanted, None, look=True)[campaign_id]

    def peek_many(
        self,
        user_id: str,
        campaigns: Iterable[str] | Campaigns,
        limit: int = 3,
        window: Seconds = 86400,
    ) -> dict[str, CapDecision]:
        """Look at many campaigns in one trip: which may this user still see?

        A mapping gives each campaign caps of its own; otherwise `limit` and
        `window` hold for all.
        """
        if not isinstance(campaigns, Mapping):
            campaigns = all_with(campaigns, Cap(limit, window))
        return self._ask(user_id, campaigns, None, look=True)

    def ask_peek(
        self, user_id: str, campaigns: Campaigns
    ) -> Question[dict[str, CapDecision]]:
        """Prepare `peek_many` for a trip that carries more questions."""
        return self._questions.ask(user_id, campaigns, None, look=True)

    def lease(
        self,
        user_id: str,
        campaigns: Campaigns,
        lease_id: str,
        ttl: Seconds = LEASE_TTL,
    ) -> dict[str, LeaseDecision]:
        """Hold a place of each campaign that has one, from bid to impression.

        For `ttl` seconds, or until `confirm` or `release`, the place counts in
        every window of its campaign, for all checks. Asked again, as for a
        second imp of the request, a lease id takes no second place. What
        became of it is known `notice_horizon` seconds longer. A suppressed
        user gets none, and nobody more than 100 of one campaign at a time.
        Fixed windows only; raises `InvalidValue`.
        """
        question = self.ask_lease(user_id, campaigns, lease_id, ttl)
        return self.cache.wire.ask(question) if campaigns else {}

    def ask_lease(
        self,
        user_id: str,
        campaigns: Campaigns,
        lease_id: str,
        ttl: Seconds = LEASE_TTL,
    ) -> Question[dict[str, LeaseDecision]]:
        """Prepare `lease` for a trip that carries more questions."""
        return self._leases.ask_lease(user_id, campaigns, lease_id, ttl)

    def lease_best(
        self,
        user_id: str,
        choices: Sequence[Choice],
        lease_id: str,
        ttl: Seconds = LEASE_TTL,
    ) -> list[str | None]:
        """Lease the best allowed campaign of each choice, in one trip.

        A choice is what may be shown in one imp: [(campaign_id, caps), ...],
        best first; no caps (an empty list) means that it is always allowed.
        The first choice chooses first. A campaign that an earlier one took is
        passed over, unless nothing else is allowed: then both share one lease
        and one place. None where nothing is allowed. Otherwise as `lease`.
        """
        question = self.ask_lease_best(user_id, choices, lease_id, ttl)
        return self.cache.wire.ask(question)

    def ask_lease_best(
        self,
        user_id: str,
        choices: Sequence[Choice],
        lease_id: str,
        ttl: Seconds = LEASE_TTL,
    ) -> Question[list[str | None]]:
        """Prepare `lease_best` for a trip that carries more questions."""
        return self._leases.ask_best(user_id, choices, lease_id, ttl)

    def confirm(
        self,
        user_id: str,
        campaign_id: str,
        lease_id: str,
        *,
        caps: Sequence[Cap] | None = None,
    ) -> Confirmation:
        """Count the impression of a lease in all its caps, once.

        The windows open now, not at the bid. The impression happened: a lease
        that has ended or was given back is counted all the same, and the
        answer says so. With `caps` also one that nobody knows (any more) is.
        Duplicates count nothing, for the longest window and at least
        `notice_horizon` seconds.
        """
        question = self.ask_confirm(user_id, campaign_id, lease_id, caps=caps)
        return self.cache.wire.ask(question)

    def ask_confirm(
        self,
        user_id: str,
        campaign_id: str,
        lease_id: str,
        *,
        caps: Sequence[Cap] | None = None,
    ) -> Question[Confirmation]:
        """Prepare `confirm` for a trip that carries more questions."""
        return self._leases.ask_confirm(user_id, campaign_id, lease_id, caps)

    def release(self, user_id: str, campaign_id: str, lease_id: str) -> bool:
        """Give a lease's place back, for instance after a lost auction.

        True when it was given back now; False when there was nothing to give:
        unknown, ended, confirmed, or given back before. A later `lease` by
        this id is refused. Imps that share a lease share its place: give it
        back when the last of them is lost.
        """
        return self.cache.wire.ask(self.ask_release(user_id, campaign_id, lease_id))

    def ask_release(
        self,
        user_id: str,
        campaign_id: str,
        lease_id: str,
    ) -> Question[bool]:
        """Prepare `release` for a trip that carries more questions."""
        return self._leases.ask_release(user_id, campaign_id, lease_id)

    def refund(self, user_id: str, campaign_id: str, impression_id: str) -> bool:
        """Give a counted impression back, for instance after a lost auction.

        True when it was given back now; False when the id is unknown, was
        refused, or was given back before. A later retry of the id is refused.
        """
        reply = self.cache.lua_scripts["frequency_refund"](
            windows=self.cache.get_key("frequency_cap", user_id=user_id),
            log=self._key("frequency_log", user_id, campaign_id),
            record=self._key(
                "frequency_impression", user_id, campaign_id, impression_id
            ),
        )
        return bool(reply)

    def reset_frequency_cap(self, user_id: str, campaign_id: str) -> bool:
        """Forget all windows of this user and campaign, and its open leases.

        True when there was something to forget.
        """
        reply = self.cache.lua_scripts["frequency_reset"](
            windows=self.cache.get_key("frequency_cap", user_id=user_id),
            log=self._key("frequency_log", user_id, campaign_id),
            campaign=encode_id(campaign_id, "campaign_id"),
            safe=True,
        )
        return bool(reply)

    def _count_one(
        self, user_id: str, campaign_id: str, limit: int, window: Seconds
    ) -> CapDecision:
        """The usual case, with the shortest script."""
        refuse_bad_limit(limit)
        window_ms = to_ms(window, "window")
        campaign = encode_id(campaign_id, "campaign_id")
        reply = self._count_one_script(
            windows=self.cache.get_key("frequency_cap", user_id=user_id),
            now_ms=self.cache.now_ms(),
            field=window_field(campaign, window_ms),
            leases=f"{campaign}~leases",
            limit=limit,
            window_ms=window_ms,
        )
        if isinstance(reply, int):
            return CapDecision(True, reply, limit, window_ms / 1000)
        count, wait_ms = reply
        retry_after = wait_ms / 1000 if limit else None
        return CapDecision(False, count, limit, window_ms / 1000, retry_after)

    def _ask(
        self,
        user_id: str,
        campaigns: Campaigns,
        impression_id: str | None,
        look: bool = False,
    ) -> dict[str, CapDecision]:
        question = self._questions.ask(user_id, campaigns, impression_id, look)
        return self.cache.wire.ask(question) if campaigns else {}
