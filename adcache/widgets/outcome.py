"""What an auction came to: who bid what, who won, and what it pays."""

import msgspec

from adcache.bid_results import FIRST_PRICE


class Bid(msgspec.Struct, frozen=True):
    """One bid and what became of it: ``wins``, ``outbid`` or ``below the floor``."""

    campaign: str
    price: float
    verdict: str


class Outcome(msgspec.Struct, frozen=True):
    """A closed auction: `bids` in the order of their price, and who pays what.

    `winner`, `winning_bid` and `clearing_price` (CPM) are None when nobody won.
    """

    floor: float
    at: int
    bids: tuple[Bid, ...]
    winner: str | None = None
    winning_bid: float | None = None
    clearing_price: float | None = None

    def sentence(self) -> str:
        """Say in words who won, what it pays, and why that much."""
        if self.winner is None or self.clearing_price is None:
            return f"Nobody wins: no bid reaches the floor of {self.floor:.2f} CPM."
        return (
            f"{self.winner} wins with {self.winning_bid:.2f} CPM. "
            f"Clearing price: {self.clearing_price:.2f} CPM, {self._reason()}."
        )

    def _reason(self) -> str:
        if self.at == FIRST_PRICE:
            return "its own bid (first price)"
        for bid in self.bids:
            if bid.campaign != self.winner and bid.price == self.clearing_price:
                return f"the second-best bid, of {bid.campaign}"
        return "the floor, as no other bid reaches it"

    def table(self) -> str:
        """Return the bids as a table of plain text."""
        wide = max((len(bid.campaign) for bid in self.bids), default=8)
        return "\n".join(
            f"{bid.campaign:<{wide}}  {bid.price:6.2f} CPM  {bid.verdict}"
            for bid in self.bids
        )

    def description(self) -> str:
        """Say in words what the picture of this auction shows."""
        bids = ", ".join(
            f"{bid.campaign} {bid.price:.2f} {bid.verdict}" for bid in self.bids
        )
        return f"Bids in CPM, with a floor of {self.floor:.2f}: {bids}."
