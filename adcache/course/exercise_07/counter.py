"""Task 07.1: a fixed window in one Lua script."""

from collections.abc import Callable
from functools import partial
from typing import Any

from adcache.course.task import Found, Make, Task, raise_found, script_text
from adcache.course.trial import Trial

PAIRS = (("ada", "sneakers"), ("b:e n", "a:b"))  # a plain pair and an odd one
COUNTER_KEY = "check:cap:{{{}}}:{}"


def judge_counter(make: Make, thing: Any) -> str:
    """A fixed window in Lua: KEYS[1] counter, ARGV[1] limit, ARGV[2] window in ms."""
    script = script_text(thing)
    for user, campaign in PAIRS:
        for probe in (_serves_limit, _lives_as_long, _is_not_renewed, _counts_served):
            trial, key = make(), COUNTER_KEY.format(user, campaign)
            before = trial.keys()
            found = probe(trial, partial(trial.run, script, [key]), key)
            strangers = sorted(trial.all_keys() - {key})
            if strangers:
                done, only = "a look at all keys afterwards", f"only KEYS[1], {key}"
                found = "hidden_key", done, only, f"also {strangers[0]}"
            raise_found(found, before, trial)
    return "A window of its own for every pair, fixed at the first impression."


def _serves_limit(trial: Trial, ask: Callable[..., Any], key: str) -> Found:
    done = "limit 3, window 3600000 ms; five impressions"
    answers = [ask(3, 3_600_000) for _ in range(5)]
    if not all(answer in (0, 1) for answer in answers):
        return "no_answer", done, [1, 1, 1, 0, 0], answers
    if answers != [1, 1, 1, 0, 0]:
        served = sum(answers)
        name = "off_by_one" if served in (2, 4) else "no_limit"
        return name, done, [1, 1, 1, 0, 0], answers
    if ask(0, 3_600_000) != 0:
        return "off_by_one", "limit 0, one impression", 0, 1
    trial.redis.delete(key)
    served = sum(ask(12, 3_600_000) for _ in range(14))
    if served != 12:  # as text, "2" is more than "12"
        done = "limit 12, window 3600000 ms; 14 impressions"
        return "no_limit", done, "12 served", f"{served} served"
    return None


def _lives_as_long(trial: Trial, ask: Callable[..., Any], key: str) -> Found:
    ask(3, 60_000)
    left = trial.redis.pttl(key)
    done = "window 60000 ms; one impression, then PTTL of the key"
    if left == -1:
        return "no_ttl", done, "60000 ms", "no TTL: it lives for ever"
    if not 55_000 < left <= 60_000:
        return "wrong_unit", done, "60000 ms", f"{round(left, -3)} ms"
    return None


def _is_not_renewed(trial: Trial, ask: Callable[..., Any], key: str) -> Found:
    for number, what in ((2, "a second impression"), (1, "a refused one")):
        trial.redis.delete(key)
        ask(number, 60_000)
        trial.pass_time(40)
        ask(number, 60_000)
        left = trial.redis.pttl(key)
        if left == -1:
            return "no_ttl", f"{what} after 40 s", "20000 ms", "no TTL"
        if left > 20_000:
            done = f"window 60000 ms; an impression, 40 s later {what}, then PTTL"
            return "window_renewed", done, "20000 ms", f"{round(left, -3)} ms"
    return None


def _counts_served(trial: Trial, ask: Callable[..., Any], key: str) -> Found:
    done = "limit 1, four impressions; then limit 3, three more"
    first = [ask(1, 60_000) for _ in range(4)]
    then = [ask(3, 60_000) for _ in range(3)]
    if first + then != [1, 0, 0, 0, 1, 1, 0]:
        return "refusals_counted", done, [1, 0, 0, 0, 1, 1, 0], first + then
    trial.pass_time(60.5)
    if ask(1, 60_000) != 1:
        return "never_reopens", "an impression after the window's end", 1, 0
    return None


COUNTER = Task(
    key="07.1",
    title="A cap in one script",
    start="Write Lua between the quotes: count and return 1, or return 0.",
    hints=(
        "Read the counter first: GET gives false when there is none. Decide before you "
        "count, so that a refusal changes nothing.",
        "The window belongs to the first impression. INCR tells you which one it was: "
        "it returns 1 then. Only in that case set the lifetime.",
        "local n = tonumber(redis.call('GET', KEYS[1]) or 0); refuse when n >= limit; "
        "else INCR, and PEXPIRE (milliseconds) when INCR returned 1.",
    ),
    misconceptions={
        "no_answer": (
            "the script gives no 1 or 0",
            "A script answers with `return`. Without it Redis sends nil, and an `if` "
            "in Python takes that for a refusal.",
        ),
        "no_limit": (
            "the limit does not hold",
            "Compare the count with the limit on every call, as numbers: ARGV holds "
            "text, and tonumber() turns it into a number.",
        ),
        "off_by_one": (
            "one too many, or one too few",
            "A limit of 3 serves three: refuse when 3 are counted *before* this one "
            "(count >= limit), or when this one would be the fourth (count > limit).",
        ),
        "hidden_key": (
            "a key that is not in KEYS",
            "Redis Cluster sends a script to the node of its KEYS. A key that the "
            "script makes up may live elsewhere: pass every key in KEYS.",
        ),
        "no_ttl": (
            "the window that never ends",
            "A key without a TTL lives for ever, and so does the cap: the user is "
            "never served again. Give the key its lifetime with the first impression.",
        ),
        "wrong_unit": (
            "seconds taken for milliseconds",
            "ARGV[2] is in milliseconds: PEXPIRE (or SET ... PX) takes those, EXPIRE "
            "takes seconds. A factor of 1000 makes an hour six weeks.",
        ),
        "window_renewed": (
            "every impression renews the window",
            "A lifetime set on each hit moves the end: a user who keeps coming waits "
            "on and on. The window opens at the first impression and stays.",
        ),
        "refusals_counted": (
            "refused impressions are counted",
            "The count is of ads shown. If a refusal raises it too, a raised limit "
            "finds the places taken that nobody used: decide first, then count.",
        ),
        "never_reopens": (
            "the window does not open again",
            "When the window is over its count must be gone with it; let the key's "
            "own lifetime end it.",
        ),
    },
    judge=judge_counter,
)
