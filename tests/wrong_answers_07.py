"""Answers to exercise 07, right and wrong, by the name of the wrong idea.

Each idea is written at least three times, with other commands and another
structure. Under the name "" stand right answers; one of each task is full of
comments that look wrong.
"""

import datetime as dt
import json
import time
from collections import defaultdict
from datetime import UTC, datetime
from time import time as wall_time
from uuid import uuid4

from redis import WatchError

from adcache import Cap, FrequencyCapManager

# -- 07.1: a fixed window. KEYS[1] counter, ARGV[1] limit, ARGV[2] window in ms -----
K = "local key, limit, window = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])\n"
PENALTY = "if refused == 3 then redis.call('PERSIST', key) end\n"
COUNTERS = {
    "": [
        K + "local n = redis.call('LLEN', key)\n"
        "if n >= limit then return 0 end\n"
        "redis.call('RPUSH', key, 'ad')\n"
        "if n == 0 then redis.call('PEXPIRE', key, window) end\n"
        "return 1",
        "local shown = redis.call('HGET', KEYS[1], 'shown')\n"
        "if tonumber(shown or 0) + 1 > tonumber(ARGV[1]) then return 0 end\n"
        "redis.call('HINCRBY', KEYS[1], 'shown', 1)\n"
        "if not shown then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end\n"
        "return 1",
        "-- redis.call('KEYS', '*') EXPIRE on every hit\n"
        "-- redis.call('SET', 'another key', 1) and no TTL at all\n"
        "local n = tonumber(redis.call('GET', KEYS[1]) or 0) -- off by one? n > limit\n"
        "if n >= tonumber(ARGV[1]) then return 0 end -- INCR, counts refusals\n"
        "local left = redis.call('PTTL', KEYS[1]) -- EXPIRE, in seconds\n"
        "if left < 0 then left = tonumber(ARGV[2]) end\n"
        "redis.call('SET', KEYS[1], n + 1, 'PX', left)\n"
        "return 1 -- return nothing",
    ],
    "no_answer": [
        K + "if tonumber(redis.call('GET', key) or 0) < limit then\n"
        "  if redis.call('INCR', key) == 1 then\n"
        "    redis.call('PEXPIRE', key, window)\n  end\n  return 1\nend",
        K + "local n = redis.call('LLEN', key)\n"
        "if n < limit then redis.call('RPUSH', key, 1) end\n"
        "if n == 0 then redis.call('PEXPIRE', key, window) end\n"
        "return n < limit",
        K + "local n = tonumber(redis.call('HGET', key, 'n') or 0)\n"
        "if n >= limit then return 'refused' end\n"
        "redis.call('HINCRBY', key, 'n', 1)\n"
        "if n == 0 then redis.call('PEXPIRE', key, window) end\n"
        "return 'served'",
    ],
    "no_limit": [
        "local n = redis.call('GET', KEYS[1]) or '0'\n"
        "if n >= ARGV[1] then return 0 end\n"
        "if redis.call('INCR', KEYS[1]) == 1 then\n"
        "  redis.call('PEXPIRE', KEYS[1], ARGV[2])\nend\nreturn 1",
        "redis.call('RPUSH', KEYS[1], 'ad')\n"
        "if redis.call('LLEN', KEYS[1]) == 1 then\n"
        "  redis.call('PEXPIRE', KEYS[1], ARGV[2])\nend\nreturn 1",
        K + "local n = redis.call('HLEN', key)\n"
        "if n == 3 or limit == 0 then return 0 end\n"
        "redis.call('HSET', key, n, 1)\n"
        "if n == 0 then redis.call('PEXPIRE', key, window) end\nreturn 1",
    ],
    "off_by_one": [
        K + "local n = redis.call('HLEN', key)\n"
        "if limit - n < 0 then return 0 end\n"
        "redis.call('HSET', key, n, 'ad')\n"
        "if n == 0 then redis.call('PEXPIRE', key, window) end\nreturn 1",
        K + "local n = redis.call('SCARD', key)\n"
        "if n < limit - 1 then\n"
        "  redis.call('SADD', key, n)\n"
        "  if n == 0 then redis.call('PEXPIRE', key, window) end\n"
        "  return 1\nend\nreturn 0",
        K + "if redis.call('SET', key, 0, 'NX', 'PX', window) then return 1 end\n"
        "if tonumber(redis.call('GET', key)) == limit then return 0 end\n"
        "redis.call('INCR', key)\nreturn 1",
    ],
    "hidden_key": [
        K + "redis.call('SET', key .. ':lock', 1, 'PX', window)\n"
        "local n = redis.call('LLEN', key)\n"
        "if n >= limit then return 0 end\n"
        "redis.call('RPUSH', key, 1)\n"
        "if n == 0 then redis.call('PEXPIRE', key, window) end\nreturn 1",
        K + "local now = redis.call('TIME')\n"
        "key = key .. ':' .. math.floor(now[1] * 1000 / window)\n"
        "local n = tonumber(redis.call('GET', key) or 0)\n"
        "if n >= limit then return 0 end\n"
        "redis.call('SET', key, n + 1, 'PX', window)\nreturn 1",
        K + "if tonumber(redis.call('GET', key) or 0) >= limit then\n"
        "  redis.call('HINCRBY', 'statistics', 'refused', 1)\n  return 0\nend\n"
        "if redis.call('INCR', key) == 1 then redis.call('PEXPIRE', key, window) end\n"
        "return 1",
    ],
    "no_ttl": [
        K
        + "if tonumber(redis.call('HGET', key, 'n') or 0) >= limit then return 0 end\n"
        "redis.call('HINCRBY', key, 'n', 1)\nreturn 1",
        K + "local n = tonumber(redis.call('GET', key) or 0)\n"
        "if n >= limit then return 0 end\n"
        "if n == 0 then redis.call('PEXPIRE', key, window) end -- before it exists\n"
        "redis.call('INCR', key)\nreturn 1",
        K + "local n = redis.call('SCARD', key)\n"
        "if n >= limit then return 0 end\n"
        "redis.call('SADD', key, n + 1)\n"
        "if n == limit then redis.call('PEXPIRE', key, window) end -- never so\n"
        "return 1",
    ],
    "wrong_unit": [
        K + "local n = redis.call('LLEN', key)\n"
        "if n >= limit then return 0 end\n"
        "redis.call('RPUSH', key, 1)\n"
        "if n == 0 then redis.call('EXPIRE', key, window) end\nreturn 1",
        K + "local n = tonumber(redis.call('GET', key) or 0)\n"
        "if n >= limit then return 0 end\n"
        "if n == 0 then redis.call('SETEX', key, window, 1)\n"
        "else redis.call('INCR', key) end\nreturn 1",
        K + "local n = redis.call('HLEN', key)\n"
        "if n >= limit then return 0 end\n"
        "redis.call('HSET', key, n, 1)\n"
        "if n == 0 then redis.call('PEXPIRE', key, window * 1000) end\nreturn 1",
        K + "local n = redis.call('SCARD', key)\n"
        "if n >= limit then return 0 end\n"
        "redis.call('SADD', key, n)\n"
        "if n == 0 then redis.call('PEXPIRE', key, window / 1000) end\nreturn 1",
    ],
    "window_renewed": [
        K + "local n = redis.call('HLEN', key)\n"
        "if n >= limit then return 0 end\n"
        "redis.call('HSET', key, n, 1)\n"
        "redis.call('PEXPIRE', key, window)\nreturn 1",
        K + "local n = redis.call('LLEN', key)\n"
        "if n >= limit then\n"
        "  redis.call('PEXPIRE', key, window) -- it came too often\n  return 0\nend\n"
        "redis.call('RPUSH', key, 1)\n"
        "if n == 0 then redis.call('PEXPIRE', key, window) end\nreturn 1",
        K + "local n = tonumber(redis.call('GETEX', key, 'PX', window) or 0)\n"
        "if n >= limit then return 0 end\n"
        "if n == 0 then redis.call('SET', key, 1, 'PX', window)\n"
        "else redis.call('INCR', key) end\nreturn 1",
    ],
    "refusals_counted": [
        K + "local n = redis.call('HINCRBY', key, 'seen', 1)\n"
        "if n == 1 then redis.call('PEXPIRE', key, window) end\n"
        "return n > limit and 0 or 1",
        K + "local n = redis.call('RPUSH', key, 'ad')\n"
        "if n == 1 then redis.call('PEXPIRE', key, window) end\n"
        "if limit < n then return 0 end\nreturn 1",
        K + "local n, answer = tonumber(redis.call('GET', key) or 0), 1\n"
        "if n >= limit then answer = 0 end\n"
        "redis.call('INCR', key)\n"
        "if n == 0 then redis.call('PEXPIRE', key, window) end\nreturn answer",
    ],
    "never_reopens": [  # who insists is locked out for good
        K + "if tonumber(redis.call('HGET', key, 'shown') or 0) >= limit then\n"
        "  local refused = redis.call('HINCRBY', key, 'refused', 1)\n"
        f"  {PENALTY}  return 0\nend\n"
        "if redis.call('HINCRBY', key, 'shown', 1) == 1 then\n"
        "  redis.call('PEXPIRE', key, window)\nend\nreturn 1",
        K + "local text = redis.call('GET', key) or '0 0'\n"
        "local n, refused = text:match('(%d+) (%d+)')\n"
        "n, refused = tonumber(n), tonumber(refused)\n"
        "local full = n >= limit\n"
        "if full then refused = refused + 1 else n = n + 1 end\n"
        "local left = redis.call('PTTL', key)\n"
        "if left < 0 then left = window end\n"
        "if refused > 2 then left = 10 * window end\n"
        "redis.call('SET', key, n .. ' ' .. refused, 'PX', left)\n"
        "return full and 0 or 1",
        K + "local n, refused = 0, 0\n"
        "for _, what in ipairs(redis.call('LRANGE', key, 0, -1)) do\n"
        "  if what == 'ad' then n = n + 1 else refused = refused + 1 end\nend\n"
        "redis.call('RPUSH', key, n < limit and 'ad' or 'no')\n"
        "if n + refused == 0 then redis.call('PEXPIRE', key, window) end\n"
        f"{PENALTY}return n < limit and 1 or 0",
    ],
}

# -- 07.2: a sliding log. KEYS[1] zset, ARGV now, window, limit, impression id ------
L = (
    "local log, now, window = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])\n"
    "local limit, id = tonumber(ARGV[3]), ARGV[4]\n"
)
KNOWN = "if redis.call('ZSCORE', log, id) then return 1 end\n"
TRIM = "redis.call('ZREMRANGEBYSCORE', log, '-inf', now - window)\n"
FULL = "if redis.call('ZCARD', log) >= limit then return 0 end\n"
ADD = "redis.call('ZADD', log, now, id)\n"
LIVE = "redis.call('PEXPIRE', log, window)\n"
RECENT = "#redis.call('ZRANGEBYSCORE', log, '(' .. (now - window), '+inf')"
# The same log without scores: a hash of id -> time, read as a whole.
HASH = """
local entries, count, known = redis.call('HGETALL', log), 0, false
for n = 1, #entries, 2 do
  if now - tonumber(entries[n + 1]) >= window then
    redis.call('HDEL', log, entries[n])
  else
    count = count + 1
    if entries[n] == id then known = true end
  end
end
if known then return 1 end
if count >= limit then return 0 end
redis.call('HSET', log, id, now)
redis.call('PEXPIRE', log, window)
return 1
"""
LOGS = {
    "": [
        L + f"{KNOWN}if {RECENT} < limit then\n{ADD}{LIVE}return 1\nend\nreturn 0",
        L + HASH,
        L + "-- ZADD before ZCARD, EXPIRE in seconds, no TTL, KEYS '*'\n"
        f"{TRIM}{KNOWN}{FULL}-- if redis.call('ZCARD', log) > limit: off by one\n"
        "redis.call('ZADD', log, 'NX', now, id) -- member = now\n"
        f"{LIVE}return 1 -- redis.call('SET', 'seen:' .. id, 1)",
    ],
    "no_answer": [
        L + f"{KNOWN}{TRIM}{FULL}{ADD}{LIVE}",
        L + f"{KNOWN}{TRIM}{FULL}{ADD}return redis.call('ZRANGE', log, 0, -1)",
        L + HASH.replace("return 0", "return false"),
    ],
    "off_by_one": [
        L + f"{KNOWN}if {RECENT} > limit then return 0 end\n{ADD}{LIVE}return 1",
        L + HASH.replace("count >= limit", "count + 1 >= limit"),
        L + f"{KNOWN}{TRIM}local free = limit - redis.call('ZCARD', log)\n"
        f"if free >= 0 then\n{ADD}{LIVE}return 1\nend\nreturn 0",
    ],
    "same_ms_lost": [
        L + f"{TRIM}if redis.call('ZCARD', log) < limit then\n"
        f"redis.call('ZADD', log, now, 't' .. now)\n{LIVE}return 1\nend\nreturn 0",
        L + HASH.replace("log, id, now", "log, ARGV[1], now").replace("== id", "== ''"),
        L + f"if {RECENT} >= limit then return 0 end\n"
        f"local member = string.format('%d', now / 1000)\n"
        f"redis.call('ZADD', log, now, member)\n{LIVE}return 1",
    ],
    "old_ads_count": [
        L + f"{KNOWN}{FULL}{ADD}{LIVE}return 1",
        L + "redis.call('ZREMRANGEBYSCORE', log, '-inf', '(' .. now - window)\n"
        f"{KNOWN}{FULL}{ADD}{LIVE}return 1",
        L + HASH.replace(">= window", "> window"),
    ],
    "refusals_logged": [
        L + "if redis.call('ZSCORE', log, id) then return 1 end -- logged: shown?\n"
        f"{TRIM}{ADD}{LIVE}return redis.call('ZCARD', log) <= limit and 1 or 0",
        L
        + HASH.replace(
            "if count >= limit then return 0 end",
            "if count >= limit then redis.call('HSET', log, id, now) return 0 end",
        ),
        L + f"{KNOWN}local n = {RECENT}\nif n >= limit then\n{ADD}{LIVE}return 0\nend\n"
        f"{ADD}{LIVE}return 1",
    ],
    "retry_refused": [
        L + f"if {RECENT} >= limit then return 0 end\n{ADD}{LIVE}return 1",
        L + HASH.replace("if known then return 1 end", "if known then return 0 end"),
        L + f"{TRIM}{FULL}{KNOWN}{ADD}{LIVE}return 1",
    ],
    "retry_moves": [
        L
        + HASH.replace(
            "if known then return 1 end",
            "if known then redis.call('HSET', log, id, now) return 1 end",
        ),
        L + f"{TRIM}if redis.call('ZSCORE', log, id) then\n{ADD}return 1\nend\n"
        f"{FULL}{ADD}{LIVE}return 1",
        L + f"{TRIM}local n = redis.call('ZCARD', log)\n"
        "if redis.call('ZADD', log, now, id) == 0 then return 1 end\n"
        "if n >= limit then redis.call('ZREM', log, id) return 0 end\n"
        f"{LIVE}return 1",
    ],
    "no_ttl": [
        L + HASH.replace("redis.call('PEXPIRE', log, window)\n", ""),
        L + f"{KNOWN}{TRIM}{FULL}{LIVE}{ADD}return 1",
        L + f"{KNOWN}if {RECENT} >= limit then return 0 end\n{ADD}"
        "if redis.call('ZCARD', log) > limit then redis.call('PERSIST', log) end\n"
        "return 1",
    ],
    "dies_early": [
        L + f"{KNOWN}{TRIM}{FULL}{ADD}redis.call('PEXPIRE', log, window / 1000)\n"
        "return 1",
        L + f"{KNOWN}{TRIM}{FULL}{ADD}"
        "if redis.call('ZCARD', log) == 1 then redis.call('PEXPIRE', log, window) end\n"
        "return 1",
        L + HASH.replace("'PEXPIRE', log, window", "'PEXPIRE', log, window / 2"),
    ],
    "wrong_unit": [
        L + f"{KNOWN}{TRIM}{FULL}{ADD}redis.call('EXPIRE', log, window)\nreturn 1",
        L + HASH.replace("log, window)", "log, window * 1000)"),
        L + f"{KNOWN}if {RECENT} >= limit then return 0 end\n{ADD}"
        "redis.call('EXPIREAT', log, now)\nreturn 1",
    ],
    "hidden_key": [
        L + "local seen = log .. ':' .. id\n"
        "if redis.call('EXISTS', seen) == 1 then return 1 end\n"
        f"{TRIM}{FULL}{ADD}{LIVE}redis.call('SET', seen, 1, 'PX', window)\nreturn 1",
        L + f"redis.call('INCR', 'asked')\n{KNOWN}{TRIM}{FULL}{ADD}{LIVE}return 1",
        L + "log = 'log of one and all'" + HASH,
    ],
}

# -- 07.3: an order, 3 an hour and 10 a day ---------------------------------------
HOUR, DAY = Cap(3, 3600), Cap(10, 86400)
ANSWERS_07_3 = defaultdict(list)
ZSET = """
local log, id, now = KEYS[1], ARGV[1], tonumber(ARGV[2])
if redis.call('ZSCORE', log, id) then return 1 end
redis.call('ZREMRANGEBYSCORE', log, '-inf', now - 86400000)
local hour = redis.call('ZCOUNT', log, '(' .. (now - 3600000), '+inf')
local day = redis.call('ZCARD', log)
if hour >= 3 or day >= 10 then return 0 end
redis.call('ZADD', log, now, id)
redis.call('EXPIRE', log, 86400)
return 1
"""
TWO = """
local hour, day, seen = KEYS[1], KEYS[2], KEYS[3]
if redis.call('EXISTS', seen) == 1 then return 1 end
local h = tonumber(redis.call('GET', hour) or 0)
local d = tonumber(redis.call('GET', day) or 0)
if h >= 3 or d >= 10 then return 0 end
if redis.call('INCR', hour) == 1 then redis.call('EXPIRE', hour, 3600) end
if redis.call('INCR', day) == 1 then redis.call('EXPIRE', day, 86400) end
redis.call('SET', seen, 1, 'EX', 86400)
return 1
"""


def answer(name):
    """Note a function as an answer, by the name of its idea."""
    return lambda function: ANSWERS_07_3[name].append(function) or function


def _ask(cache, user, campaign, impression=None, caps=(HOUR, DAY), kind="fixed"):
    return FrequencyCapManager(cache, kind).check_frequency_cap(
        user, campaign, caps=list(caps), impression_id=impression
    )


def _key(cache, name, *ids):
    fields = dict(zip("abcd", ids, strict=False))
    return cache.get_key(":".join([name, *(f"{{{f}}}" for f in fields)]), **fields)


def _zset(cache, user, campaign, impression, script=ZSET, key=None, now=None):
    key = key or _key(cache, "log", user, campaign)
    now = cache.clock.now_ms() if now is None else now
    return cache.redis_client.eval(script, 1, key, impression, now)


def _two(cache, user, campaign, impression, script=TWO, **keys):
    hour = keys.get("hour") or _key(cache, "h", user, campaign)
    day = keys.get("day") or _key(cache, "d", user, campaign)
    seen = keys.get("seen") or _key(cache, "i", user, campaign, impression)
    return cache.redis_client.eval(script, 3, hour, day, seen) == 1


def _variant(name, base, script):
    """An answer that is `base` with another script."""

    def changed(cache, user, campaign, impression):
        return base(cache, user, campaign, impression, script=script)

    changed.__name__ = f"{base.__name__}_{name or 'right'}"
    answer(name)(changed)


def _swap(script, *pairs):
    for old, new in pairs:
        assert old in script, old
        script = script.replace(old, new)
    return script


@answer("")
def _exact(cache, user, campaign, impression):
    return bool(_ask(cache, user, campaign, impression, (DAY, HOUR), "sliding_log"))


answer("")(_zset)
answer("")(_two)


@answer("")
def _watched(cache, user, campaign, impression):
    """WATCH, look, and count only if nobody else did."""
    # time.time(), KEYS *, no TTL, f"cap:{user}", check then count, FLUSHALL
    key, now = _key(cache, "w", user, campaign), cache.clock.now_ms()
    with cache.redis_client.pipeline() as pipe:
        while True:
            try:
                pipe.watch(key)
                shown = json.loads(pipe.get(key) or "{}")
                if impression in shown:
                    return True
                ages = [now - at for at in shown.values()]
                if sum(age < 3_600_000 for age in ages) >= 3:
                    return False
                if sum(age < 86_400_000 for age in ages) >= 10:
                    return False
                pipe.multi()
                pipe.set(key, json.dumps(shown | {impression: now}), ex=86400)
                pipe.execute()
            except WatchError:
                continue
            return True


@answer("")
def _true_or_nothing(cache, user, campaign, impression):
    served = _two(cache, user, campaign, impression)
    return True if served else None


@answer("no_answer")
def _no_return(cache, user, campaign, impression):
    _ask(cache, user, campaign, impression)


@answer("no_answer")
def _kept_for_itself(cache, user, campaign, impression):
    served = _two(cache, user, campaign, impression)
    if not served:
        served = False


_variant("no_answer", _zset, _swap(ZSET, ("86400)\nreturn 1", "86400)")))

_counts = defaultdict(list)


def _fits(times, now):
    recent = sum(now - at < 3_600_000 for at in times)
    return recent < 3 and sum(now - at < 86_400_000 for at in times) < 10


@answer("own_memory")
def _module_dict(cache, user, campaign, impression):
    times, now = _counts[user, campaign], cache.clock.now_ms()
    fits = _fits(times, now)
    if fits:
        times.append(now)
    return fits


@answer("own_memory")
def _own_attribute(cache, user, campaign, impression):
    shown = getattr(_own_attribute, "shown", {})
    _own_attribute.shown = shown
    mine = shown.setdefault(f"{user}/{campaign}", {})
    if impression not in mine and not _fits(mine.values(), cache.clock.now_ms()):
        return False
    mine.setdefault(impression, cache.clock.now_ms())
    return True


class _Server:
    """An object that counts for itself."""

    def __init__(self):
        self.seen = []

    def __call__(self, cache, user, campaign, impression):
        """Count in a list."""
        self.seen.append((user, campaign))
        return self.seen.count((user, campaign)) <= 3


answer("own_memory")(_Server())


@answer("hour_missing")
def _minutes(cache, user, campaign, impression):
    return _ask(cache, user, campaign, impression, [Cap(3, 60), DAY])


_variant("hour_missing", _zset, _swap(ZSET, ("hour >= 3 or ", "")))
_variant("hour_missing", _two, _swap(TWO, ("h >= 3", "h > 3")))


@answer("day_missing")
def _no_day(cache, user, campaign, impression):
    return bool(_ask(cache, user, campaign, impression, [HOUR]))


_variant("day_missing", _zset, _swap(ZSET, ("day >= 10", "day >= 100")))
_variant("day_missing", _two, _swap(TWO, ("day, 86400", "day, 43200")))


@answer("window_renewed")
def _long(cache, user, campaign, impression):
    return _ask(cache, user, campaign, impression, [Cap(3, 2 * 3600), DAY])


_variant(
    "window_renewed",
    _zset,
    _swap(ZSET, ("now - 86400000", "now - 172800000"), ("log, 86400", "log, 172800")),
)
_variant(
    "window_renewed",
    _two,
    _swap(
        TWO,
        (
            "if redis.call('INCR', hour) == 1 then redis.call('EXPIRE', hour, 3600) "
            "end",
            "redis.call('INCR', hour) redis.call('EXPIRE', hour, 3600)",
        ),
    ),
)
_variant(
    "window_renewed",
    _two,
    _swap(
        TWO,
        (
            "if redis.call('INCR', day) == 1 then redis.call('EXPIRE', day, 86400) end",
            "redis.call('SET', day, d + 1, 'EX', 86400)",
        ),
    ),
)


@answer("users_share")
def _everyone(cache, user, campaign, impression):
    return _ask(cache, "everyone", campaign, f"{user}-{impression}")


@answer("users_share")
def _log_of_campaign(cache, user, campaign, impression):
    key = _key(cache, "log", campaign)
    return _zset(cache, user, campaign, user + impression, key=key)


@answer("users_share")
def _hour_of_campaign(cache, user, campaign, impression):
    hour = _key(cache, "h", campaign)
    return _two(cache, user, campaign, impression, hour=hour)


@answer("campaigns_share")
def _one_campaign(cache, user, campaign, impression):
    return _ask(cache, user, "order-1", f"{campaign}-{impression}")


@answer("campaigns_share")
def _log_of_user(cache, user, campaign, impression):
    key = _key(cache, "log", user)
    return _zset(cache, user, campaign, campaign + impression, key=key)


@answer("campaigns_share")
def _hour_of_user(cache, user, campaign, impression):
    return _two(cache, user, campaign, impression, hour=_key(cache, "h", user))


@answer("retry_counts")
def _new_name(cache, user, campaign, impression):
    return _ask(cache, user, campaign, str(uuid4()))


@answer("retry_counts")
def _new_member(cache, user, campaign, impression):
    return _zset(cache, user, campaign, f"{impression}-{uuid4()}")


_variant(
    "retry_counts",
    _two,
    _swap(TWO, ("if redis.call('EXISTS', seen) == 1 then return 1 end\n", "")),
)


@answer("retry_refused")
def _peek_first(cache, user, campaign, impression):
    if not FrequencyCapManager(cache).peek(user, campaign, caps=[HOUR, DAY]):
        return False
    return _ask(cache, user, campaign, impression)


_variant(
    "retry_refused",
    _zset,
    _swap(ZSET, ("if redis.call('ZSCORE', log, id) then return 1 end\n", "")),
)
_variant(
    "retry_refused",
    _two,
    _swap(TWO, ("== 1 then return 1 end\nlocal", "== 1 then return 0 end\nlocal")),
)


@answer("not_all_or_nothing")
def _day_then_hour(cache, user, campaign, impression):
    day = _ask(cache, user, campaign, f"{impression}-d", [DAY])
    return bool(day and _ask(cache, user, campaign, f"{impression}-h", [HOUR]))


@answer("not_all_or_nothing")
def _hour_then_day(cache, user, campaign, impression):
    if not _ask(cache, user, campaign, impression + "/hour", [HOUR]):
        return False
    return _ask(cache, user, campaign, impression + "/day", [DAY])


_variant(
    "not_all_or_nothing",
    _two,
    """
    local hour, day, seen = KEYS[1], KEYS[2], KEYS[3]
    if redis.call('EXISTS', seen) == 1 then return 1 end
    local d = redis.call('INCR', day)
    if d == 1 then redis.call('EXPIRE', day, 86400) end
    if d > 10 then return 0 end
    local h = redis.call('INCR', hour)
    if h == 1 then redis.call('EXPIRE', hour, 3600) end
    if h > 3 then return 0 end
    redis.call('SET', seen, 1, 'EX', 86400)
    return 1""",
)


@answer("no_ttl")
def _statistics(cache, user, campaign, impression):
    served = _ask(cache, user, campaign, impression)
    cache.redis_client.hincrby(_key(cache, "stats", campaign), str(bool(served)), 1)
    return served


_variant("no_ttl", _zset, _swap(ZSET, ("redis.call('EXPIRE', log, 86400)\n", "")))
_variant("no_ttl", _two, _swap(TWO, (", 'EX', 86400", "")))
_variant("no_ttl", _two, _swap(TWO, ("redis.call('EXPIRE', hour, 3600)", "")))


@answer("foreign_key")
def _last_seen(cache, user, campaign, impression):
    cache.redis_client.set(f"last-seen/{user}", campaign, ex=60)
    return _ask(cache, user, campaign, impression)


@answer("foreign_key")
def _own_name(cache, user, campaign, impression):
    return _zset(cache, user, campaign, impression, key=f"caps:{user}:{campaign}")


@answer("foreign_key")
def _seen_by_hand(cache, user, campaign, impression):
    seen = "seen:" + user + campaign + impression
    return _two(cache, user, campaign, impression, seen=seen)


@answer("client_clock")
def _datetime_now(cache, user, campaign, impression):
    now = int(datetime.now(UTC).timestamp() * 1000)
    return _zset(cache, user, campaign, impression, now=now)


@answer("client_clock")
def _bare_name(cache, user, campaign, impression):
    return _zset(cache, user, campaign, impression, now=round(wall_time() * 1000))


@answer("client_clock")
def _hour_in_the_name(cache, user, campaign, impression):
    hour = _key(cache, "h", user, campaign, time.strftime("%Y%m%d%H", time.gmtime()))
    return _two(cache, user, campaign, impression, hour=hour)


@answer("client_clock")
def _today(cache, user, campaign, impression):
    moment = dt.datetime.now()  # naive, local
    hour = _key(cache, "h", user, campaign, f"{moment:%d.%m.%Y %H}")
    return _two(cache, user, campaign, impression, hour=hour)


@answer("check_then_count")
def _transaction(cache, user, campaign, impression):
    """MULTI around each half, and nothing around both."""
    key, now = _key(cache, "log", user, campaign), cache.clock.now_ms()
    look = cache.redis_client.pipeline()
    look.zscore(key, impression)
    look.zcount(key, f"({now - 3_600_000}", "+inf")
    look.zcount(key, f"({now - 86_400_000}", "+inf")
    known, hour, day = look.execute()
    if known is None and hour < 3 and day < 10:
        count = cache.redis_client.pipeline()
        count.zadd(key, {impression: now}).expire(key, 86400).execute()
        return True
    return known is not None


@answer("check_then_count")
def _get_then_incr(cache, user, campaign, impression):
    r = cache.redis_client
    seen = _key(cache, "i", user, campaign, impression)
    windows = {_key(cache, "h", user, campaign): HOUR}
    windows[_key(cache, "d", user, campaign)] = DAY
    if r.get(seen):
        return True
    if any(int(r.get(key) or 0) >= cap.limit for key, cap in windows.items()):
        return False
    for key, cap in windows.items():
        if r.incr(key) == 1:
            r.expire(key, cap.window)
    r.set(seen, 1, ex=86400)
    return True


@answer("check_then_count")
def _blob(cache, user, campaign, impression):
    """Load everything, change it, store everything."""
    key, now = _key(cache, "json", user, campaign), cache.clock.now_ms()
    shown = json.loads(cache.redis_client.get(key) or "{}")
    if impression in shown:
        return True
    if not _fits(shown.values(), now):
        return False
    shown[impression] = now
    cache.redis_client.set(key, json.dumps(shown), ex=86400)
    return True


ANSWERS = {"07.1": COUNTERS, "07.2": LOGS, "07.3": dict(ANSWERS_07_3)}
