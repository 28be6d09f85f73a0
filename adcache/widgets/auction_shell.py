"""The auction lab: one auction or a thousand, in Redis, against the theory."""

import secrets
import time
from random import Random
from statistics import fmean, stdev
from typing import Any

from adcache.bid_results import FIRST_PRICE, SECOND_PRICE
from adcache.connection import RedisAdCache
from adcache.widgets.auction import (
    TOP_VALUE,
    Outcome,
    draw_bids,
    expected_revenue,
    forget_auction,
    run_auction,
    run_auctions,
)
from adcache.widgets.auction_figures import auction_figure, revenue_figure
from adcache.widgets.shell import Lab

MANY = 1000
SEED, BIDDERS, FLOOR = 1, 5, 3.0  # what the lab shows first
PATIENCE = 2.0  # seconds before a progress bar is shown


class AuctionLab(Lab):
    """Floor, bidders and price rule; the same seed gives the same bids.

    So a change of the floor shows what the floor does, and nothing else.
    """

    def __init__(self, cache: RedisAdCache) -> None:
        super().__init__("auction")
        self.cache, self.seed = cache, SEED
        self.runs: list[tuple[float, float]] = []  # (floor, mean) of each thousand
        self._crowd = (0, 0)  # whom they were measured with
        scale: dict[str, Any] = {"min": 0, "max": TOP_VALUE, "step": 0.25}
        self.floor = self.control(
            "FloatSlider", "floor", "Floor (CPM)", value=FLOOR, **scale
        )
        self.bidders = self.control(
            "IntSlider", "bidders", "Bidders", min=1, max=12, value=BIDDERS
        )
        rules = [("Second price", SECOND_PRICE), ("First price", FIRST_PRICE)]
        self.at = self.control("Dropdown", "at", "Winner pays", options=rules)
        self.run = self.button("Run auction", "run", self.run_one)
        self.run_many = self.button(f"Run {MANY} auctions", "run-many", self.run_all)
        self.new_seed = self.button("New seed", "seed", self.reseed)
        self.progress = self.control("IntProgress", "progress", "Auctions", max=MANY)
        self.progress.layout.display = "none"
        self.assemble(
            [self.floor, self.bidders, self.at],
            [self.run, self.run_many, self.new_seed],
            self.progress,
        )

    def hold(self) -> Outcome:
        """Hold one auction in Redis on the lab's terms, with the seed's bids."""
        bids = draw_bids(self.bidders.value, Random(self.seed), "uniform", TOP_VALUE)  # noqa: S311
        auction_id = f"lab-{secrets.token_hex(4)}"
        floor = self.floor.value
        outcome = run_auction(self.cache, auction_id, bids, floor, self.at.value)
        forget_auction(self.cache, auction_id)
        return outcome

    def run_one(self) -> None:
        """Hold one auction and show it."""
        self.show(self.hold())

    def show(self, outcome: Outcome) -> None:
        """Show who won, what it pays, and why the others lost."""
        rule = "first price" if outcome.at == FIRST_PRICE else "second price"
        crowd = f"{len(outcome.bids)} bids, seed {self.seed}"
        title = f"{crowd}: floor {outcome.floor:.2f} CPM, {rule}"
        self.draw(auction_figure(outcome, title), outcome.description())
        self.say(outcome.sentence())

    def reseed(self) -> None:
        """Draw new bids and hold an auction with them."""
        self.seed += 1
        self.run_one()

    def run_all(self) -> None:
        """Hold a thousand auctions and hold their mean revenue to the theory."""
        bidders, floor, at = self.bidders.value, self.floor.value, self.at.value
        if (bidders, at) != self._crowd:
            self.runs, self._crowd = [], (bidders, at)
        revenues = self._revenues(bidders, floor, at)
        self.runs.append((floor, fmean(revenues)))
        sentence = verdict(revenues, bidders, floor, at)
        self.draw(revenue_figure(bidders, self.runs, at, TOP_VALUE), sentence)
        self.say(sentence)

    def _revenues(self, bidders: int, floor: float, at: int) -> list[float]:
        started, revenues = time.monotonic(), []
        name = f"lab-{secrets.token_hex(4)}"
        many = {"auctions": MANY, "seed": 1000 * self.seed + len(self.runs)}
        try:
            for revenue in run_auctions(self.cache, name, bidders, floor, at, **many):
                revenues.append(revenue)
                if len(revenues) % 25 == 0 and time.monotonic() - started > PATIENCE:
                    self.progress.layout.display = None
                    self.progress.value = len(revenues)
        finally:
            self.progress.layout.display = "none"
        return revenues


def verdict(revenues: list[float], bidders: int, floor: float, at: int) -> str:
    """Hold the mean of a run to the theory, within three standard errors."""
    mean, theory = fmean(revenues), expected_revenue(bidders, floor / TOP_VALUE, at)
    margin = 3 * stdev(revenues) / len(revenues) ** 0.5
    agrees = abs(mean - TOP_VALUE * theory) <= margin + 1e-9
    return (
        f"{len(revenues)} auctions earned {mean:.2f} CPM each on average; theory says "
        f"{TOP_VALUE * theory:.2f}. The difference is "
        f"{'within' if agrees else 'beyond'} three standard errors ({margin:.2f})."
    )


def static_text(outcome: Outcome, bidders: int) -> str:
    """Return what the lab shows at first, as text for pages without a kernel."""
    none, best = (TOP_VALUE * expected_revenue(bidders, r) for r in (0, 0.5))
    return (
        f"{outcome.sentence()}\n{outcome.table()}\n"
        f"Theory for {bidders} bidders with values from 0 to {TOP_VALUE:g} CPM:\n"
        f"{none:.2f} CPM without a floor, {best:.2f} with the best one, "
        f"{TOP_VALUE / 2:g} CPM."
    )


def auction_lab(cache: RedisAdCache) -> None:
    """Show the auction lab; its first auction is also printed, as text.

    Raises `CourseExtraMissing` without ipywidgets or matplotlib, and
    `RedisUnavailable` when the server does not answer.
    """
    lab = AuctionLab(cache)
    outcome = lab.hold()
    lab.show(outcome)
    print(static_text(outcome, BIDDERS))  # noqa: T201
    lab.display(auction_figure(outcome), outcome.description())
