"""Exercise 07 recognises each wrong idea, however it is written, and harms nothing.

The answers are in `wrong_answers_07` and `more_answers_07`; this is the confusion
table of the judge.
"""

import functools
import threading
from collections import Counter

import pytest

from adcache import backends, connect
from adcache.course import trial as trial_module
from adcache.course.checking import TASKS, judge
from adcache.course.exercise_07.log import BUGGY_LOG
from adcache.course.task import Wrong
from adcache.course.trial import TooLong, Trial, time_limit
from adcache.course.wrong_clock import wrong_clock
from tests import more_answers_07, wrong_answers_07

ANSWERS = {
    key: {
        name: [*answers, *more_answers_07.ANSWERS[key].get(name, ())]
        for name, answers in made.items()
    }
    for key, made in wrong_answers_07.ANSWERS.items()
}
CASES = [
    pytest.param(key, name, n, id=f"{key}-{name or 'right'}-{n}")
    for key, made in ANSWERS.items()
    for name, answers in made.items()
    for n in range(len(answers))
]


def named(key, answer):
    """The misconception that the judge names; "" for a right answer."""
    worlds = []

    def make():
        worlds.append(Trial())
        return worlds[-1]

    try:
        TASKS[key].judge(make, answer)
    except Wrong as wrong:
        return wrong.misconception
    finally:
        for world in worlds:
            world.close()
    return ""


@functools.cache
def names(key):
    """For each answer of a task: (the idea written, its number) -> the idea named."""
    return {
        (name, n): named(key, answer)
        for name, answers in ANSWERS[key].items()
        for n, answer in enumerate(answers)
    }


def confusion_table(key):
    """How often each idea was written (row) and named (column)."""
    return Counter((written, found) for (written, _), found in names(key).items())


@pytest.fixture
def quick(monkeypatch):
    """Limits that are reached at once."""
    monkeypatch.setattr(trial_module, "LUA_STEPS", 200_000)
    monkeypatch.setattr("adcache.course.checking.time_limit", lambda: time_limit(0.2))


@pytest.mark.parametrize(("key", "name", "n"), CASES)
def test_an_answer_is_named_by_its_idea(key, name, n):
    """A right answer is right; a wrong one is named by the idea behind it."""
    assert name == names(key)[name, n]


@pytest.mark.parametrize("key", TASKS)
def test_no_answer_is_left_out(key):
    """Every idea of the second hand stands in the table, too."""
    assert set() == set(more_answers_07.ANSWERS[key]) - set(ANSWERS[key])


@pytest.mark.parametrize("key", TASKS)
def test_the_confusion_table_is_diagonal(key):
    """What is written is named, for every misconception of the task."""
    expected = Counter({(n, n): len(made) for n, made in ANSWERS[key].items()})

    assert expected == confusion_table(key)
    assert {"", *TASKS[key].misconceptions} == set(ANSWERS[key])


@pytest.mark.parametrize("key", TASKS)
def test_a_task_has_enough_answers_hints_and_sentences(key):
    """Three ways to write each idea, two right ways, three hints, whole sentences."""
    task = TASKS[key]
    titles = [title for title, _ in task.misconceptions.values()]

    assert all(len(made) >= 3 for made in ANSWERS[key].values())
    assert len(titles) == len(set(titles))
    assert all(why.strip().endswith(".") for _, why in task.misconceptions.values())
    assert 3 == len({hint.strip() for hint in task.hints if hint.strip()})


@pytest.mark.parametrize("key", TASKS)
def test_a_wrong_answer_is_told_what_happened_and_why(key):
    """The report has the idea's title, the probe, expected, got and the lesson."""
    for name, (title, why) in TASKS[key].misconceptions.items():
        state, text = judge(TASKS[key], ANSWERS[key][name][0])

        assert ("wrong", title) == (state, text.splitlines()[0])
        for part in ("What was done: ", "Expected: ", "Got: ", f"Why: {why}"):
            assert part in text


def test_an_answer_with_a_memory_is_named_the_same_again():
    """Counts that an earlier check left in the process do not confuse the judge."""
    for answer in ANSWERS["07.3"]["own_memory"]:
        assert ["own_memory"] * 2 == [named("07.3", answer) for _ in range(2)]


def _dots(cache, user_id, campaign_id, impression_id): ...


def _documented(cache, user_id, campaign_id, impression_id):
    """What it is to do."""


@pytest.mark.parametrize(
    ("key", "stub"),
    [
        *[(key, stub) for key in TASKS for stub in (None, ...)],
        *[
            (key, s)
            for key in ("07.1", "07.2")
            for s in ("", " \n", "-- later\n  -- x")
        ],
        ("07.2", BUGGY_LOG),
        ("07.2", f"\n{BUGGY_LOG}\n"),
        ("07.3", _dots),
        ("07.3", _documented),
    ],
)
def test_a_stub_is_not_attempted(key, stub):
    """Nothing written yet is no wrong answer: it is told how to begin."""
    state, text = judge(TASKS[key], stub)

    assert "not attempted" == state
    assert text.startswith(TASKS[key].start)


def _divide(number):
    return number / 0


def _helper(cache, user_id, campaign_id, impression_id):
    return _divide(1)


def _library(cache, user_id, campaign_id, impression_id):
    return cache.redis_client.incr("k", "many")


def _package(cache, user_id, campaign_id, impression_id):
    return cache.get_key("user_profile:{x}")


@pytest.mark.parametrize(
    ("serve", "line"),
    [
        (_helper, "return number / 0"),
        (_library, 'return cache.redis_client.incr("k", "many")'),
        (_package, 'return cache.get_key("user_profile:{x}")'),
    ],
)
def test_a_python_crash_points_at_the_learners_own_line(serve, line):
    """Also when a library or the package raised."""
    number = serve.__code__.co_firstlineno + 1
    number = _divide.__code__.co_firstlineno + 1 if serve is _helper else number
    state, text = judge(TASKS["07.3"], serve)

    assert "crashed" == state
    assert f"In your code, line {number}: {line}" in text
    assert "Traceback" not in text


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("\nlocal x = nil\n  return x + 1", "line 3: return x + 1"),
        ("local a = 1\nreturn redis.call('NOPE', a)", "NOPE"),
        ("local a = 1\nlocal b = = 2\nreturn a", "line 2: local b = = 2"),
        (
            "redis.call('SET', KEYS[1], 'x')\nreturn redis.call('LLEN', KEYS[1])",
            "WRONG",
        ),
    ],
)
def test_a_lua_crash_says_what_redis_said(script, told):
    """With the script's own line where Lua names it."""
    for key in ("07.1", "07.2"):
        state, text = judge(TASKS[key], script)

        assert "crashed" == state
        assert told.lower() in text.lower()


def _busy(cache, user_id, campaign_id, impression_id):
    while True:
        pass


def _obstinate(cache, user_id, campaign_id, impression_id):
    while True:
        try:  # noqa: SIM105 - what a learner might write
            cache.redis_client.get("k")
        except:  # noqa: E722, S110
            pass


def _lua_in_python(cache, user_id, campaign_id, impression_id):
    cache.redis_client.eval("while true do end", 0)


@pytest.mark.parametrize(
    ("key", "answer", "told"),
    [
        ("07.1", "while true do end", "does not end"),
        ("07.2", "repeat local x = 1 until x == 2", "does not end"),
        (
            "07.1",
            "while true do pcall(function() while true do end end) end",
            "not end",
        ),
        ("07.1", "while true do redis.call('GET', KEYS[1]) end", "not end"),
        ("07.3", _busy, "did not end within 5 seconds"),
        ("07.3", _obstinate, "did not end within 5 seconds"),
        ("07.3", _lua_in_python, "does not end"),
    ],
)
@pytest.mark.timeout(20)
def test_an_endless_loop_ends_at_the_limit(quick, key, answer, told):
    """In Lua, in Python, and where every exception is caught."""
    state, text = judge(TASKS[key], answer)

    assert "crashed" == state
    assert told in text


@pytest.mark.timeout(20)
def test_an_endless_loop_ends_in_a_thread():
    """Where no alarm can ring each line looks at the time."""
    ended = []

    def work():
        with pytest.raises(TooLong), time_limit(0.1):
            _busy(None, "", "", "")
        ended.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(10)

    assert [True] == ended


@pytest.mark.parametrize("key", ["07.1", "07.2"])
def test_a_global_is_explained_and_spoils_nothing(key):
    """The learner's own fake runs scripts afterwards, and so does the next check."""
    own = connect("fakeredis://").redis_client
    state, text = judge(TASKS[key], "count = 1\nreturn count")

    assert "crashed" == state
    assert "a name without `local` is a global" in text
    assert 7 == own.eval("local seven = 7 return seven", 0)
    assert "right" == judge(TASKS[key], ANSWERS[key][""][0])[0]


@pytest.mark.parametrize("key", TASKS)
def test_a_check_leaves_nothing_behind(key):
    """No key in the learner's fake, no fake server more, whatever the outcome."""
    own = connect("fakeredis://").redis_client
    keys, fakes = set(own.scan_iter()), set(backends._fakes)
    for made in [*ANSWERS[key].values(), [7], ["x = 1"], ["return x.y"], [_helper]]:
        judge(TASKS[key], made[0])

        assert fakes == set(backends._fakes)
    assert keys == set(own.scan_iter())


async def _coroutine(cache, user_id, campaign_id, impression_id):
    return True


def _generator(cache, user_id, campaign_id, impression_id):
    yield True


def _leaves(cache, user_id, campaign_id, impression_id):
    raise SystemExit


class _NoTruth:
    def __bool__(self):
        raise RuntimeError("neither")

    def __eq__(self, other):
        raise RuntimeError("nothing alike")


ODD = [7, 1.5, [], {}, b"return 1", int, object(), _NoTruth, lambda: 1, _coroutine]
ODD += [_generator, _leaves, lambda *_: _NoTruth(), lambda *_: [None, {}], lambda *_: 7]
ODD += ["return '\\255'", "redis.call('SET', KEYS[1], '\\255') return 1", "\ud800"]
ODD += ["return {}", "return function() end", "error({})", "return 0 / 0", "return 1\0"]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("odd", ODD, ids=[f"odd-{n}" for n in range(len(ODD))])
@pytest.mark.parametrize("key", TASKS)
def test_an_odd_answer_gets_an_outcome(key, odd):
    """Neither the judge nor the report raises, and no coroutine is forgotten."""
    state, text = judge(TASKS[key], odd)

    assert state in ("wrong", "crashed")
    assert "Traceback" not in text


def test_a_wrong_clock_is_wrong_for_the_learner_alone():
    """Redis and the cache keep the right time, and all is as before afterwards."""
    import datetime
    import time

    cache = connect("fakeredis://clocks")
    before = (time.time, time.time_ns, datetime.datetime, time.gmtime)

    def look():
        server, _ = cache.redis_client.time()
        return round((time.time() - server) / 60), datetime.datetime.now().year

    with wrong_clock(look, 10 * 366 * 86_400):
        ahead, year = look()
    backends.rebuild_embedded("fakeredis://clocks")

    assert 10 * 366 * 24 * 60 == pytest.approx(ahead, abs=1)
    assert 10 <= year - datetime.datetime.now().year <= 11
    assert before == (time.time, time.time_ns, datetime.datetime, time.gmtime)
