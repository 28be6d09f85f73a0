"""Task 07.2: the planted bug in a sliding log."""

from typing import Any, NamedTuple

from adcache.course.task import Found, Make, Task, raise_found, script_text
from adcache.course.trial import Trial

PAIRS = (("ada", "sneakers"), ("b:e n", "a:b"))  # a plain pair and an odd one
LOG_KEY = "check:log:{{{}}}:{}"
BUGGY_LOG = """\
-- KEYS[1]  zset: when this user saw this campaign
-- ARGV     now in ms, window in ms, limit, impression id
local log = KEYS[1]
local now, window = tonumber(ARGV[1]), tonumber(ARGV[2])
redis.call('ZREMRANGEBYSCORE', log, '-inf', now - window)
redis.call('ZADD', log, now, ARGV[4])
redis.call('PEXPIRE', log, window)
if redis.call('ZCARD', log) > tonumber(ARGV[3]) then return 0 end
return 1
"""


class Probe(NamedTuple):
    """A story: (second, impression id) ..., and what a right script answers."""

    steps: tuple[tuple[float, str], ...]
    misconception: str  # what a wrong answer shows
    done: str
    expected: list[int]
    last_shown: float
    window: int = 10  # seconds


def judge_log(make: Make, thing: Any) -> str:
    """A sliding log in Lua; the planted bug is that a refusal is logged."""
    script = script_text(thing, BUGGY_LOG)
    for user, campaign in PAIRS:
        for probe in LOG_PROBES:
            trial = make()
            before = trial.keys()
            key = LOG_KEY.format(user, campaign)
            found = _try(trial, script, key, probe)
            if strangers := sorted(trial.all_keys() - {key}):
                done, only = "a look at all keys afterwards", f"only KEYS[1], {key}"
                found = "hidden_key", done, only, f"also {strangers[0]}"
            raise_found(found, before, trial)
    return "No 10 seconds hold more than 2, and only ads that were shown count."


def _try(trial: Trial, script: str, key: str, probe: Probe) -> Found:
    """Play one story of impressions, then look at the key's lifetime."""
    answers, elapsed, length = [], 0.0, probe.window * 1000
    for second, impression in probe.steps:
        trial.pass_time(second - elapsed)
        elapsed = second
        now = trial.clock.now_ms()
        answers.append(trial.run(script, [key], now, length, 2, impression))
    done = f"limit 2, window {probe.window} s; {probe.done}"
    if not all(answer in (0, 1) for answer in answers):
        return "no_answer", done, probe.expected, answers
    if answers != probe.expected:
        return probe.misconception, done, probe.expected, answers
    expected = (probe.last_shown - elapsed) * 1000 + length
    left = trial.redis.pttl(key) if trial.redis.exists(key) else expected
    if left == -1:
        return "no_ttl", f"{done}; then PTTL", f"{expected:.0f} ms", "no TTL"
    if left < expected - 500:
        got = f"{max(0, round(left, -2))} ms"
        return "dies_early", f"{done}; then PTTL", f"{expected:.0f} ms", got
    if left > 100 * expected:
        return "wrong_unit", f"{done}; then PTTL", f"{expected:.0f} ms", f"{left} ms"
    return None


LOG_PROBES = (
    # So long that the key lives to be looked at, even if it dies early.
    Probe(((0, "a"),), "off_by_one", "one ad at 0 s", [1], 0, window=10_000),
    Probe(
        ((0, "a"), (1, "b"), (2, "c")),
        "off_by_one",
        "ads at 0, 1 and 2 s",
        [1, 1, 0],
        last_shown=1,
    ),
    Probe(
        ((0, "a"), (0, "b"), (0, "c")),
        "same_ms_lost",
        "three ads in the same millisecond",
        [1, 1, 0],
        last_shown=0,
    ),
    Probe(
        ((0, "a"), (6, "b"), (10, "c"), (16, "d")),
        "old_ads_count",
        "ads at 0, 6, 10 and 16 s",
        [1, 1, 1, 1],
        last_shown=16,
    ),
    Probe(
        ((0, "a"), (6, "b"), (9, "c"), (10, "d")),
        "refusals_logged",
        "ads at 0 and 6 s, a refusal at 9 s, an ad at 10 s",
        [1, 1, 0, 1],
        last_shown=10,
    ),
    Probe(
        ((0, "a"), (0.5, "b"), (1, "a"), (2, "c")),
        "retry_refused",
        "ads a and b, then the retry of a: the same id",
        [1, 1, 1, 0],
        last_shown=0.5,
    ),
    Probe(
        ((0, "a"), (4, "a"), (5, "b"), (6, "c"), (10, "d")),
        "retry_moves",
        "ad a at 0 s, its retry at 4 s, b at 5 s, c at 6 s, d at 10 s",
        [1, 1, 1, 0, 1],
        last_shown=10,
    ),
)

LOG = Task(
    key="07.2",
    title="The planted bug",
    start='Copy what `puzzle("07.2")` printed into REPAIRED, and mend it.',
    given=BUGGY_LOG,
    hints=(
        "Run it in your head: a user comes every second and is refused. When will "
        "this user be served again?",
        "Whatever is in the zset counts. So put in only what is shown: look first "
        "(ZCARD), add afterwards.",
        "A retry brings an id that is in the zset already: ZSCORE finds it. Answer 1 "
        "then, before anything else, and add nothing.",
    ),
    misconceptions={
        "no_answer": (
            "the script gives no 1 or 0",
            "Each way through the script must end in `return 1` or `return 0`.",
        ),
        "off_by_one": (
            "one too many, or one too few",
            "ZCARD before ZADD counts the *others*: refuse when it has reached the "
            "limit (>=). After ZADD it counts this one as well (>).",
        ),
        "same_ms_lost": (
            "two ads in one millisecond become one",
            "A member of a zset is there once. With the time as member, the second ad "
            "of a millisecond replaces the first: use the impression id.",
        ),
        "old_ads_count": (
            "ads older than the window still count",
            "At 10 s the ad of 0 s is no longer in a window of 10 s: remove every "
            "entry up to now - window, that one included, before you count.",
        ),
        "refusals_logged": (
            "refused impressions are logged",
            "The ban feeds itself: each refusal is an entry, and the user who keeps "
            "coming is never served again. Log what was shown, nothing else.",
        ),
        "retry_refused": (
            "a retry is taken for a new impression",
            "The reply got lost, the ad was counted, and the server asks again with "
            "the same id: it must hear the same answer, or the ad is never shown.",
        ),
        "retry_moves": (
            "a retry counts again, or at a later time",
            "ZADD of a member that is there moves its time. The ad was shown at the "
            "first time: when the id is known, change nothing.",
        ),
        "no_ttl": (
            "the log never expires",
            "A user who never comes back leaves the zset behind for ever. PEXPIRE it "
            "by one window with each ad shown.",
        ),
        "dies_early": (
            "the log is gone before its window",
            "PEXPIRE takes milliseconds and must cover one window from the last ad on; "
            "a key that dies early forgets ads that still count.",
        ),
        "wrong_unit": (
            "the log outlives its window by far",
            "The window is in milliseconds: PEXPIRE takes those, EXPIRE takes seconds, "
            "and 10 seconds become almost three hours of memory.",
        ),
        "hidden_key": (
            "a key that is not in KEYS",
            "Redis Cluster sends a script to the node of its KEYS. A key that the "
            "script makes up may live elsewhere; the zset knows the ids already.",
        ),
    },
    judge=judge_log,
)
