"""When a copy should be loaded again: arithmetic that needs no Redis.

Many copies written in one second end in one second, and everybody who reads a
hot copy just after its end loads it again. `jittered` spreads the ends of many
copies; `early_refresh` lets one reader go ahead before the end of a hot one.
"""

import math
import random
from typing import Protocol

from adcache.clock import Seconds, to_ms
from adcache.errors import InvalidValue, shown


class Rng(Protocol):
    """Anything with `random()`, a number from 0.0 to below 1.0."""

    def random(self) -> float:
        """Return the next number."""
        ...


RANDOM: Rng = random.Random()  # noqa: S311 - it spreads work and keeps no secret


def jittered(ttl: Seconds, share: float = 0.1, rng: Rng = RANDOM) -> float:
    """Shorten `ttl` (seconds) by a random part of at most `share` (0 to below 1).

    Never longer than `ttl`, so its promise stands; on average it is
    ``ttl * (1 - share / 2)``. A seeded `rng` makes it repeatable. Raises
    `InvalidValue`.

    >>> 270 < jittered(300, 0.1) <= 300
    True
    """
    seconds = to_ms(ttl) / 1000
    number = isinstance(share, int | float) and not isinstance(share, bool)
    if not (number and 0 <= share < 1):
        raise InvalidValue(
            f"the share of jitter must be from 0 to below 1, got {shown(share)}"
        )
    return seconds * (1 - share * rng.random())


def early_refresh(
    now: float, expiry: float, delta: float, beta: float = 1.0, rng: Rng = RANDOM
) -> bool:
    """Decide whether this reader refreshes the copy now, by chance (XFetch).

    True when ``now - delta * beta * ln(random) >= expiry``: `delta` is how long
    loading takes, and all times have one unit. Readers need not talk to each
    other: the more of them there are, the earlier one goes ahead. `beta` above
    1 makes it earlier, 0 turns it off. Source: Vattani, Chierichetti,
    Lowenstein, "Optimal Probabilistic Cache Stampede Prevention", VLDB 2015.
    """
    return now - delta * beta * math.log(1.0 - rng.random()) >= expiry


def early_refresh_probability(
    left: float, delta: float, beta: float = 1.0, readers: int = 1
) -> float:
    """Chance that at least one of `readers` refreshes with `left` until expiry.

    For one reader ``exp(-left / (delta * beta))``: `early_refresh` with the
    random number integrated out, for several the chance that not all of them
    wait. 1.0 when the copy is over. All times have one unit. Source: as there.

    >>> round(early_refresh_probability(left=2.0, delta=1.0), 3)
    0.135
    """
    if left <= 0:
        return 1.0
    if delta * beta <= 0:
        return 0.0
    return float(1 - (1 - math.exp(-left / (delta * beta))) ** readers)
