"""Races that happen the same way every time: actors take turns as scripted."""

from collections.abc import Callable, Generator, Sequence
from string import ascii_lowercase
from typing import Any

from adcache.errors import InvalidValue

Steps = Generator[Any, None, Any]
Actor = Steps | Callable[[], Steps]


def race(actors: Sequence[Actor], order: str) -> None:
    """Run actors step by step in the given order, and print who did what.

    An actor is a generator function, or a generator: each ``yield "what I
    did"`` ends a step, and what it returns is printed at its end. `order`
    names them by letter: "abab" lets the first and the second take turns.
    Whoever is not done after that runs to the end. Raises `InvalidValue` for a
    letter without an actor.

    >>> def bidder():
    ...     yield "reads 2"
    ...     yield "writes 3"
    >>> race([bidder, bidder], order="abab")
    a  bidder  reads 2
    b  bidder  reads 2
    a  bidder  writes 3
    b  bidder  writes 3
    """
    letters = ascii_lowercase[: len(actors)]
    if unknown := sorted(set(order) - set(letters)):
        raise InvalidValue(f"order names {unknown[0]!r}; the actors are {letters!r}")
    running = {
        letter: actor() if callable(actor) else actor
        for letter, actor in zip(letters, actors, strict=True)
    }
    names = {
        letter: getattr(steps, "__name__", "actor") for letter, steps in running.items()
    }
    width = max(map(len, names.values()), default=0)

    def take_step(letter: str) -> None:
        line = _step(letter, running)
        if line is not None:
            print(f"{letter}  {names[letter]:{width}}  {line}".rstrip())  # noqa: T201

    for letter in order:
        if letter in running:
            take_step(letter)
    for letter in letters:
        while letter in running:
            take_step(letter)


def _step(letter: str, running: dict[str, Steps]) -> str | None:
    """Run one actor to its next yield; None when it ended with nothing to say."""
    try:
        did = next(running[letter])
    except StopIteration as end:
        del running[letter]
        return None if end.value is None else f"returns {end.value}"
    except Exception as error:  # a naive version may break: that is the lesson
        del running[letter]
        return f"raises {type(error).__name__}: {error}"
    return "takes a step" if did is None else str(did)
