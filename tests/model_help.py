"""What the state machines share: a fake and a server driven side by side.

A machine makes its component on both, calls both with `agree`, and compares the
one answer with a model of a few lines of plain Python. Keys live by the wall
clock, so all times in the machines are far longer than an example takes.
"""

import secrets
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)

from adcache import ManualClock, RedisAdCache, connect
from tests.conftest import leave


class Twins(RuleBasedStateMachine):
    """Fake and server, each with a component of its own, and one clock for both."""

    url = ""
    pauses = st.sampled_from([0.001, 1, 59.999, 60, 3600])

    @initialize()
    def connect_both(self) -> None:
        """Begin with two empty namespaces; subclasses make a model in `begin`."""
        self.clock = ManualClock()
        namespace = f"test-{secrets.token_hex(6)}"
        self.caches = [
            connect(url, namespace=namespace, clock=self.clock)
            for url in ("fakeredis://machines", self.url)
        ]
        self.begin()

    def begin(self) -> None:
        """Make `self.both` and the model."""
        raise NotImplementedError

    def agree(self, call: Callable[[Any], Any]) -> Any:
        """Call both with the same; their one answer, or the class of their error."""
        answers = []
        for each in self.both:
            try:
                answers.append(call(each))
            except Exception as error:  # an assertion of the machine comes later
                answers.append((type(error), str(error)))
        assert answers[0] == answers[1], "fakeredis and the server differ"
        return answers[0]

    @rule(data=st.data())
    def pass_time(self, data: st.DataObject) -> None:
        """Let the clock go on, and look at once what is over now."""
        self.clock.advance(data.draw(self.pauses))
        self.look_at_all()

    def look_at_all(self) -> None:
        """Compare what time may have changed; subclasses know what that is."""

    def teardown(self) -> None:
        """Leave nothing behind, and nothing without an end."""
        leave(*getattr(self, "caches", ()))


def run(
    machine: type[Twins], url: str, examples: int = 30, steps: int = 30, **changes: Any
) -> None:
    """Run a machine on the server of `url`; `changes` are attributes of its class."""
    kind = type(machine.__name__, (machine,), {"url": url} | changes)
    run_state_machine_as_test(
        kind,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def cache_of(thing: Any) -> RedisAdCache:
    """The cache that a component was made with."""
    found: RedisAdCache = thing.cache
    return found
