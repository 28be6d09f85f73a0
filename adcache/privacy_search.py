"""Finding a user in a whole namespace: by the names of keys, and in values.

Nothing points from a user to everything that mentions them. So an erasure ends
with a search: SCAN, a bounded number of keys at a time, on every primary. What
is the user's alone is removed; what only mentions them is counted.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from adcache.connection import RedisAdCache
from adcache.errors import AdCacheError
from adcache.keys import KEYS, decode_id, encode_id
from adcache.monitor_keys import pattern_of
from adcache.monitor_server import primaries
from adcache.privacy_proof import Lingering
from adcache.wire import Command, Question

STEP = 250  # keys of one SCAN, whose values share one trip
SESSION = ("user_session", "session_interests", "session_events")
OWN = {name for name, row in KEYS.items() if "{{{user_id}}}" in row.template}
KEPT = "user_suppressed"
# Where a user's id may stand in a value, and what such a value is called.
MENTIONS = {
    "bid_request": "stored bid requests",
    "bid_context": "stored bid requests",
    "bid_answer": "stored bid requests",
    "budget_ledger": "notes of bids in the ledger",
    "record": "copies of records",
    "loaded": "copies of records",
    "write_record": "copies of records",
    "write_queue": "records that wait to be stored",
}
COPIES = {"record": "strategies", "loaded": "stampede"}  # may go: they are loaded again


class Search:
    """One pass over the namespace for one user; its figures when it is done."""

    def __init__(self, redis_cache: RedisAdCache, user_id: str) -> None:
        self.cache = redis_cache
        self.user = encode_id(user_id, "user_id")
        self._names = tuple(
            {json.dumps(user_id), json.dumps(user_id, ensure_ascii=False)}
        )
        self.removed: Counter[str] = Counter()
        self._lives: dict[tuple[str, str], int] = {}  # what and key: ms it lives
        self.scanned = self.searched = self.sketches = self.unreadable = 0
        self.complete = False

    def run(self, max_keys: int) -> "Search":
        """Look at up to `max_keys` keys of the server, other namespaces' included."""
        looks = -(-max_keys // STEP)
        for batch in self._batches():
            if looks == 0:
                break
            looks -= 1
            self._search(batch)
        else:
            self.complete = True
        self._look_at_ends()
        return self

    def _batches(self) -> Iterator[list[str]]:
        client, match = self.cache.redis_client, self.cache.keys.match
        for node in primaries(self.cache):
            cursor: Any = 0
            while True:
                with self.cache.get_client():
                    cursor, keys = client.scan(cursor, match, STEP, **node.options)
                if isinstance(cursor, dict):  # a cluster's answer names the node
                    (cursor,) = cursor.values()
                yield [k.decode() if isinstance(k, bytes) else k for k in keys]
                if not cursor:
                    break

    def _search(self, keys: list[str]) -> None:
        """Sort the keys by name, read the values that may tell, remove, count."""
        removals: list[tuple[str, Command]] = []
        looks: list[tuple[str, str, Command]] = []
        for key in keys:
            name = self.cache.keys.strip(key)
            pattern = pattern_of(name)
            if pattern in OWN and f"{{{self.user}}}" in name:
                if pattern != KEPT:
                    removals.append((component_of(pattern), ("UNLINK", key)))
            elif command := self._look(pattern, key):
                looks.append((pattern, key, command))
            elif pattern == "stats_reach":
                self.sketches += 1
            elif pattern == "other" and self.user in re.split("[:{}]", name):
                self._lives["keys of another program", key] = 0
        removals += self._read(looks)
        self.scanned += len(keys)
        self._remove(removals)

    def _look(self, pattern: str, key: str) -> Command | None:
        """The command that shows whether a value mentions the user."""
        if pattern == "user_session":
            return "HMGET", key, "user", "revoked"
        if pattern == "user_segments":
            return "ZSCORE", key, self.user
        if pattern in ("bid_request", "bid_context"):
            return "HMGET", key, "request", "response"
        if pattern == "write_queue":
            return "HMGET", key, self.user
        return ("GET", key) if pattern in MENTIONS else None

    def _read(
        self, looks: list[tuple[str, str, Command]]
    ) -> Iterator[tuple[str, Command]]:
        """Read the values; yield what removes those that are the user's alone."""
        questions: list[Question[Any]] = [
            Question(look, safe=True, component="privacy") for *_, look in looks
        ]
        answers = self.cache.wire.trip(questions, keep_errors=True)
        for (pattern, key, _), answer in zip(looks, answers, strict=True):
            if isinstance(answer, AdCacheError):
                self.unreadable += 1
                continue
            self.searched += 1
            yield from self._judge(pattern, key, answer)

    def _judge(
        self, pattern: str, key: str, answer: Any
    ) -> Iterator[tuple[str, Command]]:
        if pattern == "user_session":
            yield from self._judge_session(key, *answer)
        elif pattern == "user_segments":
            if answer is not None:
                yield "profiles", ("ZREM", key, self.user)
        elif pattern in COPIES and self._is_named(key):
            yield COPIES[pattern], ("UNLINK", key)
        elif self._mentions(pattern, key, answer):
            self._lives[MENTIONS[pattern], key] = 0

    def _mentions(self, pattern: str, key: str, answer: Any) -> bool:
        texts = answer if isinstance(answer, list) else [answer]
        if pattern == "write_queue":
            return bool(texts[0])  # the field of this id
        if pattern == "write_record" and self._is_named(key):
            return True
        return any(name in text for text in texts if text for name in self._names)

    def _judge_session(
        self, key: str, user: str | None, revoked: str | None
    ) -> Iterator[tuple[str, Command]]:
        """A session that no list named, or the mark of one that has just ended."""
        if user == self.user:
            session_id = decode_id(key.rpartition("{")[2].rstrip("}"))
            for pattern in SESSION:
                component = "sessions" if pattern == SESSION[0] else "targeting"
                yield (
                    component,
                    ("UNLINK", self.cache.get_key(pattern, session_id=session_id)),
                )
        elif revoked and revoked.partition(" ")[2] == self.user:
            self._lives["marks of ended sessions", key] = 0

    def _is_named(self, key: str) -> bool:
        """Is the record's own id the user's? ``{kind:id}`` or ``{kind}:id``."""
        return key.rpartition(":")[2].rstrip("}") == self.user

    def _look_at_ends(self) -> None:
        """Ask when the keys end that mention the user and stay."""
        keys = [key for _, key in self._lives]
        for start in range(0, len(keys), STEP):
            page = keys[start : start + STEP]
            asked = [_question("PTTL", key) for key in page]
            lives = dict(zip(page, self.cache.wire.trip(asked), strict=True))
            self._lives |= {
                it: lives.get(it[1], old) for it, old in self._lives.items()
            }

    @property
    def lingering(self) -> dict[str, Lingering]:
        """What mentions the user and stays, until it ends by itself."""
        found: dict[str, list[int]] = {}
        for (what, _), life_ms in self._lives.items():
            if life_ms != -2:  # gone meanwhile
                found.setdefault(what, []).append(life_ms)
        return {
            what: Lingering(len(lives), None if -1 in lives else max(lives) / 1000)
            for what, lives in found.items()
        }

    def _remove(self, removals: list[tuple[str, Command]]) -> None:
        questions = [_question(*command) for _, command in removals]
        done = self.cache.wire.trip(questions)
        for (component, _), count in zip(removals, done, strict=True):
            self.removed[component] += count


def component_of(pattern: str) -> str:
    """Return the component whose key a user's own pattern is."""
    if pattern.startswith("frequency_"):
        return "frequency"
    return "sessions" if pattern == "user_sessions" else "profiles"


def _question(*command: Any) -> Question[Any]:
    """All that a search does may be done twice."""
    return Question(command, safe=True, component="privacy")
