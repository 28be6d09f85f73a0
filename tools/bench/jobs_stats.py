"""Statistics: the summary of a week, and counting one event of several metrics."""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

from adcache import RedisAdCache, connect
from adcache.course.naive import METRICS, Naive
from adcache.stats import PerformanceStatsCache
from tools.bench.measure import BARE, OURS, Absent, Contender, Job, Run, each
from tools.bench.replay import bare, plain, same_script

CAMPAIGNS = [f"campaign_{n}" for n in range(100)]
DAYS = 7
EVENT = {"impressions": 1, "cost": 0.0024}
SUMMARY, COUNT = "7-day summary", "event of two metrics"

Found = Iterator[Contender | Absent]


def week() -> list[date]:
    """Return the last seven UTC days, today first."""
    today = datetime.now(UTC).date()
    return [today - timedelta(days=back) for back in range(DAYS)]


def count_a_week(url: str) -> None:
    """Give every campaign five metrics on each of seven days, in both designs."""
    cache = connect(url)
    stats, naive = PerformanceStatsCache(cache), Naive(cache)
    totals = dict(zip(METRICS, (1000, 20, 2, 2.4, 60.0), strict=True))
    for name in CAMPAIGNS:
        for day in week():
            stats.record_event(name, totals, at=day)
            key = naive.key("stats", name, day.isoformat())
            naive.client.hset(key, mapping=totals)
            naive.client.expire(key, DAYS * 86_400)


def summaries(url: str) -> Found:
    """Sum up a week."""
    naive, stats = Naive(plain(url)), PerformanceStatsCache(connect(url))
    yield Contender(OURS, each(stats.get_campaign_summary, CAMPAIGNS))
    yield Contender("naive", each(naive.get_campaign_summary, CAMPAIGNS))
    yield Contender(BARE, one_pipeline(url, naive))


def one_pipeline(url: str, naive: Naive) -> Run:
    """Seven HMGETs in a pipeline, and the sums."""
    client = bare(url)
    days = [day.isoformat() for day in week()]

    def summary(name: str) -> dict[str, float]:
        pipe = client.pipeline(transaction=False)
        for day in days:
            pipe.hmget(naive.key("stats", name, day), METRICS)
        rows = pipe.execute()
        columns = zip(*rows, strict=True)
        sums = [sum(float(cell or 0) for cell in column) for column in columns]
        total = dict(zip(METRICS, sums, strict=True))
        total["ctr"] = total["clicks"] / total["impressions"]
        total["cvr"] = total["conversions"] / total["clicks"]
        total["cpc"] = total["cost"] / total["clicks"]
        total["roas"] = total["revenue"] / total["cost"]
        return total

    return each(summary, CAMPAIGNS)


def counter(cache: RedisAdCache) -> Callable[[str], Any]:
    """Return a function that counts an impression and its cost."""
    stats = PerformanceStatsCache(cache)
    return lambda name: stats.record_event(name, EVENT)


def events(url: str) -> Found:
    """Count an impression with its cost, for its day and its minute."""
    naive, cache = Naive(plain(url)), connect(url)

    def two_metrics(name: str) -> None:
        for metric, value in EVENT.items():
            naive.increment_stat(name, metric, value)

    yield Contender(OURS, each(counter(connect(url)), CAMPAIGNS))
    yield Contender("naive", each(two_metrics, CAMPAIGNS))
    yield Contender(BARE, same_script(url, cache, counter(cache), CAMPAIGNS))


JOBS = [Job(SUMMARY, count_a_week, summaries), Job(COUNT, count_a_week, events)]
