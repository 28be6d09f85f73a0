"""Session-based targeting: what a visitor looks at now decides which ads fit.

Page events add to interest scores, and scores fade: a look at shoes an hour ago
says more than one yesterday. Everything is in one small hash per session that
ends with it, so there is no profile to keep and none to lose.
"""

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence

from adcache.clock import Seconds, to_ms
from adcache.connection import RedisAdCache
from adcache.errors import InvalidValue, UnreadableRecord, shown
from adcache.keys import decode_id, encode_id
from adcache.targeting_events import PageEvent, event_interests
from adcache.wire import Question, as_dict

HALF_LIFE = 1800.0  # seconds
MAX_INTERESTS = 50
MAX_WEIGHT = 1_000_000.0
MAX_AT_ONCE = 1000  # interests in one call
EVENTS_KNOWN = 64  # event ids that are remembered per session
NEGLIGIBLE = 1e-9  # a score below this is none

Score = tuple[str, float]


class SessionTargeting:
    """Interest scores of sessions, and the campaigns that fit them.

    `half_life` (seconds): a score loses half in that time; use one value on all
    servers. `ttl` (seconds): how long scores are kept after the last event.
    `max_interests`: more are not kept, the weakest go.

    Where `SessionManager` has an open session of that id, the scores are that
    session's: they end with it, and whoever has the id next inherits none. With
    `live_only`, events count for such sessions only, so that none that comes after
    a logout begins anew. Raises `InvalidValue` before anything is written,
    `UnreadableRecord` for scores of another program's, and `RedisUnavailable`.

    >>> from adcache import connect
    >>> targeting = SessionTargeting(connect("fakeredis://"))
    >>> targeting.record("s1", {"sports": 3, "food": 1})
    True
    >>> targeting.match("s1", {"sneakers": ["sports"], "novel": ["books"]})[0][0]
    'sneakers'
    """

    def __init__(
        self,
        redis_cache: RedisAdCache,
        *,
        half_life: Seconds = HALF_LIFE,
        ttl: Seconds = 1800,
        max_interests: int = MAX_INTERESTS,
        live_only: bool = False,
    ) -> None:
        if type(max_interests) is not int or not 1 <= max_interests <= 1000:
            raise InvalidValue(
                f"max_interests must be 1 to 1000, got {shown(max_interests)}"
            )
        self.cache = redis_cache
        self.half_life_ms = to_ms(half_life, "half_life")
        self.ttl_ms = to_ms(ttl)
        self.max_interests = max_interests
        self.live_only = bool(live_only)
        self._meter = redis_cache.metrics.meter("targeting")
        self._record_script = redis_cache.lua_scripts["interest_record"]
        self._scores_script = redis_cache.lua_scripts["interest_scores"]

    def record(
        self,
        session_id: str,
        interests: Mapping[str, float] | PageEvent,
        event_id: str | None = None,
    ) -> bool:
        """Add to the scores of a session, in one trip; True when it counted.

        `interests` are weights by name (more than 0, at most a million), or a
        `PageEvent` that `event_interests` turns into such. With an `event_id` a
        retry counts once: the last 64 ids of a session are remembered. False:
        that id counted before, there was nothing to add, the session was revoked a
        moment ago, or (with `live_only`) there is none. Raises `InvalidValue` before
        anything is written.
        """
        return self.cache.wire.ask(self.ask_record(session_id, interests, event_id))

    def ask_record(
        self,
        session_id: str,
        interests: Mapping[str, float] | PageEvent,
        event_id: str | None = None,
    ) -> Question[bool]:
        """Prepare `record` for a trip that others share."""
        if isinstance(interests, PageEvent):
            interests = event_interests(interests)
        return self._record_script.question(
            lambda reply: reply == 1,
            interests=self._key("session_interests", session_id),
            events=self._key("session_events", session_id),
            session=self._key("user_session", session_id),
            now_ms=self.cache.now_ms(),
            half_ms=self.half_life_ms,
            ttl_ms=self.ttl_ms,
            most=self.max_interests,
            live=int(self.live_only),
            event="" if event_id is None else _digest(event_id),
            known=EVENTS_KNOWN,
            weights=_weights(interests),
            safe=event_id is not None,
        )

    def interests(self, session_id: str, limit: int = 10) -> list[Score]:
        """Return (interest, score) pairs as of now, the strongest first.

        Equal scores stand by name. Empty for a session that nothing is known of.
        """
        return self.cache.wire.ask(self.ask_interests(session_id, limit))

    def ask_interests(self, session_id: str, limit: int = 10) -> Question[list[Score]]:
        """Prepare `interests` for a trip that others share."""
        _refuse_bad_limit(limit)

        def read(reply: Sequence[str]) -> list[Score]:
            pairs = zip(reply[1::2], reply[2::2], strict=True)
            found = _scores(session_id, int(reply[0]), pairs, self.half_life_ms)
            self._meter.hit() if found else self._meter.miss()
            return found[:limit]

        return self._scores_script.question(
            read,
            interests=self._key("session_interests", session_id),
            session=self._key("user_session", session_id),
            now_ms=self.cache.now_ms(),
            safe=True,
        )

    def ask_stored(self, session_id: str) -> Question[dict[str, str]]:
        """Ask for the scores as they are stored, by one HGETALL; see `scores_of`."""
        key = self._key("session_interests", session_id)
        return Question(("HGETALL", key), as_dict, True, "targeting")

    def scores_of(
        self, session_id: str, stored: Mapping[str, str], began: str, now_ms: int
    ) -> list[Score]:
        """Return what `interests` would, from what `ask_stored` brought.

        `began` is when the session began (`created_us`): scores of an earlier one
        of that id are not these. `now_ms` is the server's time, ms since 1970.
        """
        theirs = stored.get(":session") == began
        if not theirs or int(stored.get(":ends", 0)) <= now_ms:
            self._meter.miss()
            return []
        self._meter.hit()
        pairs = [pair for pair in stored.items() if pair[0][0] != ":"]
        return _scores(session_id, now_ms, pairs, self.half_life_ms)

    def match(
        self,
        session_id: str,
        campaigns: Mapping[str, Iterable[str]],
        limit: int = 10,
    ) -> list[Score]:
        """Return the campaigns that fit a session's interests, the best first.

        `campaigns` says what interests each is for; see `rank_campaigns`.
        """
        _refuse_bad_limit(limit)
        return rank_campaigns(
            dict(self.interests(session_id, self.max_interests)), campaigns, limit
        )

    def forget(self, session_id: str) -> bool:
        """Forget all that is known of a session; False when that was nothing."""
        keys = [
            self._key(p, session_id) for p in ("session_interests", "session_events")
        ]
        return bool(self.cache.wire.execute("DEL", *keys, safe=True))

    def _key(self, pattern: str, session_id: str) -> str:
        return self.cache.get_key(pattern, session_id=session_id)


def decayed(score: float, age: float, half_life: float) -> float:
    """Value of a score after `age`: ``score * 2 ** (-age / half_life)``, same units.

    Exponential decay, the one kind in which all scores fade by the same factor,
    so that their order never changes by waiting. Source: Cormode et al., "Forward
    Decay: A Practical Time Decay Model for Streaming Systems", ICDE 2009, section
    II. A negative age (a clock that was set back) counts as none, and what becomes
    too small for a float is 0. ``interest_record.lua`` computes the same.
    """
    return score * math.exp2(-max(0.0, age) / half_life)


def rank_campaigns(
    scores: Mapping[str, float],
    campaigns: Mapping[str, Iterable[str]],
    limit: int | None = None,
) -> list[Score]:
    """Rank campaigns by the sum of the scores of the interests they are for.

    An interest that a campaign names twice counts once; a campaign that shares
    no interest is left out; equal campaigns stand by id. Pure arithmetic. Raises
    `InvalidValue` for a limit that is none.

    >>> rank_campaigns({"tea": 2.0, "art": 1.0}, {"a": ["tea", "art"], "b": ["art"]})
    [('a', 3.0), ('b', 1.0)]
    """
    ranked: list[Score] = []
    if not isinstance(campaigns, Mapping):
        raise InvalidValue(
            "campaigns must be a mapping such as {'sneakers': ['sports']}, got "
            f"{shown(campaigns)}"
        )
    for campaign_id, wanted in campaigns.items():
        # A text would be taken letter by letter.
        if isinstance(wanted, str) or not isinstance(wanted, Iterable):
            raise InvalidValue(
                f"interests of campaign {shown(campaign_id)} must be a list of words, "
                f"got {shown(wanted)}"
            )
        shared = [scores[name] for name in set(wanted) if name in scores]
        if shared:
            ranked.append((campaign_id, math.fsum(shared)))
    ranked.sort(key=lambda pair: (-pair[1], pair[0]))
    return ranked[:limit]


def _refuse_bad_limit(limit: int) -> None:
    if type(limit) is not int or limit < 0:
        raise InvalidValue(f"limit must be a whole number >= 0, got {shown(limit)}")


def _weights(interests: Mapping[str, float]) -> list[str | float]:
    """Lay names and weights out for the script, checked."""
    if not isinstance(interests, Mapping):
        raise InvalidValue(
            "interests must be a mapping such as {'sports': 1.0}, or a PageEvent, "
            f"got {shown(interests)}"
        )
    if len(interests) > MAX_AT_ONCE:
        raise InvalidValue(
            f"at most {MAX_AT_ONCE} interests at once, got {len(interests):,}"
        )
    flat: list[str | float] = []
    for name, weight in interests.items():
        number = isinstance(weight, int | float) and not isinstance(weight, bool)
        if not number or not 0 < weight <= MAX_WEIGHT:  # False for NaN too
            raise InvalidValue(
                f"the weight of {shown(name)} must be a number of more than 0 and at "
                f"most {MAX_WEIGHT:,.0f}, got {shown(weight)}"
            )
        flat += (encode_id(name, "interest"), repr(float(weight)))
    return flat


def _scores(
    session_id: str, now_ms: int, pairs: Iterable[tuple[str, str]], half_life_ms: int
) -> list[Score]:
    """Let each stored score fade until now, and sort."""
    found = []
    for name, state in pairs:
        score, _, at_ms = state.partition(" ")
        try:
            worth = decayed(float(score), now_ms - int(at_ms), half_life_ms)
        except ValueError:
            worth = math.nan
        if not 0 <= worth < math.inf:
            raise UnreadableRecord(
                f"interest {shown(decode_id(name))} of session {shown(session_id)} is "
                f"damaged: {shown(state)}; forget() removes it"
            )
        if worth >= NEGLIGIBLE:
            found.append((decode_id(name), worth))
    return sorted(found, key=lambda pair: (-pair[1], pair[0]))


def _digest(event_id: str) -> str:
    """Sixteen letters that stand for an id of any length."""
    encoded = encode_id(event_id, "event_id").encode()
    return hashlib.blake2b(encoded, digest_size=8).hexdigest()
