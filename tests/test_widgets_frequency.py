"""Caps as data: what each algorithm serves, above all around a window's end."""

import pytest

from adcache import InvalidValue, connect
from adcache.widgets.cap_trial import CapTrial, burst_table
from adcache.widgets.frequency import (
    CLOCK_ALIGNED,
    aligned_window,
    burst_times,
    most_in_a_window,
    serve_timeline,
)
from adcache.widgets.frequency_figures import conclusion, heights, span, worst_window
from tests.conftest import all_keys

HOUR = 3600
EXACT = [("fixed", "2n - 1"), (CLOCK_ALIGNED, "2n"), ("sliding_log", "n")]


def served_times(attempts):
    """Times of the ads that were served."""
    return [ad.at for ad in attempts if ad]


@pytest.mark.parametrize("limit", [1, 3, 10])
@pytest.mark.parametrize(("algorithm", "bound"), EXACT)
def test_the_burst_reaches_the_bound_of_the_algorithm(
    make_cache, clock, algorithm, bound, limit
):
    """A clock-aligned window lets 2n through, an anchored one 2n - 1, a log n."""
    cache = make_cache("fakeredis", clock=clock)
    times = burst_times(algorithm, limit, HOUR)
    attempts = serve_timeline(cache, clock, algorithm, limit, HOUR, times)
    most = {"n": limit, "2n - 1": 2 * limit - 1, "2n": 2 * limit}[bound]

    assert most == most_in_a_window(served_times(attempts), HOUR)


def test_the_burst_table_is_the_same_on_every_backend(timed_cache):
    """The static twin prints the same numbers everywhere, and leaves no key."""
    rows = burst_table(timed_cache, 3, HOUR).splitlines()[1:]

    assert [["7", "6", "5"], ["6", "6", "6"], ["7", "4", "3"], ["7", "3", "3"]] == [
        row.split()[-3:] for row in rows
    ]
    assert [] == all_keys(timed_cache)


def test_a_timeline_moves_the_clock_and_says_when_to_come_back(timed_cache, clock):
    """Ads at 0, 10, 20 and 60 minutes under 2 an hour: the third is refused."""
    start = clock.now_ms()
    times = [0, 600, 1200, 3600]
    attempts = serve_timeline(timed_cache, clock, "fixed", 2, HOUR, times)

    assert [True, True, False, True] == [ad.served for ad in attempts]
    assert [1, 0, 0, 1] == [ad.remaining for ad in attempts]
    assert [0, 0, 2400, 0] == [ad.retry_after for ad in attempts]
    assert 3_600_000 == clock.now_ms() - start


def test_a_timeline_cannot_go_back(make_cache, clock):
    """Times that do not ascend are refused, with the reason."""
    cache = make_cache("fakeredis", clock=clock)
    with pytest.raises(InvalidValue, match="forward only"):
        serve_timeline(cache, clock, "fixed", 2, HOUR, [10, 5])


def test_the_naive_window_begins_with_the_clocks_hour(timed_cache, clock):
    """At 45 minutes the limit is full; at the full hour the count begins anew."""
    clock.advance(2700)
    first, second = (aligned_window(timed_cache, 1, HOUR) for _ in range(2))
    clock.advance(second.retry_after)

    assert [True, False, True] == [
        bool(each) for each in (first, second, aligned_window(timed_cache, 1, HOUR))
    ]
    assert 900 == second.retry_after


def test_looking_counts_nothing(timed_cache, clock):
    """A look tells what an ad would be told, and leaves no key."""
    before = aligned_window(timed_cache, 1, HOUR, look=True)
    keys = all_keys(timed_cache)
    aligned_window(timed_cache, 1, HOUR)
    after = aligned_window(timed_cache, 1, HOUR, look=True)

    assert (True, 1) == (before.allowed, before.remaining)
    assert (False, 0, HOUR) == (after.allowed, after.remaining, after.retry_after)
    assert [] == keys


def test_the_naive_window_needs_a_clock():
    """Without a clock of its own the cache cannot align, and says what to do."""
    with pytest.raises(InvalidValue, match=r"connect\(clock=ManualClock\(\)\)"):
        aligned_window(connect("fakeredis://tests"), 1, HOUR)


def test_an_unknown_algorithm_is_named():
    """The error lists the algorithms there are."""
    with pytest.raises(InvalidValue, match="sliding_log, clock_aligned, got 'leaky'"):
        burst_times("leaky", 3, HOUR)


@pytest.mark.parametrize(
    ("times", "most"),
    [([], 0), ([0], 1), ([0, 10], 1), ([0, 9.999], 2), ([0, 5, 9, 12, 14, 15], 4)],
)
def test_most_in_a_window_leaves_out_its_last_moment(times, most):
    """Ads 10 seconds apart never share a window of 10 seconds."""
    assert most == most_in_a_window(times, 10)


def test_heights_count_the_window_that_ends_with_the_ad(make_cache, clock):
    """A refused ad stands one above the served ones, where it would have been."""
    cache = make_cache("fakeredis", clock=clock)
    times = [0, 10, 20, 3600]
    attempts = serve_timeline(cache, clock, "fixed", 2, HOUR, times)
    served, refused = heights(attempts, HOUR)

    assert [(0, 1), (10, 2), (3600, 2)] == served
    assert [(20, 3)] == refused
    assert worst_window(served, 2, HOUR) is None
    assert "The cap held: at most 2 in 1 hour, limit 2" == conclusion(served, 2, HOUR)
    assert (10 - HOUR, 2) == worst_window(served, 1, HOUR)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (1, "1 second"),
        (90, "90 seconds"),
        (5400, "90 minutes"),
        (7200, "2 hours"),
        (86_400, "1 day"),
        (2.5, "2.5 seconds"),
        (1234.5, "about 21 minutes"),
    ],
)
def test_durations_are_said_in_words(seconds, words):
    """The largest unit that comes out even; a long uneven one is rounded up."""
    assert words == span(seconds)


def test_a_trial_leaves_the_lessons_clock_and_counts_alone(timed_cache, clock):
    """The lab has a visitor and a clock of its own, and can forget the visitor."""
    start = clock.now_ms()
    trial = CapTrial(timed_cache, "sliding_log", 3, HOUR)
    trial.serve()
    trial.advance(60)
    trial.serve()

    assert (clock, start) == (timed_cache.clock, clock.now_ms())
    assert [0, 60] == served_times(trial.attempts)
    assert "Served. Now 1 ad is left of 3 in 1 hour." == trial.outcome()
    assert [] != all_keys(timed_cache)
    trial.forget()
    assert [] == all_keys(timed_cache)


def test_a_burst_ends_a_window_that_is_open(make_cache):
    """After an ad at minute 20 the fixed window ends at 80, and the burst is there."""
    trial = CapTrial(make_cache("fakeredis"), "fixed", 3, HOUR)
    trial.advance(1200)
    trial.serve()
    times = [ad.at for ad in trial.burst()]

    assert [4440, 4560, 4680, 4800, 4920, 5040] == times
    assert 5 == trial.most()
