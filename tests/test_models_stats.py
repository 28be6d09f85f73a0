"""Statistics against plain Python, and the fake against a server."""

from datetime import timedelta
from fractions import Fraction

from hypothesis import strategies as st
from hypothesis.stateful import rule

from adcache import InvalidValue, PerformanceStatsCache, ratios
from tests.model_help import Twins, run

CAMPAIGNS = st.sampled_from(["c", "c:{d}"])
METRICS = ["impressions", "clicks", "conversions", "cost", "revenue", "a:b"]
LARGEST = 2**53 - 1
WHOLE = st.sampled_from([1, 1, 2, -1, 7, LARGEST])
PARTS = st.sampled_from([1, 0.1, 0.25, -0.5, 3, 1e-6, 9007199254.740991])
EVENTS = st.dictionaries(
    st.sampled_from(["impressions", "clicks", "a:b"]), WHOLE, max_size=2
).flatmap(
    lambda counts: st.dictionaries(
        st.sampled_from(["cost", "revenue", "conversions"]), PARTS, max_size=2
    ).map(lambda money: counts | money)
)
RETENTION, LIVE = 7, 3  # days, hours


class StatsMachine(Twins):
    """Random events of today, yesterday and long ago; some come twice."""

    pauses = st.sampled_from([0.001, 59.999, 3600, 43_200, 86_399.999, 172_800])

    def begin(self):
        self.both = [
            PerformanceStatsCache(each, retention=timedelta(days=RETENTION))
            for each in self.caches
        ]
        self.days, self.seen, self.people = {}, set(), {}
        self.minute_counts = {}

    @rule(
        campaign=CAMPAIGNS,
        metrics=EVENTS,
        event=st.sampled_from([None, "e1", "e:2", "e3"]),
        user=st.sampled_from([None, "ada", "b:c"]),
        ago=st.sampled_from([None, 0, 60, 7200, 86_400, 691_200]),
    )
    def record(self, campaign, metrics, event, user, ago):
        at = None if ago is None else self.clock.now() - timedelta(seconds=ago)
        told = self.agree(lambda s: s.record_event(campaign, metrics, event, user, at))
        expected = self.expected(campaign, metrics, event, user, at or self.clock.now())
        if expected is InvalidValue:
            assert InvalidValue is told[0]
            again = self.agree(
                lambda s: s.record_event(campaign, metrics, event, user, at)
            )
            assert told == again, "a refused event left something behind"
        else:
            assert expected == told.reason

    @rule(campaign=CAMPAIGNS, event=st.sampled_from(["e4", "e5"]))
    def overflow(self, campaign, event):
        """More than fits is refused whole, and its id is not used up."""
        for number in (None, event):
            self.record(campaign, {"a:b": 1, "clicks": LARGEST}, number, None, None)

    def expected(self, campaign, metrics, event, user, at):
        """Count it in the model: "" when it counts now, else why not."""
        exact = [self.exact(value) for value in metrics.values()]
        units = [1 if self.field(*each)[1] else 10**6 for each in metrics.items()]
        limits = [Fraction(LARGEST, unit) for unit in units]
        if not metrics or any(
            abs(e) > most for e, most in zip(exact, limits, strict=True)
        ):
            return InvalidValue
        day_ends = at.replace(hour=0, minute=0, second=0, microsecond=0)
        day_ends += timedelta(days=1 + RETENTION)
        if day_ends <= self.clock.now():
            return "too_old"
        if event is not None and (campaign, event) in self.seen:
            return "duplicate"
        day = self.days.setdefault((campaign, at.date()), {})
        sums = dict(day)
        for metric, value in metrics.items():
            field = self.field(metric, value)
            sums[field] = sums.get(field, 0) + self.exact(value)
            unit = 1 if field[1] else Fraction(1, 10**6)
            if abs(sums[field]) > LARGEST * unit:
                return InvalidValue
        day.update(sums)
        if event is not None:
            self.seen.add((campaign, event))
        if user:
            self.people.setdefault((campaign, at.date()), set()).add(user)
        self.chart(campaign, metrics, at)
        return ""

    @staticmethod
    def exact(value):
        return Fraction(round(Fraction(str(value)) * 10**6), 10**6)

    @staticmethod
    def field(metric, value):
        """A count and its fractions stand apart, and may each be as large as can be."""
        whole = float(value).is_integer() and metric not in ("cost", "revenue")
        return metric, whole

    def chart(self, campaign, metrics, at):
        """Minutes are counted until some hours after their own."""
        hour = at.replace(minute=0, second=0, microsecond=0)
        if hour + timedelta(hours=1 + LIVE) <= self.clock.now():
            return
        for metric, value in metrics.items():
            minute = (campaign, metric, at.replace(second=0, microsecond=0))
            before = self.minute_counts.get(minute, 0)
            self.minute_counts[minute] = before + self.exact(value)

    def total(self, campaign, day, metric):
        fields = self.days.get((campaign, day), {})
        return sum(fields.get((metric, whole), 0) for whole in (True, False))

    @rule(campaign=CAMPAIGNS, ago=st.integers(0, 9))
    def look_at_a_day(self, campaign, ago):
        day = self.clock.now().date() - timedelta(days=ago)
        told = self.agree(lambda s: s.get_daily_stats(campaign, day))
        named = {metric for metric, _ in self.days.get((campaign, day), {})}
        assert {each: float(self.total(campaign, day, each)) for each in named} == told

    @rule(campaign=CAMPAIGNS, days=st.sampled_from([1, 2, 7, 30]))
    def look_at_the_summary(self, campaign, days):
        told = self.agree(lambda s: s.get_campaign_summary(campaign, days))
        today = self.clock.now().date()
        wanted = {
            metric: float(
                sum(
                    self.total(campaign, today - timedelta(days=ago), metric)
                    for ago in range(days)
                )
            )
            for metric in METRICS[:5]
        }
        assert {name: float(told[name]) for name in wanted} == wanted
        given = {name: told[name] for name in wanted}
        assert given | ratios(given) == told

    @rule(campaign=CAMPAIGNS, days=st.sampled_from([1, 8]))
    def look_at_the_reach(self, campaign, days):
        told = self.agree(lambda s: s.reach(campaign, days))
        today = self.clock.now().date()
        reached = [
            self.people.get((campaign, today - timedelta(days=ago)), set())
            for ago in range(days)
        ]
        assert len(set().union(*reached)) == told

    @rule(campaign=CAMPAIGNS, metric=st.sampled_from(["clicks", "cost"]))
    def look_at_the_minutes(self, campaign, metric):
        told = self.agree(lambda s: s.minutes(campaign, metric, 121))
        assert [
            float(self.minute_counts.get((campaign, metric, start), 0))
            for start, _ in told
        ] == [value for _, value in told]


def test_statistics_equal_their_model(redis_url):
    """Whatever happens, days, summaries, minutes and reach are exact everywhere."""
    run(StatsMachine, redis_url, examples=40, steps=40)
