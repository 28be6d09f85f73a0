"""Counting what happens to a campaign: by day, by minute, and by person.

Every ad server adds to the same numbers in Redis. One event (an impression
with its cost) is one script: counted whole or not at all, and once, however
often it is delivered. Days are UTC and by the server's clock.
"""

from datetime import date as Day  # noqa: N812  # "date" is a parameter of the seed
from datetime import datetime, timedelta
from decimal import Decimal

from adcache.clock import Seconds, to_ms
from adcache.connection import RedisAdCache
from adcache.errors import InvalidValue, shown
from adcache.keys import encode_id
from adcache.server_clock import ServerClock
from adcache.stats_days import (
    DAY_MS,
    HOUR_MS,
    MINUTE_MS,
    Moment,
    day_of,
    last_days,
    minutes_before,
    place,
    start_ms,
)
from adcache.stats_event import Metrics, Recorded, check_event
from adcache.stats_numbers import (
    IN_MICROS,
    MONEY,
    SUMMARY,
    Value,
    by_metric,
    ratios,
    total,
)
from adcache.wire import Question

MAX_DAYS = 366
# What a summary reads of each day. Impressions and clicks are whole; a model of
# attribution may give a campaign half a conversion.
FIELDS = (
    "impressions",
    "clicks",
    "conversions",
    *(name + IN_MICROS for name in ("conversions", *MONEY)),
)


class PerformanceStatsCache:
    """A campaign's impressions, clicks, conversions, cost, revenue, or any metric.

    A day's numbers live until `retention` after the day's end, so that the
    default summary of 7 days finds 7; late events do not prolong that. Minutes
    are kept for `live` after their hour. An event id is recognised for
    `notice_horizon`. All three are in seconds (int, float, timedelta).

    Numbers are exact: ints stay ints, fractions and money have six decimals.
    Raises `InvalidValue` before anything is written, and `RedisUnavailable`.

    >>> from adcache import connect
    >>> stats = PerformanceStatsCache(connect("fakeredis://"))
    >>> [bool(stats.record_event("tea", {"clicks": 1}, event_id="e1")) for _ in "ab"]
    [True, False]
    """

    def __init__(
        self,
        redis_cache: RedisAdCache,
        *,
        retention: Seconds = timedelta(days=7),
        live: Seconds = timedelta(hours=3),
        notice_horizon: Seconds = 3600,
    ) -> None:
        self.cache = redis_cache
        self._retention_ms = to_ms(retention, "retention")
        self._live_ms = to_ms(live, "live")
        self._seen_ms = to_ms(notice_horizon, "notice_horizon")
        self._clock = ServerClock(redis_cache)
        self._script = redis_cache.lua_scripts["stats_event"]
        self._meter = redis_cache.metrics.meter("stats")

    def increment_stat(
        self,
        campaign_id: str,
        metric: str,
        value: Value | Decimal = 1.0,
        date: Moment = None,
    ) -> Recorded:
        """Add `value` to one metric of a day (today without a `date`).

        Negative values are corrections, for instance of clicks found to be a
        robot's. A retry adds again: `record_event` with an id does not.
        Raises as `record_event` does.
        """
        encode_id(metric, "metric")  # before it is used as a dict's key
        question = self._event(campaign_id, {metric: value}, None, None, date, "date")
        return self.cache.wire.ask(question)

    def record_event(
        self,
        campaign_id: str,
        metrics: Metrics,
        event_id: str | None = None,
        user_id: str | None = None,
        at: Moment = None,
    ) -> Recorded:
        """Count all metrics of one event, in one trip, all or nothing.

        With an `event_id` (per campaign; name the kind of event in it) a
        duplicate counts nothing, also if it comes after midnight. `user_id`
        counts into `reach`. `at` is when it happened: an aware datetime, a
        naive one (local time), or just the day; without it, now by the server.

        Raises `InvalidValue` before anything is written for ids, metrics,
        values or times that cannot be, and where a total would pass 2**53 - 1;
        `RedisUnavailable` when it is unknown whether the event was counted.
        """
        question = self.ask_event(campaign_id, metrics, event_id, user_id, at)
        return self.cache.wire.ask(question)

    def ask_event(
        self,
        campaign_id: str,
        metrics: Metrics,
        event_id: str | None = None,
        user_id: str | None = None,
        at: Moment = None,
    ) -> Question[Recorded]:
        """`record_event` as a question, to share a trip; answers a `Recorded`.

        Once a minute the server is asked for its time, in a trip of its own.
        """
        return self._event(campaign_id, metrics, event_id, user_id, at, "at")

    def get_daily_stats(
        self, campaign_id: str, date: Moment = None
    ) -> dict[str, Value]:
        """Return metric -> total of one UTC day; {} when nothing was counted."""
        day, _ = place(date, self._clock.now_ms())
        ids = {"campaign_id": campaign_id, "date": day.isoformat()}
        key = self.cache.get_key("performance_stats", **ids)
        reply = self.cache.wire.execute("HGETALL", key, safe=True, meter=self._meter)
        if not isinstance(reply, dict):  # a server's own reply is a flat list
            reply = dict(zip(reply[::2], reply[1::2], strict=True))
        self._met(bool(reply), 1)
        return by_metric(reply)

    def get_campaign_summary(self, campaign_id: str, days: int = 7) -> dict[str, Value]:
        """Return totals and ratios of the last `days` UTC days, today included.

        Keys: impressions, clicks, conversions, cost, revenue, and those of
        `ratios`. One trip, 1 to 366 days; a day that is no longer kept counts 0.
        """
        # Seven HMGETs, not a script that adds: measured at 0.8 of redis-py's own
        # pipeline, where the script took 0.6 but half as much again of the server.
        keys = self._day_keys("performance_stats", campaign_id, self._last(days))
        questions: list[Question[list[str | None]]] = [
            Question(("HMGET", key, *FIELDS), safe=True, component="stats")
            for key in keys
        ]
        rows = self.cache.wire.trip(questions)
        self._met(sum(any(row) for row in rows), len(rows))
        sums = dict.fromkeys(FIELDS, 0)
        for row in rows:
            for field, cell in zip(FIELDS, row, strict=True):
                if cell:
                    sums[field] += int(cell)
        totals = {
            name: total(name, sums.get(name, 0), sums.get(name + IN_MICROS, 0))
            for name in SUMMARY
        }
        return totals | ratios(totals)

    def reach(self, campaign_id: str, days: int = 1) -> int:
        """Estimate how many different users the last `days` days reached.

        A HyperLogLog takes at most 12 KB a day for any number of users, and is
        off by 0.81 % (standard error); the embedded fake counts exactly. Source:
        1.04 / sqrt(m) for m registers, Flajolet et al., "HyperLogLog", AofA 2007;
        Redis has m = 16384.
        """
        keys = self._day_keys("stats_reach", campaign_id, self._last(days))
        count = self.cache.wire.execute("PFCOUNT", *keys, safe=True, meter=self._meter)
        return int(count)

    def minutes(
        self, campaign_id: str, metric: str, last: int = 60
    ) -> list[tuple[datetime, Value]]:
        """Return (start of the minute, value) for the last minutes, oldest first.

        The minute that runs is the last one; quiet minutes are 0. `last` goes
        up to as many minutes as `live` has. Events that came with a day but
        without a time are in no minute.
        """
        _within(last, "last", max(1, self._live_ms // MINUTE_MS))
        field = encode_id(metric, "metric")
        starts = minutes_before(self._clock.now_ms(), last)
        by_hour: dict[str, list[str]] = {}
        for start in starts:
            minute = f"{start:%M} {field}"
            wanted = by_hour.setdefault(f"{start:%Y-%m-%dT%H}", [])
            wanted += (minute, minute + IN_MICROS)
        questions: list[Question[list[str | None]]] = []
        for hour, wanted in by_hour.items():
            ids = {"campaign_id": campaign_id, "hour": hour}
            command = ("HMGET", self.cache.get_key("stats_minutes", **ids), *wanted)
            questions.append(Question(command, safe=True, component="stats"))
        cells = [int(c or 0) for row in self.cache.wire.trip(questions) for c in row]
        values = [total(metric, *cells[at : at + 2]) for at in range(0, len(cells), 2)]
        return list(zip(starts, values, strict=True))

    def _event(
        self,
        campaign_id: str,
        metrics: Metrics,
        event_id: str | None,
        user_id: str | None,
        moment: Moment,
        name: str,
    ) -> Question[Recorded]:
        now = self._clock.now_ms()
        event = check_event(metrics, user_id, moment, name, now)
        key, ids = self.cache.get_key, {"campaign_id": campaign_id}
        day = event.day.isoformat()
        seen: list[str] = []
        if event_id is not None:
            seen = [key("stats_event", event_id=event_id, **ids)]
        day_ends = start_ms(event.day) + DAY_MS
        hour_ends = event.hour_starts_ms() + HOUR_MS

        def read(verdict: str) -> Recorded:
            if verdict == "overflow":
                raise InvalidValue(
                    f"a total of {shown(campaign_id)} on {event.day} would pass "
                    f"2**53 - 1; nothing of {shown(dict(metrics))} was counted"
                )
            reason = "" if verdict == "counted" else verdict
            return Recorded(not reason, event.day, reason)

        return self._script.question(
            read,
            safe=bool(seen),
            day=key("performance_stats", date=day, **ids),
            hour=key("stats_minutes", hour=event.hour, **ids),
            reach=key("stats_reach", date=day, **ids),
            seen=seen,
            day_ms=day_ends + self._retention_ms - now,
            hour_ms=0 if event.time_ms is None else hour_ends + self._live_ms - now,
            seen_ms=self._seen_ms,
            minute=event.minute,
            user=event.user,
            metrics=event.fields,
        )

    def _last(self, days: int) -> list[Day]:
        _within(days, "days", MAX_DAYS)
        return last_days(day_of(self._clock.now_ms()), days)

    def _day_keys(self, pattern: str, campaign_id: str, days: list[Day]) -> list[str]:
        """Keys of several days: built once, then only the date at the end differs."""
        first = days[0].isoformat()
        key = self.cache.get_key(pattern, campaign_id=campaign_id, date=first)
        stem = key.removesuffix(first)
        return [stem + day.isoformat() for day in days]

    def _met(self, found: int, asked: int) -> None:
        self._meter.hit(found)
        self._meter.miss(asked - found)


def _within(count: int, name: str, most: int) -> None:
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= most:
        raise InvalidValue(f"{name} must be 1 to {most}, got {shown(count)}")
