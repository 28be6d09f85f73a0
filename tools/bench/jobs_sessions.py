"""Sessions: note that a visitor is still there, read who it is."""

from collections.abc import Iterator

import msgspec

from adcache import connect
from adcache.course.naive import Naive
from adcache.sessions import SessionManager
from tools.bench.measure import BARE, OURS, Absent, Contender, Job, Run, each
from tools.bench.replay import bare, plain, same_script

SESSIONS = [f"session_{n}" for n in range(200)]
TOUCH, READ = "session touch", "session read"

Found = Iterator[Contender | Absent]


def begin_sessions(url: str) -> None:
    """Begin all sessions with both designs."""
    cache = connect(url)
    sessions, naive = SessionManager(cache), Naive(cache)
    for number, name in enumerate(SESSIONS):
        visitor = {
            "user_id": f"user_{number}",
            "user_agent": "Mozilla/5.0",
            "ip_address": "203.0.113.7",
            "referrer": "https://news.example/",
        }
        sessions.create_session(name, visitor, ttl=36_000)
        naive.create_session(name, visitor, ttl=36_000)


def touch(url: str) -> Found:
    """Note activity; the session lives on for its ttl."""
    cache, naive = connect(url), Naive(plain(url))
    ours = SessionManager(connect(url)).update_session_activity
    recorded = SessionManager(cache).update_session_activity
    yield Contender(OURS, each(ours, SESSIONS))
    yield Contender("naive", each(naive.touch_session, SESSIONS))
    yield Contender(BARE, same_script(url, cache, recorded, SESSIONS))


def read(url: str) -> Found:
    """Read a session with its data."""
    naive = Naive(plain(url))
    yield Contender(OURS, each(SessionManager(connect(url)).get_session, SESSIONS))
    yield Contender("naive", each(naive.get_session, SESSIONS))
    yield Contender(BARE, hash_and_parsing(url, naive))


def hash_and_parsing(url: str, naive: Naive) -> Run:
    """HGETALL, and its data decoded."""
    client, decode = bare(url), msgspec.json.decode
    keys = [naive.key("session", name) for name in SESSIONS]
    return each(lambda key: decode(client.hgetall(key)["data"]), keys)


JOBS = [Job(TOUCH, begin_sessions, touch), Job(READ, begin_sessions, read)]
