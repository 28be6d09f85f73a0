"""The picture of a cap: which ads were served when, and how many in a window."""

import math
from collections.abc import Sequence
from typing import Protocol

from adcache.widgets.pictures import (
    BLUE,
    INK,
    ORANGE,
    Figure,
    headline,
    legend_below,
    new_figure,
)

UNITS = ((86_400, "days"), (3600, "hours"), (60, "minutes"), (1, "seconds"))


class Tried(Protocol):
    """An ad that was tried `at` seconds from the start, and served or not."""

    @property
    def at(self) -> float: ...  # noqa: D102
    @property
    def served(self) -> bool: ...  # noqa: D102


def timeline_figure(
    attempts: Sequence[Tried],
    limit: int,
    window: float,
    *,
    title: str = "",
    now: float | None = None,
) -> Figure:
    """Draw each ad at its time, as high as the ads served in the window before it.

    A dot is a served ad, a cross a refused one; a dot above the dashed line is
    one too many. Times in seconds from the start; `now` is where the clock is.
    """
    figure, axes = new_figure(7.6, 3.4)
    longest = max([window, now or 0, *(ad.at for ad in attempts)])
    unit, name = time_unit(longest)
    served, refused = heights(attempts, window)
    axes.axhline(limit, color=INK, linestyle="--", lw=1.2, label=f"limit {limit}")
    if worst := worst_window(served, limit, window):
        label = f"{span(window)} with {worst[1]} ads"
        ends = (max(0, worst[0]) / unit, (worst[0] + window) / unit)
        axes.axvspan(*ends, color=ORANGE, alpha=0.22, lw=0, label=label)
    dot = {"marker": "o", "ms": 10, "color": BLUE, "linestyle": "none"}
    axes.plot([t / unit for t, _ in served], [y for _, y in served], **dot)
    cross = {"marker": "x", "ms": 10, "mew": 2.6, "color": ORANGE, "linestyle": "none"}
    axes.plot([t / unit for t, _ in refused], [y for _, y in refused], **cross)
    axes.plot([], [], label=f"{len(served)} served", **dot)
    axes.plot([], [], label=f"{len(refused)} refused", **cross)
    if now is not None:
        axes.axvline(now / unit, color=INK, lw=1, linestyle=":", label="now")
    axes.set_xlabel(f"time ({name} from the start)")
    axes.set_ylabel(f"ads served in the\nlast {span(window)}")
    headline(axes, title or conclusion(served, limit, window))
    top = max([limit, *(y for _, y in served + refused)])
    axes.set_ylim(0, top + 1)
    axes.set_xlim(-0.03 * longest / unit, 1.05 * longest / unit)
    axes.yaxis.get_major_locator().set_params(integer=True)
    legend_below(figure, 5)
    return figure


def heights(
    attempts: Sequence[Tried], window: float
) -> tuple[list[tuple[float, int]], list[tuple[float, int]]]:
    """Give each ad its (time, ads served in the window that ends with it).

    A refused ad stands one higher than what was served, where it would have
    been; served ones come first, refused ones second.
    """
    served: list[tuple[float, int]] = []
    refused: list[tuple[float, int]] = []
    for ad in attempts:
        since = round(1000 * (ad.at - window))
        recent = sum(round(1000 * at) > since for at, _ in served)
        (served if ad.served else refused).append((ad.at, recent + 1))
    return served, refused


def worst_window(
    served: Sequence[tuple[float, int]], limit: int, window: float
) -> tuple[float, int] | None:
    """Return where the window with most ads begins, and how many; None if in order."""
    end, most = max(served, key=lambda point: point[1], default=(0.0, 0))
    return (end - window, most) if most > limit else None


def conclusion(served: Sequence[tuple[float, int]], limit: int, window: float) -> str:
    """Say in one line whether the cap held."""
    most = max((count for _, count in served), default=0)
    length = span(window)
    if most > limit:
        return f"Up to {most} ads in {length}, although the limit is {limit}"
    if most == 0:
        return f"No ad was served yet: at most {limit} in {length}"
    return f"The cap held: at most {most} in {length}, limit {limit}"


def span(seconds: float) -> str:
    """Say a duration in its largest even unit: 1 hour, 90 minutes, 2.5 seconds.

    What comes out even in none is rounded up, to the minute when it is long.
    """
    for unit, name in UNITS:
        if seconds >= unit and seconds % unit == 0:
            count = int(seconds // unit)
            return f"{count} {name if count > 1 else name[:-1]}"
    if seconds > 120:
        return f"about {math.ceil(seconds / 60)} minutes"
    return f"{seconds:.3g} seconds"


def time_unit(longest: float) -> tuple[int, str]:
    """Choose the unit for an axis that reaches `longest` seconds."""
    return next((pair for pair in UNITS if longest >= 2 * pair[0]), UNITS[-1])
