"""The pictures of an auction: its bids, and what a floor earns."""

from collections.abc import Sequence

from adcache.bid_results import SECOND_PRICE
from adcache.widgets.outcome import Outcome
from adcache.widgets.pictures import (
    BLUE,
    GREY,
    INK,
    ORANGE,
    Figure,
    headline,
    legend_below,
    new_figure,
)
from adcache.widgets.theory import expected_revenue


def auction_figure(outcome: Outcome, title: str = "") -> Figure:
    """Draw the bids as bars with the floor and the clearing price as lines.

    Without a `title` the picture says itself who wins, and what it pays.
    """
    figure, axes = new_figure(7.6, 1.3 + 0.36 * max(2, len(outcome.bids)))
    highest = max([outcome.floor, *(bid.price for bid in outcome.bids)]) or 1.0
    colours = {"wins": BLUE, "outbid": GREY, "below the floor": "none"}
    for row, bid in enumerate(reversed(outcome.bids)):
        colour = colours[bid.verdict]
        axes.barh(row, bid.price, 0.66, color=colour, edgecolor=GREY)
        strong = "bold" if bid.verdict == "wins" else "normal"
        label = f"{bid.price:.2f}  {bid.verdict}"
        axes.text(1.05 * highest, row, label, va="center", weight=strong, color=INK)
    axes.set_yticks(
        range(len(outcome.bids)), [bid.campaign for bid in reversed(outcome.bids)]
    )
    axes.axvline(outcome.floor, color=INK, linestyle="--", label="floor")
    if outcome.clearing_price is not None:
        axes.axvline(outcome.clearing_price, color=ORANGE, lw=3, label="clearing price")
    axes.set_xlim(0, 1.42 * highest)
    axes.set_xlabel("bid (CPM)")
    headline(axes, title or outcome.sentence().replace(". ", ".\n", 1))
    legend_below(figure, 2)
    return figure


def revenue_figure(
    bidders: int,
    points: Sequence[tuple[float, float]] = (),
    at: int = SECOND_PRICE,
    top: float = 1.0,
) -> Figure:
    """Draw expected revenue against the floor, with measured `points` on it.

    Each point is (floor, mean revenue); `top` is the highest value, in CPM.
    """
    figure, axes = new_figure(7.6, 3.6)
    floors = [step / 100 for step in range(101)]
    theory = [top * expected_revenue(bidders, floor, at) for floor in floors]
    axes.plot([top * f for f in floors], theory, color=BLUE, lw=2.5, label="theory")
    if points:
        x, y = zip(*points, strict=True)
        axes.plot(x, y, "D", color=ORANGE, ms=9, label="measured (mean of a run)")
    if at == SECOND_PRICE:
        axes.axvline(top / 2, color=INK, linestyle="--", lw=1, label="best floor")
    crowd = f"{bidders} bidders" if bidders > 1 else "1 bidder"
    earns = top * expected_revenue(bidders, 0.5)
    headline(
        axes,
        f"{crowd}, second price: the best floor, {top / 2:g}, earns {earns:.3g}"
        if at == SECOND_PRICE
        else f"{crowd}, each paying its full value: a floor only loses sales",
    )
    axes.set_xlabel("floor (CPM)")
    axes.set_ylabel("revenue an auction (CPM)")
    axes.set_ylim(0, 1.25 * max(theory))
    legend_below(figure, 3)
    return figure
