"""Which ads may fill an impression, and at what price: rules without Redis.

An imp of an OpenRTB 2.6 request says what fits it, what it costs at least and
what is blocked; an ad line says whom its campaign wants and what it bids. What
survives both is an `Offer`. Prices are CPM micros of the bidder's currency.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from adcache.ad_line import AdLine, CreativeLine
from adcache.money import MICROS
from adcache.openrtb import BidRequest, Deal, Imp
from adcache.openrtb_imp import Audio, Banner, Native, Video

FIXED_PRICE = 3  # Deal.at: the floor is the price that was agreed
MTYPE = {"banner": 1, "video": 2, "audio": 3, "native": 4}  # OpenRTB's Bid.mtype


class Visitor(NamedTuple):
    """Who would see the ad, as far as the law lets us know.

    `user_id` is None without a basis to profile: then nothing else is known.
    `interests` come strongest first, `location` is a country (ISO 3166-1).
    """

    user_id: str | None = None
    interests: tuple[str, ...] = ()
    location: str | None = None
    age: int | None = None
    segment: str | None = None
    device_type: int | None = None


class Offer(NamedTuple):
    """A campaign's ad for one imp; `price` is what is bid (CPM micros)."""

    price: int
    campaign: AdLine
    creative: CreativeLine
    deal_id: str | None = None


class Market(NamedTuple):
    """What holds for a whole request: money, seats, and what is blocked."""

    rates: Mapping[str, int]  # micros of the bidder's currency for one unit
    seat: str
    blocked_categories: frozenset[str]
    allowed_categories: frozenset[str]
    blocked_domains: frozenset[str]

    @property
    def limits_categories(self) -> bool:
        """Whether the request says anything about categories."""
        return bool(self.blocked_categories or self.allowed_categories)

    def floor(self, micros: int, currency: str) -> int | None:
        """Turn a floor into the bidder's currency, rounded up; None: no rate."""
        rate = self.rates.get(currency)
        return None if rate is None else -(-micros * rate // MICROS)


def market_of(request: BidRequest, seat: str, rates: Mapping[str, int]) -> Market:
    """Read the rules of a request that hold for all of its imps."""
    return Market(
        rates,
        seat,
        frozenset(request.bcat),
        frozenset(request.acat),
        frozenset(map(str.lower, request.badv)),
    )


def seat_problem(request: BidRequest, seat: str) -> str | None:
    """Say why this seat may not bid at all: `wseat` and `bseat` of the request."""
    if request.wseat and seat not in request.wseat:
        return "the exchange did not invite this seat"
    return "the exchange blocks this seat" if seat in request.bseat else None


class Rules(NamedTuple):
    """What is judged by, for all imps of a request; `campaigns` as by `by_bid`."""

    market: Market
    campaigns: Sequence[AdLine]
    visitor: Visitor
    now_ms: int


def offers(imp: Imp, rules: Rules) -> Iterator[Offer]:
    """Yield the offers for an imp, the best first, as they are asked for.

    The first offer that may be made is usually made, so those behind it need not
    be judged; deals with prices of their own change the order, so with deals all
    are.
    """
    found = _offers(imp, rules)
    if imp.pmp is None:
        return found
    return iter(sorted(found, key=lambda o: (-o.price, o.campaign.campaign_id)))


def _offers(imp: Imp, rules: Rules) -> Iterator[Offer]:
    market, campaigns, visitor, now_ms = rules
    for campaign in campaigns:
        judged = _offer(imp, market, campaign, visitor, now_ms)
        if type(judged) is Offer:
            yield judged


def refusals(imp: Imp, rules: Rules) -> Counter[str]:
    """Count how often each rule kept a campaign out of an imp: why nothing is bid."""
    market, campaigns, visitor, now_ms = rules
    judged = (_offer(imp, market, each, visitor, now_ms) for each in campaigns)
    return Counter(reason for reason in judged if isinstance(reason, str))


def by_bid(campaigns: Iterable[AdLine]) -> list[AdLine]:
    """Sort campaigns by bid, and equal bids by id: every server decides alike."""
    return sorted(campaigns, key=lambda each: (-each.bid, each.campaign_id))


def _offer(
    imp: Imp, market: Market, campaign: AdLine, visitor: Visitor, now_ms: int
) -> Offer | str:
    """Judge one campaign for one imp: its offer, or the rule that speaks against."""
    problem = _campaign_problem(campaign, market, visitor, now_ms)
    if problem:
        return problem
    creative = _fitting(imp, campaign.creatives)
    if creative is None:
        return "no creative fits"
    if imp.pmp is not None:
        offer = _deal_offer(imp, market, campaign, creative)
        if offer is not None:
            return offer
        if imp.pmp.private_auction == 1:
            return "private auction without a deal"
    floor = market.floor(imp.floor_micros, imp.bidfloorcur)
    if floor is None:
        return "no rate for the floor's currency"
    if campaign.bid < floor:
        return "under the floor"
    return Offer(campaign.bid, campaign, creative)


def _deal_offer(
    imp: Imp, market: Market, campaign: AdLine, creative: CreativeLine
) -> Offer | None:
    """The best offer under one of the imp's deals that this campaign may use."""
    best: Offer | None = None
    for deal in imp.pmp.deals if imp.pmp and campaign.deals else ():
        if deal.id not in campaign.deals or not _invited(deal, market, campaign):
            continue
        floor = market.floor(deal.floor_micros, deal.bidfloorcur)
        if floor is None or campaign.bid < floor:
            continue
        price = floor if deal.at == FIXED_PRICE else campaign.bid
        if best is None or price > best.price:
            best = Offer(price, campaign, creative, deal.id)
    return best


def _invited(deal: Deal, market: Market, campaign: AdLine) -> bool:
    if deal.wseat and market.seat not in deal.wseat:
        return False
    if not deal.wadomain:
        return True
    return bool(campaign.adomain) and set(campaign.adomain) <= set(deal.wadomain)


def _campaign_problem(
    campaign: AdLine, market: Market, visitor: Visitor, now_ms: int
) -> str | None:
    """The first rule that keeps this campaign from this visitor or this page."""
    if not campaign.start_ms <= now_ms <= campaign.end_ms:
        return "outside its flight"
    for category in campaign.cat if market.limits_categories else ():
        if _within(category, market.blocked_categories):
            return "category blocked"
        listed = market.allowed_categories
        if listed and not _within(category, listed):
            return "category not allowed"
    for domain in campaign.adomain if market.blocked_domains else ():
        if not market.blocked_domains.isdisjoint(_parents(domain)):
            return "advertiser blocked"
    if campaign.caps and visitor.user_id is None:
        return "capped, and nobody may be counted"
    return _audience_problem(campaign, visitor)


def _audience_problem(campaign: AdLine, visitor: Visitor) -> str | None:
    ages, segments, devices = campaign.age_range, campaign.segments, campaign.devices
    if ages and (visitor.age is None or not ages[0] <= visitor.age <= ages[1]):
        return "age outside the target"
    if segments and visitor.segment not in segments:
        return "segment outside the target"
    if devices and visitor.device_type not in devices:
        return "device outside the target"
    return None


def _within(category: str, listed: frozenset[str]) -> bool:
    """IAB25 covers IAB25-3 as well."""
    return category in listed or category.partition("-")[0] in listed


@lru_cache(maxsize=10_000)
def _parents(domain: str) -> tuple[str, ...]:
    """A blocked domain covers its subdomains: shop.tea.example and tea.example."""
    parts = domain.lower().split(".")
    return tuple(".".join(parts[n:]) for n in range(len(parts)))


def _fitting(imp: Imp, creatives: Iterable[CreativeLine]) -> CreativeLine | None:
    """The first of a campaign's ads that this imp can show."""
    for creative in creatives:
        medium = getattr(imp, creative.format)
        if medium is None or not _fits(medium, creative):
            continue
        if not any(code in medium.battr for code in creative.attr):
            return creative
    return None


def _fits(medium: Banner | Video | Audio | Native, creative: CreativeLine) -> bool:
    if isinstance(medium, Native):
        return True  # native assets are resized to the page by the exchange
    if isinstance(medium, Banner):
        return _fits_banner(medium, creative)
    if not any(kind in medium.mimes for kind in creative.mimes):
        return False
    if medium.rqddurs:
        return creative.duration in medium.rqddurs
    longest = medium.maxduration
    return medium.minduration <= creative.duration and (
        longest is None or creative.duration <= longest
    )


def _fits_banner(banner: Banner, creative: CreativeLine) -> bool:
    stated = banner.mimes and creative.mimes
    if stated and not any(kind in banner.mimes for kind in creative.mimes):
        return False
    w, h = creative.w, creative.h
    if not banner.format:
        return (banner.w or w, banner.h or h) == (w, h)
    for size in banner.format:
        if size.wratio and size.hratio:
            if w >= (size.wmin or 0) and w * size.hratio == h * size.wratio:
                return True
        elif (size.w, size.h) == (w, h):
            return True
    return False
