"""What must be reached, one line a goal: `make budgets` fails when one is missed.

A figure is a ratio within one run, or a count: neither depends on how fast the
machine is. "Bare" is bare redis-py with the same effects on the data. A figure
of None was not measured, which is a miss, too.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tools.bench import (
    jobs_bids,
    jobs_caps,
    jobs_decision,
    jobs_profiles,
    jobs_read_through,
    jobs_sessions,
    jobs_stats,
)
from tools.bench.measure import BARE, OURS, Figures

Figure = Callable[[Figures], float | None]


@dataclass(frozen=True)
class Goal:
    """A name, its limit (at most, or at least), and how to find the figure."""

    name: str
    limit: float
    figure: Figure
    at_least: bool = False


@dataclass(frozen=True)
class Verdict:
    """A goal with the figure of a run; `met` is False when there is none."""

    name: str
    wanted: str
    figure: float | None
    met: bool


def judge(goals: Sequence[Goal], figures: Figures) -> list[Verdict]:
    """Compare each goal with what the run found."""
    verdicts = []
    for goal in goals:
        found, sign = goal.figure(figures), "≥" if goal.at_least else "≤"
        met = found is not None and (
            found >= goal.limit if goal.at_least else found <= goal.limit
        )
        verdicts.append(Verdict(goal.name, f"{sign} {goal.limit:g}", found, met))
    return verdicts


def to_bare(job: str) -> Figure:
    """Our time at a job to that of bare redis-py."""
    return lambda f: _ratio(f.micros(job), f.micros(job, BARE))


def to_job(job: str, other: str) -> Figure:
    """Our time at a job to our time at another."""
    return lambda f: _ratio(f.micros(job), f.micros(other))


def to_fastest_peer(job: str) -> Figure:
    """Our time at a job to that of the fastest peer."""

    def figure(figures: Figures) -> float | None:
        best = figures.best_peer(job)
        return _ratio(figures.micros(job), best.micros if best else None)

    return figure


def times_faster(job: str, ours: str, other: str) -> Figure:
    """How many times faster one contender at a job is than another."""
    return lambda f: _ratio(f.micros(job, other), f.micros(job, ours))


def of_numbers(above: str, below: str) -> Figure:
    """The ratio of two numbers of the run."""
    return lambda f: _ratio(f.numbers.get(above), f.numbers.get(below))


def number(name: str) -> Figure:
    """A number of the run as it is."""
    return lambda f: f.numbers.get(name)


def trips(job: str, contender: str = OURS) -> Figure:
    """Trips to Redis that a contender needs for a job."""

    def figure(figures: Figures) -> float | None:
        row = figures.row(job, contender)
        return row.trips if row else None

    return figure


def _ratio(above: float | None, below: float | None) -> float | None:
    return above / below if above is not None and below else None


DECIDE, MANY, NEAR = jobs_decision.TEN, jobs_decision.MANY, jobs_decision.NEAR
GOALS = (
    Goal("cap check, to bare", 1.2, to_bare(jobs_caps.ONE)),
    Goal("bid, to bare", 1.2, to_bare(jobs_bids.ONE)),
    Goal("session touch, to bare", 1.2, to_bare(jobs_sessions.TOUCH)),
    Goal("activity update, to bare", 1.2, to_bare(jobs_profiles.UPDATE)),
    Goal("profile read, to HGETALL and parsing", 1.2, to_bare(jobs_profiles.READ)),
    Goal("read-through hit, to GET and decoding", 1.25, to_bare(jobs_read_through.HIT)),
    Goal("7-day summary, to one pipeline", 1.3, to_bare(jobs_stats.SUMMARY)),
    Goal(
        "one of ten caps in a call, to a check",
        0.35,
        to_job(jobs_caps.BATCH, jobs_caps.ONE),
    ),
    Goal(
        "one of 100 bids in a call, to a bid",
        0.1,
        to_job(jobs_bids.BATCH, jobs_bids.ONE),
    ),
    Goal("cap check, to the fastest peer", 1.0, to_fastest_peer(jobs_caps.ONE)),
    Goal("profile read, to the fastest peer", 1.0, to_fastest_peer(jobs_profiles.READ)),
    Goal("hit, to the fastest peer", 1.0, to_fastest_peer(jobs_read_through.HIT)),
    Goal("loads of a stampede of 50 callers", 1, number(f"loads: {OURS}")),
    Goal(
        "decision, times faster than naive",
        12,
        times_faster(DECIDE, OURS, "naive"),
        True,
    ),
    Goal(
        "near cache, times faster than naive",
        15,
        times_faster(DECIDE, NEAR, "naive"),
        True,
    ),
    Goal("10,000 campaigns, to 10", 2, to_job(MANY, DECIDE)),
    Goal("trips of a decision", 3, trips(DECIDE)),
    Goal("trips with the near cache", 2, trips(DECIDE, NEAR)),
    Goal(
        "bytes of a profile, to naive",
        0.45,
        of_numbers("bytes: large profile, adcache", "bytes: large profile, naive"),
    ),
    Goal(
        "bytes of five caps, to naive",
        0.4,
        of_numbers("bytes: five caps, adcache", "bytes: five caps, naive"),
    ),
    Goal(
        "import adcache, to import redis",
        1.4,
        of_numbers("import adcache", "import redis"),
    ),
)
