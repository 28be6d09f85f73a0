"""Sessions and their interests against plain Python, and the fake against a server."""

from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from adcache import SessionManager, SessionTargeting, UserPrivacy
from adcache.keys import encode_id
from tests.model_help import Twins, run

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NAMES = ["s1", "s:{2}"]
IDS = st.sampled_from(NAMES)
USERS = st.sampled_from(["ada", "b:c"])
NOBODY_TOO = st.sampled_from(["", "ada", "b:c"])
MARK_MS = 10_000
MOST = 2  # sessions in a user's list


class Sessions:
    """Sessions, the users' lists and the marks of revocation, in plain Python."""

    def __init__(self, clock):
        self.clock = clock
        self.held, self.marks, self.lists = {}, {}, {}
        self.suppressed = set()

    @property
    def now(self):
        return self.clock.now_ms()

    def open(self, name):
        session = self.held.get(name)
        return session if session and self.now < session["expires"] else None

    def create(self, name, user, cart, ttl, age):
        ends, over = self.now + age * 1000, []
        if user:
            if user in self.suppressed:
                return ""
            ends, over = self.enlist(user, name, ends)
        if not self.begin(name, user, cart, ttl, age, ends):
            return ""
        self.end(user, over)
        return name

    def enlist(self, user, name, ends):
        listed = self.lists.setdefault(user, {})
        for other in [other for other, over in listed.items() if over <= self.now]:
            del listed[other]
        listed[name] = max(ends, listed.get(name, 0))
        first = sorted(listed, key=lambda each: (listed[each], encode_id(each)))
        over = max(0, len(first) - MOST)
        gone = [each for each in first[: over + 1] if each != name][:over]
        return ends, {each: listed[each] for each in gone}

    def begin(self, name, user, cart, ttl, age, ends):
        old, terms = self.open(name), (cart, ttl, age)
        if old:
            if old["user"] != user:
                return False
            if old["terms"] == terms:
                return True
        until, whom = self.marks.get(name, (0, ""))
        if whom == user and self.now < until:
            return False
        self.held[name] = {
            **{"user": user, "terms": terms, "idle": ttl * 1000, "ends": ends},
            "expires": min(self.now + ttl * 1000, ends),
            **{"created": self.now, "last": self.now},
        }
        return True

    def touch(self, name):
        session = self.open(name)
        if session:
            session["last"] = max(session["last"], self.now)
            later = min(self.now + session["idle"], session["ends"])
            session["expires"] = max(session["expires"], later)
        return session

    def delete(self, name):
        was_open = self.open(name)
        if name in self.held:
            del self.held[name]
            self.marks.pop(name, None)
        return was_open is not None

    def end(self, user, listed):
        ended = 0
        for name, over in listed.items() if user else ():
            session = self.open(name)
            if not session or session["user"] == user:
                ended += session is not None
                self.held.pop(name, None)
                self.marks[name] = (self.now + MARK_MS, user)
            if self.lists[user].get(name) == over:
                del self.lists[user][name]
        return ended

    def ids(self, user):
        listed = self.lists.get(user, {})
        return sorted(
            listed, key=lambda each: (listed[each], encode_id(each)), reverse=True
        )

    def seen(self, name):
        """What `get_session` shows of an open session, else None."""
        session = self.open(name)
        if not session:
            return None
        cart, *_ = session["terms"]
        data = {"cart": cart} | (
            {"user_id": session["user"]} if session["user"] else {}
        )
        return {
            **{"session_id": name, "user_id": session["user"], "data": data},
            **{"user_agent": "", "ip_address": ""},
            "created_at": EPOCH + timedelta(milliseconds=session["created"]),
            "last_activity": EPOCH + timedelta(milliseconds=session["last"]),
        }


class SessionMachine(Twins):
    """Random logins, touches, logouts, revocations, erasures and passing time."""

    pauses = st.sampled_from([0.001, 9.999, 10, 59.999, 60, 119, 600])

    def begin(self):
        self.both = [SessionManager(each, max_sessions=MOST) for each in self.caches]
        self.model = Sessions(self.clock)

    @rule(
        name=IDS,
        user=NOBODY_TOO,
        cart=st.booleans(),
        ttl=st.sampled_from([60, 120]),
        age=st.sampled_from([120, 600]),
    )
    def create(self, name, user, cart, ttl, age):
        data = {"cart": cart} | ({"user_id": user} if user else {})
        told = self.agree(lambda m: m.create_session(name, data, ttl, max_age=age))
        assert self.model.create(name, user, cart, ttl, age) == told

    @rule(name=IDS, read=st.booleans())
    def touch(self, name, read):
        if read:
            told = self.agree(lambda m: m.cache.wire.ask(m.ask_touch(name)))
            self.model.touch(name)
            assert self.model.seen(name) == told
        else:
            told = self.agree(lambda m: m.update_session_activity(name))
            assert (self.model.touch(name) is not None) == told

    @rule(name=IDS, ttl=st.sampled_from([60, 120]))
    def stay_to_the_end(self, name, ttl):
        """However active, no session outlives its longest life."""
        self.create(name, "ada", True, ttl, 120)
        for _ in range(4):
            self.clock.advance(59)
            self.touch(name, False)

    @rule(name=IDS)
    def delete(self, name):
        told = self.agree(lambda m: m.delete_session(name))
        assert self.model.delete(name) == told

    @rule(user=USERS)
    def revoke(self, user):
        told = self.agree(lambda m: m.revoke_all(user))
        assert self.model.end(user, dict(self.model.lists.get(user, {}))) == told

    @rule(user=USERS, forget=st.booleans())
    def suppress(self, user, forget):
        if forget:
            self.agree(lambda m: bool(UserPrivacy(m.cache).suppress(user)))
            self.model.suppressed.add(user)
        else:
            told = self.agree(lambda m: UserPrivacy(m.cache).unsuppress(user))
            assert (user in self.model.suppressed) == told
            self.model.suppressed.discard(user)

    def look_at_all(self):
        for name in NAMES:
            assert self.model.seen(name) == self.agree(
                lambda m, n=name: m.get_session(n)
            )

    @rule(name=IDS, user=USERS, limit=st.sampled_from([0, 1, 9]))
    def look(self, name, user, limit):
        assert self.model.seen(name) == self.agree(lambda m: m.get_session(name))
        listed = self.model.ids(user)
        assert listed == self.agree(lambda m: m.session_ids(user))
        open_ones = [self.model.seen(each) for each in listed]
        theirs = [each for each in open_ones if each and each["user_id"] == user]
        told = self.agree(lambda m: m.list_sessions(user, limit))
        assert theirs[:limit] == told


def test_sessions_equal_their_model(redis_url):
    """Whatever happens, fake, server and model tell the same of every session."""
    run(SessionMachine, redis_url, examples=40, steps=40)


HALF = 1800  # seconds: time passes in half-lives, so that decay is exact


class InterestMachine(Twins):
    """Random page events in sessions that begin, end and get new owners."""

    pauses = st.sampled_from([HALF, 2 * HALF, 5 * HALF])
    NAMES = st.sampled_from(["tea", "a:b", "art", "e\u0301"])
    EVENTS = st.sampled_from([None, "e1", "e:2"])
    TTL = 4 * HALF

    @initialize(live_only=st.booleans())
    def live(self, live_only):
        self.live_only = live_only

    def begin(self):
        self.live_only = getattr(self, "live_only", False)
        self.sessions, self.terms = {}, {}
        self.scores, self.events = {}, {}
        self.both = [
            SessionTargeting(each, half_life=HALF, ttl=self.TTL, max_interests=2)
            for each in self.caches
        ]

    def began(self, name):
        """When the open session of this id began, '' for none."""
        created, ends = self.sessions.get(name, ("", 0))
        return created if self.clock.now_ms() < ends else ""

    @rule(name=IDS, ttl=st.sampled_from([HALF + 1, 9 * HALF]))
    def login(self, name, ttl):
        # Each login has other data, so that none is taken for a retry.
        data = {"at": self.clock.now_ms(), "ttl": ttl}
        made = self.agree(
            lambda t: SessionManager(t.cache).create_session(name, data, ttl)
        )
        assert name == made
        if self.began(name) != self.clock.now_ms() or self.terms[name] != ttl:
            self.sessions[name] = (
                self.clock.now_ms(),
                self.clock.now_ms() + ttl * 1000,
            )
        self.terms[name] = ttl

    @rule(name=IDS)
    def logout(self, name):
        told = self.agree(lambda t: SessionManager(t.cache).delete_session(name))
        assert (self.began(name) != "") == told
        self.sessions.pop(name, None)

    @rule(
        name=IDS,
        event=EVENTS,
        weights=st.dictionaries(NAMES, st.sampled_from([0.5, 3, 8]), max_size=3),
    )
    def record(self, name, event, weights):
        for targeting in self.both:
            targeting.live_only = self.live_only
        told = self.agree(lambda t: t.record(name, weights, event))
        assert self.expected(name, event, weights) == told
        self.look(name, 9)

    def expected(self, name, event, weights):
        """Count it in the model; whether it counted."""
        now, began = self.clock.now_ms(), self.began(name)
        if not weights or (self.live_only and began == ""):
            return False
        known = self.scores.get(name)
        if known and (now >= known["ends"] or known["began"] != began):
            self.scores.pop(name)
            self.events.pop(name, None)
        if event is not None:
            if event in self.events.setdefault(name, set()):
                return False
            self.events[name].add(event)
        worth = self.worth(name)
        for interest, weight in weights.items():
            worth[interest] = worth.get(interest, 0.0) + weight
        kept = sorted(worth, key=lambda each: (-worth[each], encode_id(each)))[:2]
        self.scores[name] = {
            **{"ends": now + self.TTL * 1000, "began": began, "at": now},
            "worth": {each: worth[each] for each in kept},
        }
        return True

    def worth(self, name):
        """Scores of a session as of now, in halves of halves: exact."""
        known = self.scores.get(name)
        if not known:
            return {}
        halves = (self.clock.now_ms() - known["at"]) / (HALF * 1000)
        return {each: score * 2**-halves for each, score in known["worth"].items()}

    @rule(name=IDS)
    def forget(self, name):
        self.agree(lambda t: t.forget(name))
        self.scores.pop(name, None)
        self.events.pop(name, None)

    def look_at_all(self):
        for name in NAMES:
            self.look(name, 9)

    @rule(name=IDS, ttl=st.sampled_from([HALF + 1, 9 * HALF]))
    def another_visitor(self, name, ttl):
        """The id is given to somebody else, who must inherit nothing."""
        self.record(name, None, {"tea": 8})
        self.logout(name)
        self.clock.advance(HALF)
        self.login(name, ttl)
        self.record(name, None, {"art": 3})

    @rule(name=IDS, limit=st.sampled_from([0, 1, 9]))
    def look(self, name, limit):
        known = self.scores.get(name)
        theirs = known and self.clock.now_ms() < known["ends"]
        worth = (
            self.worth(name) if theirs and known["began"] == self.began(name) else {}
        )
        ranked = sorted(worth.items(), key=lambda pair: (-pair[1], pair[0]))
        assert ranked[:limit] == self.agree(lambda t: t.interests(name, limit))


def test_interests_equal_their_model(redis_url):
    """Whatever happens, fake, server and model see the same interests."""
    run(InterestMachine, redis_url)
