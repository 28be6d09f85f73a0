"""One name for a bid, so that a notice about it finds everything by itself.

A win or billing notice arrives minutes later, often at another server. The bid
id says which campaign's money, whose lease and which imp it is about; the user
is not in it, because ids travel through exchanges and logs.
"""

from typing import NamedTuple

from adcache.errors import InvalidValue, shown
from adcache.keys import decode_id, encode_id


class BidId(NamedTuple):
    """What OpenRTB's ``bid.id`` stands for.

    The same request gives the same ids again: a retry asks for the same lease
    and the same reservation, and gets them once.

    >>> str(BidId("tea time", "exchange-1", "req~7", "1"))
    'tea%20time~exchange-1~req%7E7~1'
    >>> BidId.parse('tea%20time~exchange-1~req%7E7~1').campaign_id
    'tea time'
    """

    campaign_id: str
    exchange: str
    request_id: str
    imp_id: str

    @classmethod
    def parse(cls, bid_id: str) -> "BidId":
        """Read a bid id; raises `InvalidValue` for what is none of ours."""
        parts = bid_id.split("~") if isinstance(bid_id, str) else []
        if len(parts) != 4 or not all(parts):
            raise InvalidValue(
                f"bid_id must be the id of a bid of this ad server, got {shown(bid_id)}"
            )
        try:
            return cls(*(decode_id(part) for part in parts))
        except UnicodeDecodeError:
            raise InvalidValue(
                f"bid_id must be the id of a bid of this ad server, got {shown(bid_id)}"
            ) from None

    @staticmethod
    def names(bid_id: str) -> tuple[str, str]:
        """Take reservation id and lease id out of an id that this server made."""
        reservation_id = bid_id.partition("~")[2]
        return reservation_id, reservation_id.rpartition("~")[0]

    @property
    def reservation_id(self) -> str:
        """Name of the money that is held for this bid, within its campaign."""
        return f"{self.lease_id}~{_part(self.imp_id)}"

    @property
    def lease_id(self) -> str:
        """Name of the place under the user's caps: one for all imps of a request."""
        return f"{_part(self.exchange)}~{_part(self.request_id)}"

    def __str__(self) -> str:
        return f"{_part(self.campaign_id)}~{self.reservation_id}"


def _part(value: str) -> str:
    """Encode one part such that it has no tilde: that one separates the parts."""
    encoded = encode_id(value)
    return encoded.replace("~", "%7E") if "~" in encoded else encoded
