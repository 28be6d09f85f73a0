"""A whole ad decision by the naive components: lesson 16's "before".

It asks them one after the other, as one would on a first day: each is simple,
and each waits for the network on its own.
"""

import json
from typing import Any

from adcache.connection import RedisAdCache
from adcache.course.naive import Naive


class NaiveAdServer:
    """OpenRTB bid request in, bid response out, some 45 trips to Redis between.

    It looks at users, sessions, campaigns, caps and the auction as `adcache`'s
    ad server does, and at less of the request: neither formats nor consent.
    """

    def __init__(self, cache: RedisAdCache) -> None:
        self.naive = Naive(cache)

    def handle(self, raw: bytes) -> str | None:
        """Answer an OpenRTB request; with ten candidates some 45 trips to Redis."""
        request = json.loads(raw)
        imp, user_id = request["imp"][0], request["user"]["buyeruid"]
        answer_key = self.naive.key("request", request["id"])
        if known := self.naive.client.get(answer_key):
            return str(known)
        interests = self._interests(user_id, request["user"]["ext"]["session_id"])
        country = request["device"]["geo"]["country"]
        candidates = [
            row
            for row in self.naive.get_active_campaigns(interests, country)
            if self.naive.has_room(user_id, row["campaign_id"])
        ]
        winner, price = self._auction(request["id"], imp["bidfloor"], candidates)
        if not winner or not self.naive.check_frequency_cap(
            user_id, winner["campaign_id"]
        ):
            return None
        self.naive.spend(winner["campaign_id"], price / 1000)
        answer = json.dumps(self._response(request["id"], imp["id"], winner, price))
        self.naive.client.set(answer_key, answer, ex=10)
        return answer

    def _interests(self, user_id: str, session_id: str) -> list[str]:
        profile = self.naive.get_user_profile(user_id)
        session = self.naive.get_session(session_id)
        found = list(profile.interests) if profile else []
        found += session["data"].get("interests", []) if session else []
        return sorted(set(found))

    def _auction(
        self, auction_id: str, floor: float, rows: list[dict[str, Any]]
    ) -> tuple[dict[str, Any], float]:
        """Let the campaigns bid one after the other; first price."""
        self.naive.create_auction(auction_id, floor)
        for row in rows:
            self.naive.submit_bid(
                auction_id, row["campaign_id"], float(row["bid_price"])
            )
        name = self.naive.get_auction_winner(auction_id)
        winner = next((row for row in rows if row["campaign_id"] == name), {})
        return winner, float(winner.get("bid_price", 0))

    def _response(
        self, request_id: str, imp_id: str, winner: dict[str, Any], price: float
    ) -> dict[str, Any]:
        ad = self.naive.client.hgetall(self.naive.key("creative", winner["creative"]))
        bid = {
            "id": f"{request_id}-1",
            "impid": imp_id,
            "price": price,
            "cid": winner["campaign_id"],
            "crid": winner["creative"],
            "adm": ad.get("markup", ""),
            "w": int(ad.get("w", 0)),
            "h": int(ad.get("h", 0)),
        }
        return {"id": request_id, "seatbid": [{"bid": [bid]}], "cur": "USD"}
