"""The benchmark's machinery: trips counted right, goals that bite, pages written."""

import threading
import time

import pytest
import redis

from adcache import FrequencyCapManager, connect
from adcache.course.naive import Naive
from tools import notebooks
from tools.bench import __main__ as program
from tools.bench import report
from tools.bench.goals import GOALS, Goal, judge, of_numbers, times_faster, to_bare
from tools.bench.measure import Absent, Contender, Figures, Job, Row, each, measure
from tools.bench.peers import peer
from tools.bench.proxy import TripCounter
from tools.bench.replay import recorded, same_trips


@pytest.fixture
def proxy(redis_url):
    """A counting proxy before a real server."""
    with TripCounter(redis_url) as counter:
        yield counter


@pytest.fixture
def client(proxy):
    """redis-py behind the proxy, connected."""
    made = redis.Redis.from_url(proxy.url, decode_responses=True)
    made.ping()
    yield made
    made.close()


def trips_of(proxy, call):
    """How many trips a call takes."""
    before = proxy.trips
    call()
    return proxy.trips - before


def test_a_command_is_one_trip(proxy, client):
    """Each command that is waited for counts once."""
    assert 1 == trips_of(proxy, client.ping)
    assert 5 == trips_of(proxy, lambda: [client.ping() for _ in range(5)])


def test_a_pipeline_is_one_trip_however_long(proxy, client):
    """Many commands and megabytes in one pipeline are one wait."""

    def pipeline():
        pipe = client.pipeline(transaction=False)
        for number in range(300):
            pipe.set("bench:long", str(number) * 2000, ex=5)
        assert [True] * 300 == pipe.execute()

    assert 1 == trips_of(proxy, pipeline)


def test_a_big_answer_is_one_trip(proxy, client):
    """An answer that comes in many packets belongs to one wait."""
    client.set("bench:big", "x" * 3_000_000, ex=5)

    assert 1 == trips_of(proxy, lambda: client.get("bench:big"))


def test_compositions_take_the_trips_they_wait_for(proxy):
    """The naive cap waits three times, ours once."""
    cache = connect(proxy.url)
    naive, caps = Naive(cache), FrequencyCapManager(cache)
    calls = [
        lambda: naive.check_frequency_cap("trips", "tea", 10**6),
        lambda: caps.check_frequency_cap("trips", "tea", 10**6),
    ]
    for call in calls:
        call()

    assert [3, 1] == [trips_of(proxy, call) for call in calls]


def test_threads_count_each_for_itself(proxy):
    """Waits on several lines at once are all counted."""
    clients = [redis.Redis.from_url(proxy.url) for _ in range(4)]
    for client in clients:
        client.ping()
    before = proxy.trips
    threads = [
        threading.Thread(target=lambda c=c: [c.ping() for _ in range(10)])
        for c in clients
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 40 == proxy.trips - before


def test_nobody_waits_for_what_a_subscriber_is_told(proxy, client):
    """A line that listens is not counted, its pings neither."""
    listener = client.pubsub()
    listener.subscribe("bench:news")
    listener.get_message(timeout=1)

    assert 0 == trips_of(proxy, listener.ping)


def test_the_sum_of_a_run_is_per_unit(redis_url):
    """Times, trips and the server's CPU are those of one unit of a job."""

    def both(url):
        client = redis.Redis.from_url(url)
        yield Contender("one", each(lambda _: client.ping(), [0]))
        yield Contender("two", each(lambda _: (client.ping(), client.ping()), [0]), 2)
        yield Absent("nobody", "not installed")

    figures = measure([Job("ping", lambda url: None, both)], redis_url, 0)
    one, two = figures.rows

    assert (1, 1) == (one.trips, two.trips)
    assert one.micros > one.server > 0
    assert two.micros > 0
    assert ["nobody at ping: not installed"] == figures.absent


def test_what_a_slice_left_behind_is_tidied_outside_of_the_time(redis_url):
    """`tidy` runs after each slice, and its time is nobody's."""
    tidied = []

    def slow(url):
        yield Contender(
            "x", lambda calls: None, tidy=lambda: (tidied.append(1), time.sleep(0.01))
        )

    figures = measure([Job("slow to tidy", lambda url: None, slow)], redis_url, 0)

    assert len(tidied) >= 5
    assert figures.rows[0].micros < 5000


def test_replaying_has_the_same_effects(redis_url):
    """What was recorded of a call, replayed by redis-py, counts again."""
    cache = connect(redis_url, namespace="bench-replay")
    caps = FrequencyCapManager(cache)
    trips = recorded(cache, lambda: caps.check_frequency_cap("ada", "tea", 10, 5))
    same_trips(redis.Redis.from_url(redis_url), trips)

    assert 2 == caps.peek("ada", "tea", 10, 5).count


def test_who_is_missing_is_named(monkeypatch):
    """A peer that cannot be imported is left out with a line that says so."""
    monkeypatch.setitem(peer.__globals__["PEERS"], "limits", "no_such_module_here")
    (found,) = peer("limits", lambda: pytest.fail("it is not there"))

    assert isinstance(found, Absent)
    assert "not installed" in found.why


def figures_of(ours, bare=10.0):
    """Figures of one job, and of what is no time."""
    rows = [Row("job", "adcache", False, ours), Row("job", "redis-py", False, bare)]
    rows += [Row("job", "limits", True, 12.0), Row("job", "naive", False, 100.0)]
    return Figures(rows, {"a": 40.0, "b": 100.0}, ["x at job: not installed"])


def test_a_missed_goal_is_red(capsys):
    """Beyond the limit, or never measured: the program fails with --budgets."""
    goals = [
        Goal("to bare", 1.2, to_bare("job")),
        Goal("a to b", 0.4, of_numbers("a", "b")),
    ]
    good, bad = (judge(goals, figures_of(us)) for us in (12.0, 12.1))
    lost = judge([Goal("gone", 1, to_bare("no such job"))], figures_of(1.0))

    assert [True, True] == [verdict.met for verdict in good]
    assert [False, True] == [verdict.met for verdict in bad]
    assert (0, 1, 1) == tuple(program.end(v, budgets=True) for v in (good, bad, lost))
    assert 0 == program.end(bad, budgets=False)
    assert "missed: to bare: 1.21, wanted ≤ 1.2" in capsys.readouterr().out


def test_a_goal_to_be_faster_looks_the_other_way():
    """At least 12 times faster is met by 12 and missed by 11.9."""
    goal = Goal("faster", 12, times_faster("job", "adcache", "naive"), at_least=True)

    assert [True] == [v.met for v in judge([goal], figures_of(100 / 12))]
    assert [False] == [v.met for v in judge([goal], figures_of(100 / 11.9))]


def test_each_goal_of_the_contract_is_there():
    """Every goal has a name of its own, and a run that found nothing meets none."""
    verdicts = judge(GOALS, Figures())

    assert len(GOALS) == len({goal.name for goal in GOALS})
    assert [] == [verdict.name for verdict in verdicts if verdict.met]


def test_the_page_is_written_and_the_readme_quotes_it(tmp_path):
    """BENCHMARKS.md is generated; the README's part stands between its markers."""
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    figures, about = figures_of(9.0), report.environment("7.0.15")
    verdicts = judge([Goal("to bare", 1.2, to_bare("job"))], figures)

    written = report.write(tmp_path, figures, verdicts, about, "make bench")
    page = (tmp_path / "BENCHMARKS.md").read_text()
    quoted = readme.read_text()

    assert ["BENCHMARKS.md", "README.md"] == written
    assert "| job | adcache | 9.0 | 0.90 | 0 | 0.0 |" in page
    assert "| to bare | met | ≤ 1.2 | 0.90 |" in page
    assert "Left out: x at job: not installed." in page
    assert quoted.startswith(f"before\n{report.BEGIN}\n| job |")
    assert quoted.endswith(f"{report.END}\nafter\n")
    assert "old" not in quoted


def test_a_readme_without_markers_stays_as_it_is(tmp_path):
    """No marker, or half of them: nothing is touched."""
    readme = tmp_path / "README.md"
    for text in ("no markers\n", f"{report.END} {report.BEGIN}\n", f"{report.BEGIN}\n"):
        readme.write_text(text)
        about = report.environment("7.0.15")
        written = report.write(tmp_path, figures_of(9.0), [], about, "make bench")

        assert ["BENCHMARKS.md"] == written
        assert text == readme.read_text()


def test_make_passes_its_arguments_on():
    """`make bench ARGS=--quick` and `make budgets` start this program."""
    makefile = (notebooks.ROOT / "Makefile").read_text(encoding="utf-8")

    assert "-m tools.bench $(ARGS)" in makefile
    assert "-m tools.bench --budgets $(ARGS)" in makefile
