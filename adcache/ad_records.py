"""Campaigns and creatives as JSON: how records look inside Redis.

What a record says is checked when it is made (`adcache.models`). Here it becomes
text and comes back equal. JSON has no NaN, no infinity and no half characters:
such values are refused before anything is written, and so is what JSON would
quietly turn into something else, as it does with the keys of a dict that are no
text.
"""

import json
from typing import Any

import msgspec

from adcache.errors import InvalidValue, UnreadableRecord, shown
from adcache.models import CampaignData, Creative
from adcache.money import from_micros


class Markup(msgspec.Struct, frozen=True):
    """The one field of a creative that is sent; reading it alone is much faster."""

    markup: str


_CAMPAIGN = msgspec.json.Decoder(CampaignData)
_CREATIVE = msgspec.json.Decoder(Creative | None)
_MARKUP = msgspec.json.Decoder(Markup | None)
UNKNOWN = "null"  # stands where a creative would: there is none by this id


def encode_campaign(campaign: CampaignData) -> str:
    """Write a campaign as JSON; raises `InvalidValue` for what JSON cannot hold."""
    if not isinstance(campaign, CampaignData):
        raise InvalidValue(f"campaign must be a CampaignData, got {shown(campaign)}")
    json_text(campaign.targeting, f"targeting of campaign {campaign.campaign_id!r}")
    return _encoded(campaign, f"campaign {campaign.campaign_id!r}")


def decode_campaign(record: str, status: str, spent: str | None) -> CampaignData:
    """Read a campaign; status and spent (micros) are those of now, not of then.

    Both change after the record was written, each in a field of its own.
    Raises `UnreadableRecord` when the record is no campaign.
    """
    campaign: CampaignData = _decoded(_CAMPAIGN, record, "campaign")
    campaign.status = status
    if spent is not None:
        campaign.spent = from_micros(int(spent))
    return campaign


def encode_creative(creative: Creative) -> str:
    """Write a creative as JSON; raises `InvalidValue` for what JSON cannot hold."""
    if not isinstance(creative, Creative):
        raise InvalidValue(f"creative must be a Creative, got {shown(creative)}")
    return _encoded(creative, f"creative {creative.creative_id!r}")


def decode_creative(record: str | None) -> Creative | None:
    """Read a creative; None when there is no record, or it says `UNKNOWN`.

    Raises `UnreadableRecord` when the record is no creative.
    """
    if not record:
        return None
    creative: Creative | None = _decoded(_CREATIVE, record, "creative")
    return creative


def decode_markup(record: str | None) -> str | None:
    """Read only the markup of a creative; None where `decode_creative` says None."""
    found = _decoded(_MARKUP, record, "creative") if record else None
    return found.markup if found else None


def json_text(value: Any, name: str) -> str:
    """Write plain data as JSON text; raises `InvalidValue` that names it."""
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False)
        text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidValue(
            f"{name} must be plain data (text, finite numbers, lists, dicts): {error}"
        ) from None
    return text


def _encoded(thing: CampaignData | Creative, name: str) -> str:
    try:
        return msgspec.json.encode(thing).decode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidValue(f"{name} cannot be written as JSON: {error}") from None


def _decoded(decoder: Any, record: str, name: str) -> Any:
    try:
        return decoder.decode(record)
    except (msgspec.MsgspecError, ValueError) as error:
        raise UnreadableRecord(
            f"{name} in Redis cannot be read ({error}); set it again, got "
            f"{shown(record)}"
        ) from None
