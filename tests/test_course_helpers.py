"""What lessons stand on: a cache of their own, guesses, keys, trips and races."""

import json
import os
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from adcache import FrequencyCapManager, InvalidValue, ManualClock, RedisAdCache
from adcache.course import (
    lesson,
    predict,
    prediction,
    progress_file,
    race,
    show_keys,
    trace,
)
from adcache.course.hop import Call
from adcache.course.inspect_keys import ttl_text
from adcache.course.table import Table
from adcache.resp import command_size, reply_size

OPTIONS = {"one ad": "Both read `2` first.", "two ads": "Both read, then both write."}


@pytest.fixture(autouse=True)
def progress(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The progress file of the test, empty at first."""
    file = tmp_path / "home" / "progress.json"
    monkeypatch.setenv("ADCACHE_PROGRESS", str(file))
    monkeypatch.setattr(progress_file, "_memory", {})
    monkeypatch.setattr(prediction, "_asked", {})
    return file


def key_of(cache: RedisAdCache, name: str) -> str:
    """A key in the cache's namespace, in one slot of a cluster."""
    return cache.get_key("test:{{{name}}}", name=name)


# lesson ------------------------------------------------------------------------


def test_lesson_starts_empty_at_the_course_s_time() -> None:
    """A lesson gets a clock at the start of 2026 and a cache without keys."""
    cache, clock = lesson("06")

    assert ManualClock().now() == clock.now()
    assert clock is cache.clock
    assert 0 == len(show_keys(cache))


def test_two_learners_of_one_lesson_do_not_meet() -> None:
    """Each run of a set-up cell has a namespace of its own below the usual one."""
    first, second = lesson("06")[0], lesson("07")[0]

    assert first.config.namespace != second.config.namespace
    assert first.config.namespace.startswith("adcache:lesson-06:")


def test_lesson_takes_the_classroom_s_namespace(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """ADCACHE_NAMESPACE comes before the lesson's own part."""
    monkeypatch.setenv("ADCACHE_NAMESPACE", "class-4b")

    assert lesson("06")[0].config.namespace.startswith("class-4b:lesson-06:")


def test_namespace_is_not_printed() -> None:
    """Neither the cache, its config nor the table of keys shows the namespace."""
    cache, _ = lesson("06")
    cache.redis_client.set(key_of(cache, "x"), "1", ex=60)
    shown = f"{cache!r} {cache.config!r} {show_keys(cache)!r}"

    assert "lesson-06" not in shown


def test_set_up_cell_run_again_removes_what_it_left_before() -> None:
    """A naive version's key without TTL goes when the lesson starts anew."""
    cache, _ = lesson("06")
    cache.redis_client.set(key_of(cache, "forever"), "1")
    lesson("06")

    assert 0 == len(show_keys(cache))


def test_lesson_leaves_nothing_on_a_server(redis_url: str) -> None:
    """Keys without TTL are deleted when the kernel ends."""
    code = (
        "from adcache.course import lesson\n"
        "cache, _ = lesson('06')\n"
        "cache.redis_client.set(cache.get_key('x:{{{i}}}', i='1'), 'immortal')\n"
        "print(cache.redis_client.dbsize())\n"
    )
    environment = os.environ | {"ADCACHE_URL": redis_url, "ADCACHE_NAMESPACE": "gone"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    client = RedisAdCache.from_url(redis_url).redis_client

    assert int(done.stdout) >= 1
    assert [] == list(client.scan_iter(match="gone*"))


@pytest.mark.parametrize("number", ["", None, 6])
def test_lesson_number_must_be_text(number: Any) -> None:
    """A lesson is named by its two digits, as text."""
    with pytest.raises(InvalidValue, match="lesson number"):
        lesson(number)


# predict -----------------------------------------------------------------------


def ask(answer: str = "two ads") -> None:
    """Ask the question of these tests."""
    predict("06.1", "How many?", OPTIONS, answer)


def test_question_does_not_tell_the_answer(capsys: pytest.CaptureFixture[str]) -> None:
    """Only the question, lettered options and how to answer are printed."""
    ask()
    expected = [
        "Predict 06.1: How many?",
        "  A  one ad",
        "  B  two ads",
        'Choose one below, or run: predict("06.1", choose="A")',
    ]

    assert expected == capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("answer", ["two ads", "B"])
def test_each_option_has_its_own_feedback(
    answer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The verdict is said in words, followed by what the chosen option teaches."""
    ask(answer)
    capsys.readouterr()
    predict("06.1", choose="a")
    predict("06.1", choose="B")
    expected = [
        "Not quite (A). Both read `2` first.",
        "Right (B). Both read, then both write.",
    ]

    assert expected == capsys.readouterr().out.splitlines()


def test_first_choice_is_noted(progress: Path) -> None:
    """The file tells the first choice, the tries, and that it was right at last."""
    ask()
    predict("06.1", choose="A")
    predict("06.1", choose="B")
    noted = json.loads(progress.read_text("utf-8"))["predictions"]["06.1"]

    assert {"first_choice": "A", "right": True, "tries": 2} == noted


def test_widget_asks_for_a_choice_before_it_says_anything() -> None:
    """The button answers an empty choice by asking for one, and notes nothing."""
    ask()
    form = prediction.form(prediction._asked["06.1"])
    button, said = form.children[-2], form.children[-1]
    button.click()

    assert "Choose one of the options first." in said.value
    assert {} == progress_file.entry("predictions", "06.1")


def test_widget_speaks_its_feedback() -> None:
    """The feedback is a live region, starts with the verdict, and is escaped."""
    predict("x", "1 < 2?", {"yes": "So `a < b`.", "no": "Look."}, "yes")
    form = prediction.form(prediction._asked["x"])
    choice, button, said = form.children[-3:]
    choice.value = "A"
    button.click()

    assert 'aria-live="polite"' in said.value
    assert "<b>Right (A).</b> So <code>a &lt; b</code>." in said.value


@pytest.mark.parametrize("answer", ["", "C", "three ads"])
def test_answer_must_be_an_option(answer: str) -> None:
    """A lesson whose answer is no option is refused when it asks."""
    with pytest.raises(InvalidValue, match="is not an option"):
        ask(answer)


def test_unknown_question_or_letter_says_what_to_do() -> None:
    """Choosing before asking, or a letter that is not there, names the cure."""
    with pytest.raises(InvalidValue, match="run the cell that asks it first"):
        predict("06.9", choose="A")
    ask()
    with pytest.raises(InvalidValue, match="choose one of A, B, got 'C'"):
        predict("06.1", choose="c")


# show_keys ---------------------------------------------------------------------


def test_keys_are_shown_the_same_on_every_backend(cache: RedisAdCache) -> None:
    """Type, TTL, size and first values, sorted, without the namespace."""
    client = cache.redis_client
    client.set(key_of(cache, "text"), "v" * 70, ex=60)
    client.hset(key_of(cache, "hash"), mapping={"b": "2", "a": "1"})
    client.zadd(key_of(cache, "zset"), {"late": 2.5, "early": 1})
    client.sadd(key_of(cache, "set"), "y", "x")
    client.rpush(key_of(cache, "list"), "2", "1")
    for name, seconds in (("hash", 3600), ("zset", 86_400), ("set", 61), ("list", 9)):
        client.expire(key_of(cache, name), seconds)
    expected = [
        ("test:{hash}", "hash", "3600 s", 2, "a=1, b=2"),
        ("test:{list}", "list", "9 s", 2, "2, 1"),
        ("test:{set}", "set", "70 s", 2, "x, y"),
        ("test:{text}", "string", "60 s", 70, "v" * 57 + "..."),
        ("test:{zset}", "zset", "86400 s", 2, "early@1, late@2.5"),
    ]

    assert expected == show_keys(cache).rows


def test_only_a_server_tells_bytes(cache: RedisAdCache, backend: str) -> None:
    """MEMORY USAGE is a column of numbers on servers, and empty on the fake."""
    cache.redis_client.set(key_of(cache, "x"), "1", ex=60)
    table = show_keys(cache, bytes=True)
    told = table.rows[0][-1]

    assert "bytes" == table.columns[-1]
    assert (told is None) if backend == "fakeredis" else told > 40


@pytest.mark.parametrize(
    ("pttl", "expected"),
    [
        (-1, "none"),
        (-2, "gone"),
        (1, "1 s"),
        (59_001, "60 s"),
        (60_001, "70 s"),
        (3_590_001, "3600 s"),
        (3_600_001, "3660 s"),
        (86_400_000, "86400 s"),
    ],
)
def test_ttl_is_rounded_up(pttl: int, expected: str) -> None:
    """A cell that runs a little later prints the same text."""
    assert expected == ttl_text(pttl)


# trace -------------------------------------------------------------------------


def hop_of(cache: RedisAdCache) -> trace:
    """Send a script, plain commands and a pipeline; return what was seen."""
    caps, client, key = FrequencyCapManager(cache), cache.redis_client, key_of
    with trace(cache) as hop:
        caps.check_frequency_cap("ada", "sneakers")
        client.set(key(cache, "x"), "abc", ex=60)
        client.expire(key(cache, "x"), 30)
        client.get(key(cache, "x"))
        with client.pipeline(transaction=False) as pipe:
            pipe.get(key(cache, "x")).get(key(cache, "x"))
            pipe.execute()
    return hop


def test_trace_counts_the_same_on_every_backend(timed_cache: RedisAdCache) -> None:
    """Trips and bytes are those of the protocol, whatever the server."""
    hop = hop_of(timed_cache)
    set_it = Call("SET", command_size(["SET", "test:{x}", "abc", "EX", "60"]), 5)

    assert 5 == hop.trips
    assert set_it == hop.calls[1]
    assert [9, 9, 9] == [call.bytes_in for call in hop.calls if call.name == "GET"]
    # by hand: EVALSHA 176, SET 52, EXPIRE 38, GET 27 each; replies 4, 5, 4, 9 each
    assert (176 + 52 + 38 + 3 * 27, 4 + 5 + 4 + 3 * 9) == (hop.bytes_out, hop.bytes_in)


def test_first_call_of_a_script_counts_as_any_other(timed_cache: RedisAdCache) -> None:
    """A script counts as EVALSHA also where the server must be given its text."""
    timed_cache.redis_client.script_flush()
    caps = FrequencyCapManager(timed_cache)
    with trace(timed_cache) as hop:
        caps.check_frequency_cap("ada", "sneakers")
        caps.check_frequency_cap("ada", "sneakers")

    assert ["frequency_cap"] * 2 == [call.name for call in hop.calls]
    assert hop.calls[0] == hop.calls[1]


def test_trace_gives_everything_back(cache: RedisAdCache) -> None:
    """After the block the earlier observer hears commands, and the trace does not."""
    heard: list[Any] = []
    cache.wire.observer = lambda *seen: heard.append(seen)
    with trace(cache) as hop:
        cache.wire.execute("GET", key_of(cache, "x"))
    cache.wire.execute("GET", key_of(cache, "x"))
    cache.redis_client.get(key_of(cache, "x"))

    assert (1, 1) == (hop.trips, len(hop.calls))
    assert 2 == len(heard)
    assert "execute_command" not in vars(cache.redis_client)


def test_trace_ends_also_when_the_block_fails(cache: RedisAdCache) -> None:
    """An error inside the block leaves nothing watched."""
    with pytest.raises(ZeroDivisionError), trace(cache):
        _ = 1 / 0

    assert cache.wire.observer is None
    assert "pipeline" not in vars(cache.redis_client)


def test_transaction_pays_for_multi_and_exec(
    make_cache: Any,
) -> None:
    """A pipeline in MULTI and EXEC is one trip with two commands more."""
    cache = make_cache("fakeredis")
    with trace(cache) as hop, cache.redis_client.pipeline() as pipe:
        pipe.set(key_of(cache, "x"), "1", ex=9).execute()

    assert 1 == hop.trips
    assert ["SET", "MULTI", "EXEC"] == [call.name for call in hop.calls]


def test_hop_s_table_adds_up(timed_cache: RedisAdCache) -> None:
    """One row a command in the order of its first call, and the total."""
    table = hop_of(timed_cache).table()

    assert ["frequency_cap", "SET", "EXPIRE", "GET"] == [r[0] for r in table.rows[:-1]]
    assert ("total, 5 trips", 6, 347, 40) == table.rows[-1]


@pytest.mark.parametrize(
    ("name", "reply", "wire"),
    [
        ("GET", None, "$-1\r\n"),
        ("GET", "é", "$2\r\né\r\n"),
        ("SET", True, "+OK\r\n"),
        ("EXPIRE", True, ":1\r\n"),
        ("DEL", 12, ":12\r\n"),
        ("HGETALL", {"f": "v"}, "*2\r\n$1\r\nf\r\n$1\r\nv\r\n"),
        ("EVALSHA", [1, [None, b"ab"]], "*2\r\n:1\r\n*2\r\n$-1\r\n$2\r\nab\r\n"),
    ],
)
def test_reply_has_the_size_it_had_on_the_wire(
    name: str, reply: Any, wire: str
) -> None:
    """A reply that redis-py has unpacked counts as it travelled."""
    assert len(wire.encode()) == reply_size(name, reply)


# race --------------------------------------------------------------------------


def bidder() -> Generator[str, None, int]:
    """An actor of two steps."""
    yield "reads 2"
    yield "writes 3"
    return 3


def clumsy() -> Generator[None, None, None]:
    """An actor that breaks at its second step."""
    yield
    raise ValueError("no count")


def test_race_runs_in_the_scripted_order(capsys: pytest.CaptureFixture[str]) -> None:
    """Actors take turns as the letters say, then run to their end in turn."""
    race([bidder, bidder], order="abb")
    expected = [
        "a  bidder  reads 2",
        "b  bidder  reads 2",
        "b  bidder  writes 3",
        "a  bidder  writes 3",
        "a  bidder  returns 3",
        "b  bidder  returns 3",
    ]

    assert expected == capsys.readouterr().out.splitlines()


def test_race_prints_an_actor_s_error(capsys: pytest.CaptureFixture[str]) -> None:
    """A naive version that breaks is part of the story; the others go on."""
    race([clumsy(), bidder()], order="aab")
    lines = capsys.readouterr().out.splitlines()

    assert "a  clumsy  takes a step" == lines[0]
    assert "a  clumsy  raises ValueError: no count" == lines[1]
    assert "b  bidder  returns 3" == lines[-1]


def test_race_refuses_an_actor_that_is_not_there() -> None:
    """A letter without an actor is named."""
    with pytest.raises(InvalidValue, match="order names 'c'; the actors are 'ab'"):
        race([bidder, bidder], order="abc")


# tables and progress -----------------------------------------------------------


def test_table_aligns_numbers_to_the_right() -> None:
    """Columns of numbers stand to the right; nothing is a dash."""
    table = Table(["who", "ads", "why"], [["ada", 3, None], ["chloe", 12, "new"]])

    assert "who    ads  why\nada      3  -\nchloe   12  new" == repr(table)


def test_table_in_a_notebook_takes_the_theme_s_colours() -> None:
    """The HTML is escaped, has column scopes, and sets no colour."""
    shown = Table(["a<b"], [["<i>"]], "t&t")._repr_html_()

    assert '<th scope="col"' in shown
    assert "a&lt;b" in shown
    assert "&lt;i&gt;" in shown
    assert "<caption>t&amp;t</caption>" in shown
    assert "color" not in shown


def test_progress_stays_in_memory_where_nothing_is_to_be_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With the null device an entry lasts as long as the kernel."""
    monkeypatch.setenv("ADCACHE_PROGRESS", os.devnull)
    progress_file.note("tasks", "07.1", {"tries": 1})

    assert {"tries": 1} == progress_file.entry("tasks", "07.1")


def test_progress_lives_in_adcache_home(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """ADCACHE_HOME names the folder of the file."""
    monkeypatch.delenv("ADCACHE_PROGRESS")
    monkeypatch.setenv("ADCACHE_HOME", str(tmp_path))

    assert tmp_path / "progress.json" == progress_file.path()


def test_broken_progress_is_put_aside(progress: Path) -> None:
    """A file that is not JSON is kept under another name, and a new one begun."""
    progress.parent.mkdir()
    progress.write_text("{oops")
    progress_file.note("tasks", "07.1", {"tries": 1})

    assert "{oops" == progress.with_name("progress.json.broken").read_text()
    assert {"tasks": {"07.1": {"tries": 1}}} == json.loads(progress.read_text())


def test_forgetting_one_entry_keeps_the_others(progress: Path) -> None:
    """Only what is named is forgotten."""
    progress_file.note("tasks", "07.1", {"tries": 1})
    progress_file.note("tasks", "07.2", {"tries": 2})
    progress_file.note("tasks", "07.1", None)

    assert {"tasks": {"07.2": {"tries": 2}}} == json.loads(progress.read_text())
