"""More answers to exercise 07, in a second hand: other ways to write each idea.

They are judged with those of `wrong_answers_07`, by the same tests.
"""

import time
from datetime import UTC, datetime

from adcache import Cap, FrequencyCapManager

# -- 07.1: fixed window in Lua ---------------------------------------------------
HEAD = "local key, limit, window = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])\n"
COUNTERS = {
    "": [
        """
        local n = tonumber(redis.call('GET', key) or 0)
        if n >= limit then return 0 end
        if redis.call('INCR', key) == 1 then redis.call('PEXPIRE', key, window) end
        return 1""",
        """
        -- EXPIRE on every hit! KEYS '*'! no TTL! redis.call('SET', 'global', 1)
        if limit < 1 then return 0 end
        if redis.call('SET', key, 1, 'NX', 'PX', window) then return 1 end
        if tonumber(redis.call('GET', key)) >= limit then return 0 end
        redis.call('INCR', key)
        return 1""",
    ],
    "window_renewed": [
        """
        local n = tonumber(redis.call('GET', key) or 0)
        if n >= limit then return 0 end
        redis.call('INCR', key)
        redis.call('PEXPIRE', key, window)
        return 1""",
        """
        local n = tonumber(redis.call('GET', key) or 0)
        if n >= limit then return 0 end
        redis.call('SET', key, n + 1, 'PX', window)
        return 1""",
        """
        local n = tonumber(redis.call('GET', key) or 0)
        if n > 0 then redis.call('EXPIRE', key, window / 1000) end
        if n >= limit then return 0 end
        redis.call('INCR', key)
        if n == 0 then redis.call('EXPIRE', key, window / 1000) end
        return 1""",
    ],
    "no_ttl": [
        """
        local n = tonumber(redis.call('GET', key) or 0)
        if n >= limit then return 0 end
        redis.call('INCR', key)
        return 1""",
        """
        local n = tonumber(redis.call('GET', key) or 0)
        if n >= limit then return 0 end
        redis.call('SET', key, n + 1)
        return 1""",
        """
        local n = redis.call('LLEN', key)
        if n >= limit then return 0 end
        redis.call('RPUSH', key, n)
        return 1""",
    ],
    "refusals_counted": [
        """
        local n = redis.call('INCR', key)
        if n == 1 then redis.call('PEXPIRE', key, window) end
        if n > limit then return 0 end
        return 1""",
        """
        local n = redis.call('INCRBY', key, 1)
        if redis.call('PTTL', key) < 0 then redis.call('PEXPIRE', key, window) end
        return n <= limit and 1 or 0""",
        """
        local n = tonumber(redis.call('GET', key) or 0) + 1
        if n == 1 then redis.call('SET', key, 1, 'PX', window)
        else redis.call('INCR', key) end
        if n <= limit then return 1 else return 0 end""",
    ],
    "off_by_one": [
        """
        local n = tonumber(redis.call('GET', key) or 0)
        if n > limit then return 0 end
        if redis.call('INCR', key) == 1 then redis.call('PEXPIRE', key, window) end
        return 1""",
        """
        local n = tonumber(redis.call('GET', key) or 0)
        if n + 1 >= limit then return 0 end
        if redis.call('INCR', key) == 1 then redis.call('PEXPIRE', key, window) end
        return 1""",
        """
        local n = redis.call('LLEN', key)
        if n <= limit then
          redis.call('RPUSH', key, 1)
          if n == 0 then redis.call('PEXPIRE', key, window) end
          return 1
        end
        return 0""",
    ],
    "wrong_unit": [
        """
        local n = tonumber(redis.call('GET', key) or 0)
        if n >= limit then return 0 end
        if redis.call('INCR', key) == 1 then redis.call('EXPIRE', key, window) end
        return 1""",
        """
        if limit < 1 then return 0 end
        if redis.call('SET', key, 1, 'NX', 'EX', window) then return 1 end
        if tonumber(redis.call('GET', key)) >= limit then return 0 end
        return redis.call('INCR', key) > 0 and 1""",
        """
        local n = tonumber(redis.call('GET', key) or 0)
        if n >= limit then return 0 end
        redis.call('INCR', key)
        if n == 0 then redis.call('PEXPIRE', key, window / 1000) end
        return 1""",
    ],
    "hidden_key": [
        """
        local mine = key .. ':count'
        local n = tonumber(redis.call('GET', mine) or 0)
        if n >= limit then return 0 end
        if redis.call('INCR', mine) == 1 then redis.call('PEXPIRE', mine, window) end
        return 1""",
        """
        local n = tonumber(redis.call('GET', key) or 0)
        if n >= limit then return 0 end
        if redis.call('INCR', key) == 1 then redis.call('PEXPIRE', key, window) end
        redis.call('SET', 'last', key, 'PX', window)
        return 1""",
        """
        local n = tonumber(redis.call('HGET', 'caps', key) or 0)
        if n >= limit then return 0 end
        redis.call('HINCRBY', 'caps', key, 1)
        redis.call('PEXPIRE', 'caps', window)
        return 1""",
    ],
}

# -- 07.2: sliding log in Lua ----------------------------------------------------
LOG_HEAD = """local log, now, window = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])
local limit, id = tonumber(ARGV[3]), ARGV[4]
"""
TRIM = "redis.call('ZREMRANGEBYSCORE', log, '-inf', now - window)\n"
KNOWN = "if redis.call('ZSCORE', log, id) then return 1 end\n"
ADD = "redis.call('ZADD', log, now, id)\nredis.call('PEXPIRE', log, window)\nreturn 1"
FULL = "if redis.call('ZCARD', log) >= limit then return 0 end\n"
LOGS = {
    "": [
        KNOWN + TRIM + FULL + ADD,
        "-- ZADD before the check? refusals logged? no PEXPIRE?\n"
        + TRIM
        + KNOWN
        + "local from = '(' .. string.format('%.0f', now - window)\n"
        "if redis.call('ZCOUNT', log, from, '+inf') < limit then\n" + ADD + "\nend\n"
        "return 0",
    ],
    "refusals_logged": [
        KNOWN
        + TRIM
        + "redis.call('ZADD', log, now, id)\nredis.call('PEXPIRE', log, window)\n"
        "if redis.call('ZCARD', log) > limit then return 0 end\nreturn 1",
        KNOWN
        + TRIM
        + "local n = redis.call('ZCARD', log)\nredis.call('ZADD', log, now, id)\n"
        "redis.call('PEXPIRE', log, window)\nreturn n < limit and 1 or 0",
        KNOWN
        + "local n = redis.call('ZCOUNT', log, now - window + 1, '+inf')\n"
        + "redis.call('ZADD', log, now, id)\nredis.call('PEXPIRE', log, window)\n"
        "if n >= limit then return 0 else return 1 end",
    ],
    "no_ttl": [
        KNOWN + TRIM + FULL + "redis.call('ZADD', log, now, id)\nreturn 1",
        TRIM + KNOWN + FULL + "return redis.call('ZADD', log, 'NX', now, id)",
        KNOWN + "if redis.call('ZCOUNT', log, now - window + 1, '+inf') >= limit then\n"
        "return 0 end\nredis.call('ZADD', log, now, id)\nreturn 1",
    ],
    "off_by_one": [
        KNOWN + TRIM + FULL.replace(">=", ">") + ADD,
        KNOWN
        + TRIM
        + "if redis.call('ZCARD', log) + 1 >= limit then return 0 end\n"
        + ADD,
        KNOWN
        + "if redis.call('ZCOUNT', log, now - window + 1, '+inf') <= limit then\n"
        + ADD
        + "\nend\nreturn 0",
    ],
    "same_ms_lost": [
        TRIM + FULL + ADD.replace("now, id", "now, now"),
        TRIM + FULL + ADD.replace("now, id", "now, 'at-' .. ARGV[1]"),
        "if redis.call('ZSCORE', log, ARGV[1]) then return 1 end\n"
        + TRIM
        + FULL
        + ADD.replace("now, id", "now, ARGV[1]"),
    ],
    "retry_refused": [
        TRIM + FULL + ADD,
        "if redis.call('ZCOUNT', log, now - window + 1, '+inf') < limit then\n"
        + ADD
        + "\nend\nreturn 0",
        TRIM + "local free = limit - redis.call('ZCARD', log)\n"
        "if free < 1 then return 0 end\n" + ADD,
    ],
    "retry_moves": [
        TRIM + "if not redis.call('ZSCORE', log, id) then\n" + FULL + "end\n" + ADD,
        TRIM + "local known = redis.call('ZRANK', log, id)\n"
        "if not known and redis.call('ZCARD', log) >= limit then return 0 end\n" + ADD,
        TRIM + "local seen = redis.call('ZREM', log, id)\n"
        "if seen == 0 and redis.call('ZCARD', log) >= limit then return 0 end\n" + ADD,
    ],
}


# -- 07.3: an order in Python ----------------------------------------------------
HOUR, DAY = Cap(3, 3600), Cap(10, 86400)


def _ask(cache, user, campaign, **options):
    return FrequencyCapManager(cache).check_frequency_cap(user, campaign, **options)


def right(cache, user, campaign, impression):
    """Everything in one question."""
    return _ask(cache, user, campaign, caps=[HOUR, DAY], impression_id=impression)


def right_log(cache, user, campaign, impression):
    """# EXPIRE on each hit? check then count? Another algorithm is right, too."""
    caps = FrequencyCapManager(cache, "sliding_log")
    wanted = {campaign: (DAY, HOUR)}
    return caps.check_many(user, wanted, impression_id=impression)[campaign].allowed


def retry_1(cache, user, campaign, impression):
    """No id."""
    return _ask(cache, user, campaign, caps=[HOUR, DAY])


def retry_2(cache, user, campaign, impression):
    """A new id at each call."""
    cache.calls = getattr(cache, "calls", 0) + 1
    name = f"{impression}-{cache.calls}"
    return _ask(cache, user, campaign, caps=[HOUR, DAY], impression_id=name)


def retry_3(cache, user, campaign, impression):
    """Several campaigns at once, without id."""
    caps = FrequencyCapManager(cache)
    return caps.check_many(user, {campaign: [HOUR, DAY]})[campaign]


def users_1(cache, user, campaign, impression):
    """One user for all."""
    return right(cache, "user", campaign, impression)


def users_2(cache, user, campaign, impression):
    """Campaign in the user's place."""
    return right(cache, campaign, campaign, user + impression)


def users_3(cache, user, campaign, impression):
    """Everybody is of one household."""
    return right(cache, "household-1", campaign, f"{user}/{impression}")


def day_1(cache, user, campaign, impression):
    """The hour only."""
    return _ask(cache, user, campaign, caps=[HOUR], impression_id=impression)


def day_2(cache, user, campaign, impression):
    """A daily limit that is too high."""
    caps = [HOUR, Cap(100, 86400)]
    return _ask(cache, user, campaign, caps=caps, impression_id=impression)


def day_3(cache, user, campaign, impression):
    """A 'day' that is over after four hours."""
    caps = [HOUR, Cap(10, 4 * 3600)]
    return _ask(cache, user, campaign, caps=caps, impression_id=impression)


def _key(cache, name, *parts):
    return cache.get_key(
        name + ":{" + "}:{".join("abc"[: len(parts)]) + "}",
        **dict(zip("abc", parts, strict=False)),
    )


def race_1(cache, user, campaign, impression):
    """Peek, then count and trust the peek."""
    caps, seen = (
        FrequencyCapManager(cache),
        _key(cache, "s", user, campaign, impression),
    )
    if cache.redis_client.exists(seen):
        return True
    if not caps.peek(user, campaign, caps=[HOUR, DAY]):
        return False
    cache.redis_client.set(seen, 1, ex=86400)
    caps.check_frequency_cap(user, campaign, caps=[HOUR, DAY], impression_id=impression)
    return True


def _windows(cache, user, campaign):
    """Anchored windows by the cache's clock, kept in a hash of the pair."""
    key = _key(cache, "mine", user, campaign)
    row = cache.redis_client.hgetall(key)
    now, state = cache.clock.now_ms(), {}
    for cap in (HOUR, DAY):
        end, count = map(int, row.get(str(cap.window), "0 0").split())
        state[cap] = (end, count) if end > now else (now + cap.window * 1000, 0)
    return key, row, state


def _write(cache, key, state, impression):
    values = {str(c.window): f"{end} {n + 1}" for c, (end, n) in state.items()}
    cache.redis_client.hset(key, mapping=values | {f"i:{impression}": 1})
    cache.redis_client.expire(key, 86400)
    return True


def race_2(cache, user, campaign, impression):
    """Read a hash, decide in Python, write it back."""
    key, row, state = _windows(cache, user, campaign)
    if f"i:{impression}" in row:
        return True
    if any(count >= cap.limit for cap, (_, count) in state.items()):
        return False
    return _write(cache, key, state, impression)


def race_3(cache, user, campaign, impression):
    """Look, look again, and write by another command."""
    key, _, state = _windows(cache, user, campaign)
    known = cache.redis_client.hexists(key, f"i:{impression}")
    fits = all(count < cap.limit for cap, (_, count) in state.items())
    return bool(known) or (fits and _write(cache, key, state, impression))


def immortal_1(cache, user, campaign, impression):
    """A count for ever, beside a right decision."""
    cache.redis_client.incr(_key(cache, "served", user))
    return right(cache, user, campaign, impression)


def immortal_2(cache, user, campaign, impression):
    """A list of everything ever asked."""
    cache.redis_client.rpush(_key(cache, "asked", campaign), "an ad")
    return right(cache, user, campaign, impression)


def immortal_3(cache, user, campaign, impression):
    """The last answer, kept without end."""
    served = bool(right(cache, user, campaign, impression))
    cache.redis_client.set(_key(cache, "last", user), int(served))
    return served


def foreign_1(cache, user, campaign, impression):
    """A key put together by hand."""
    cache.redis_client.set(f"seen:{user}", 1, ex=60)
    return right(cache, user, campaign, impression)


def foreign_2(cache, user, campaign, impression):
    """One key for all, in a script."""
    cache.redis_client.eval("redis.call('SET', KEYS[1], 1, 'EX', 9)", 1, "last")
    return right(cache, user, campaign, impression)


def foreign_3(cache, user, campaign, impression):
    """A namespace of somebody's own."""
    cache.redis_client.hset("mine:caps", user, campaign)
    cache.redis_client.expire("mine:caps", 60)
    return right(cache, user, campaign, impression)


def _by_hours(cache, user, campaign, impression, now):
    """Clock-aligned windows by whatever clock the caller takes."""
    for cap in (HOUR, DAY):
        window = f"{cap.window}-{now // cap.window}"
        key = _key(cache, "w", user, campaign, window)
        if cache.redis_client.scard(key) >= cap.limit:
            return bool(cache.redis_client.sismember(key, impression))
        cache.redis_client.sadd(key, impression)
        cache.redis_client.expire(key, cap.window)
    return True


def clock_1(cache, user, campaign, impression):
    """time.time()."""
    return _by_hours(cache, user, campaign, impression, int(time.time()))


def clock_2(cache, user, campaign, impression):
    """time.time() in milliseconds, in a name of its own."""
    seconds = round(time.time() * 1000) // 1000
    return _by_hours(cache, user, campaign, impression, seconds)


def clock_3(cache, user, campaign, impression):
    """A date made from time.time()."""
    moment = datetime.fromtimestamp(time.time(), UTC)
    return _by_hours(cache, user, campaign, impression, int(moment.timestamp()))


SERVERS = {
    "": [right, right_log],
    "retry_counts": [retry_1, retry_2, retry_3],
    "users_share": [users_1, users_2, users_3],
    "day_missing": [day_1, day_2, day_3],
    "check_then_count": [race_1, race_2, race_3],
    "no_ttl": [immortal_1, immortal_2, immortal_3],
    "foreign_key": [foreign_1, foreign_2, foreign_3],
    "client_clock": [clock_1, clock_2, clock_3],
}

ANSWERS = {
    "07.1": {name: [HEAD + s for s in made] for name, made in COUNTERS.items()},
    "07.2": {name: [LOG_HEAD + s for s in made] for name, made in LOGS.items()},
    "07.3": SERVERS,
}
