"""Several questions in one wait for the network, and what the meters count."""

import pytest

from adcache import CommandRefused, RedisUnavailable, connect
from adcache.metrics import Meter
from adcache.wire import Question


def key_of(cache, name):
    """Build a key of the test's own, apart from others on a cluster."""
    return cache.get_key("test:{{{name}}}", name=name)


def test_one_trip_answers_in_order(cache):
    """Answers stand where their questions stood, each read in its own way."""
    put = ("SET", key_of(cache, "a"), "7", "PX", 60_000)
    cache.wire.trip([Question(put)])
    seen = []

    answers = cache.wire.trip(
        [
            Question(("GET", key_of(cache, "b"))),
            Question(("GET", key_of(cache, "a")), read=int),
            Question(("HMGET", key_of(cache, "c"), "x", "y")),
        ],
        watch=lambda pairs, seconds: seen.append(len(pairs)),
    )

    assert [None, 7, [None, None]] == answers
    assert [3] == seen


def test_a_trip_of_nothing_goes_nowhere(cache):
    """No question, no wait."""
    seen = []

    assert [] == cache.wire.trip([], watch=lambda *_: seen.append(1))
    assert [] == seen


def test_every_reply_is_read_before_an_error_is_raised(cache):
    """A command that fails neither stops those after it nor spoils the connection."""
    text, number = key_of(cache, "text"), key_of(cache, "number")
    questions = [
        Question(("SET", text, "x", "PX", 60_000)),
        Question(("INCR", text), component="stats"),
        Question(("SET", number, "1", "PX", 60_000)),
    ]
    with pytest.raises(CommandRefused):
        cache.wire.trip(questions)

    assert "1" == cache.wire.execute("GET", number)
    assert 1 == cache.metrics.meter("stats").errors


def test_a_flushed_server_gets_the_script_again(own_server):
    """An unknown script costs a second trip and is then known."""
    cache = connect(own_server.url)
    seen = []
    script = cache.lua_scripts["frequency_cap"]
    ids = {"user_id": "ada"}
    question = script.question(
        windows=cache.get_key("frequency_cap", **ids),
        now_ms="",
        field="c:60",
        leases="c~leases",
        limit=5,
        window_ms=60_000,
    )
    for _ in range(2):
        cache.redis_client.script_flush()
        answers = cache.wire.trip(
            [Question(("PING",)), question], watch=lambda pairs, _: seen.append(pairs)
        )
        assert "PONG" == answers[0]
    cache.wire.trip([question], watch=lambda pairs, _: seen.append(pairs))

    assert [2, 1, 2, 1, 1] == [len(pairs) for pairs in seen]
    assert 4 == cache.wire.ask(question)


def test_a_lost_server_is_an_error_of_every_component_that_asked():
    """No reply at all: one error is raised, and each meter counts it."""
    cache = connect("redis://127.0.0.1:1")
    with pytest.raises(RedisUnavailable):
        cache.wire.trip([Question(("PING",), component=name) for name in ("a", "b")])

    assert [1, 1] == [cache.metrics.meter(name).errors for name in ("a", "b")]


def test_a_meter_tells_rates_and_percentiles():
    """Hits per look-up, and times that were measured; None where nothing was."""
    meter = Meter()

    assert meter.hit_rate is None
    assert meter.percentile(0.5) is None

    meter.hit(3)
    meter.miss()
    for micros in range(100):
        meter.took(micros / 1e6)

    assert 0.75 == meter.hit_rate
    assert (100, 49e-6, 99e-6) == (
        meter.calls,
        meter.percentile(0.5),
        meter.percentile(1.0),
    )
