"""Profiles and segments against plain Python, and the fake against a server."""

import secrets
from dataclasses import replace

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)

from adcache import ManualClock, UserProfileCache, connect
from tests.conftest import leave
from tests.test_profiles import profile


class Model:
    """Profiles and segments in plain Python, without Redis' two sides apart."""

    TTL, MEMBERS, SEGMENTS = 10, 2, 2

    def __init__(self, clock):
        self.clock = clock
        self.profiles, self.ids = {}, {}
        self.members = {}  # segment -> {user: ms of joining}, in order of joining
        self.lists = {}  # user -> {segment: (ms of the end, is the profile's own)}

    def get(self, user):
        stored, expires = self.profiles.get(user, (None, 0))
        return stored if expires > self.clock.now_ms() else None

    def set(self, stored, ttl):
        now, user = self.clock.now_ms(), stored.user_id
        self.profiles[user] = (stored, now + ttl * 1000)
        for segment, (_, own) in list(self.lists.get(user, {}).items()):
            if own and segment != stored.segment:
                self.leave(user, segment)
        self.enter(user, stored.segment, own=True)

    def update(self, user, delta, activity):
        stored, now = self.get(user), self.clock.now_ms()
        if stored is None:
            return None
        repeated = self.ids.get((user, activity), 0) > now
        if not repeated:
            later = max(stored.last_activity, self.clock.now())
            score = stored.behavior_score + delta
            stored = replace(stored, behavior_score=score, last_activity=later)
            self.profiles[user] = (stored, self.profiles[user][1])
            if activity:
                self.ids[user, activity] = now + 600_000
        return stored.behavior_score, stored.last_activity, repeated

    def enter(self, user, segment, own=False):
        now, entries = self.clock.now_ms(), self.lists.setdefault(user, {})
        own = own or entries.get(segment, (0, False))[1]
        for other, (ends, _) in list(entries.items()):
            if other != segment and ends <= now:
                self.leave(user, other)
        others = {k: v for k, v in entries.items() if k != segment}
        by_end = sorted(others, key=lambda k: (others[k], k))
        for other in by_end[: max(0, len(others) + 1 - self.SEGMENTS)]:
            self.leave(user, other)
        entries[segment] = (now + self.TTL * 1000, own)
        members = self.members.setdefault(segment, {})
        new = user not in members
        members.pop(user, None)
        members[user] = now
        alive = [name for name in members if members[name] > now - self.TTL * 1000]
        kept = alive[-self.MEMBERS :] if new else alive
        self.members[segment] = {name: members[name] for name in kept}

    def leave(self, user, segment):
        self.lists.get(user, {}).pop(segment, None)
        joined = self.members.get(segment, {}).pop(user, None)
        return joined is not None and joined > self.clock.now_ms() - self.TTL * 1000

    def delete(self, user, everywhere):
        self.profiles.pop(user, None)
        for key in [key for key in self.ids if key[0] == user]:
            del self.ids[key]
        for segment, (_, own) in list(self.lists.get(user, {}).items()):
            if own or everywhere:
                self.leave(user, segment)

    def users_of(self, segment):
        oldest = self.clock.now_ms() - self.TTL * 1000
        members = self.members.get(segment, {})
        return [name for name in reversed(members) if members[name] > oldest]

    def segments_of(self, user):
        now, entries = self.clock.now_ms(), self.lists.get(user, {})
        running = [name for name in entries if entries[name][0] > now]
        return sorted(running, key=lambda name: (entries[name], name), reverse=True)


class ProfileMachine(RuleBasedStateMachine):
    """Random calls and passing time: fakeredis, a server and the model agree."""

    url = ""
    NAMES = st.sampled_from(["ada", "a:b", "cy"])
    GROUPS = st.sampled_from(["r", "s:{t}", "v", "w"])
    SCORES = st.sampled_from([0.1, 0.2, -0.3, 1e16, 7])

    @initialize()
    def connect_both(self):
        self.clock = ManualClock()
        self.caches = [
            connect(url, namespace=f"test-{secrets.token_hex(6)}", clock=self.clock)
            for url in ("fakeredis://machines", self.url)
        ]
        self.model = Model(self.clock)
        limits = {"max_members": Model.MEMBERS, "max_segments": Model.SEGMENTS}
        self.both = [
            UserProfileCache(cache, segment_ttl=Model.TTL, **limits)
            for cache in self.caches
        ]

    def _all(self, call):
        first, second = (call(each) for each in self.both)
        assert first == second, "fakeredis and the server differ"
        return first

    @rule(name=NAMES, group=GROUPS, score=SCORES, ttl=st.sampled_from([5, 25]))
    def set(self, name, group, score, ttl):
        given_profile = profile(name, behavior_score=score, segment=group)
        assert self._all(lambda users: users.set_user_profile(given_profile, ttl))
        self.model.set(given_profile, ttl)

    @rule(name=NAMES, delta=SCORES, activity=st.sampled_from([None, "i", "j"]))
    def update(self, name, delta, activity):
        data = {"score_delta": delta}
        told = self._all(
            lambda users: users.update_user_activity(name, data, activity_id=activity)
        )
        wanted = self.model.update(name, delta, activity)
        told = told and (told.behavior_score, told.last_activity, told.repeated)
        assert wanted == told

    @rule(name=NAMES, group=GROUPS)
    def add(self, name, group):
        assert self._all(lambda users: users.add_user_to_segment(name, group))
        self.model.enter(name, group)

    @rule(name=NAMES, group=GROUPS)
    def remove(self, name, group):
        told = self._all(lambda users: users.remove_user_from_segment(name, group))
        assert self.model.leave(name, group) == told

    @rule(name=NAMES, everywhere=st.booleans())
    def delete(self, name, everywhere):
        self._all(lambda users: users.delete_user_profile(name, everywhere=everywhere))
        self.model.delete(name, everywhere)

    @rule(seconds=st.sampled_from([0.001, 1, 4.999, 5, 9.999, 10, 599]))
    def pass_time(self, seconds):
        self.clock.advance(seconds)

    @rule(name=NAMES, group=GROUPS)
    def look(self, name, group):
        found = self._all(lambda users: users.get_user_profile(name))
        segments = self._all(lambda users: users.segments_of(name))
        members = self._all(lambda users: users.get_users_by_segment(group))
        size = self._all(lambda users: users.segment_size(group))

        assert self.model.get(name) == found
        assert self.model.segments_of(name) == segments
        assert self.model.users_of(group) == members
        assert len(members) == size

    def teardown(self):
        leave(*getattr(self, "caches", ()))


def test_profiles_and_segments_equal_their_model(redis_url):
    """Whatever happens, fake, server and model say the same of every user."""
    machine = type("Machine", (ProfileMachine,), {"url": redis_url})
    steps = settings(
        max_examples=40,
        stateful_step_count=30,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(machine, settings=steps)
