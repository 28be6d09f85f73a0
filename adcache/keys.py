"""Every key that adcache writes, in one table: what it is and how long it lives.

A key is ``namespace:name:{tag}:rest``. The part in braces is Redis Cluster's
hash tag: keys with one tag live on one node, so one script may touch them all.
Ids are percent-encoded before they enter a key. No two ids share a key (the
pair ``a:b`` + ``c`` is not ``a`` + ``b:c``) and no id can bring its own braces.
"""

import difflib
import re
import string
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote, unquote

from adcache.errors import InvalidValue, UnknownKey, shown

KEPT = 8192  # keys that are not built anew when they are asked for again
_PLAIN = re.compile(r"[A-Za-z0-9_.~-]+")  # what percent-encoding leaves alone


def encode_id(value: str, name: str = "id") -> str:
    """Make `value` safe inside a key; different values stay different.

    Raises `InvalidValue` for an empty id and for anything that is not text.
    """
    if isinstance(value, str):
        if _PLAIN.fullmatch(value):
            return value
        if value:
            return quote(value, safe="", errors="surrogatepass")
        raise InvalidValue(f"{name} must not be empty")
    raise InvalidValue(f"{name} must be text, got {shown(value)}; str() makes it text")


def decode_id(encoded: str) -> str:
    """Give back the id that `encode_id` was given."""
    return unquote(encoded, errors="surrogatepass") if "%" in encoded else encoded


@dataclass(frozen=True)
class Key:
    """One row of the table.

    `template` is a format string; doubled braces are the literal ones of the
    hash tag. `also` names ids that callers may pass but that do not change the
    key. A `durable` key is not cache: losing it loses money or counts.
    """

    template: str
    redis_type: str
    lifetime: str
    also: tuple[str, ...] = ()
    durable: bool = False


KEYS: dict[str, Key] = {
    # A bid request and what became of it (lesson 06).
    "bid_request": Key(
        "bid:request:{{{exchange}:{request_id}}}", "hash", "seconds: duplicates"
    ),
    "bid_context": Key(
        "bid:context:{{{exchange}:{request_id}}}", "hash", "bid.exp + notices"
    ),
    "bid_answer": Key(
        "bid:answer:{{{exchange}:{request_id}}}", "string", "seconds: duplicates"
    ),
    "real_time_bid": Key("rtb:{{{auction_id}}}", "hash", "ttl + keep, never moved"),
    # Frequency caps: one hash holds all windows of a user (lesson 07).
    "frequency_cap": Key(
        "freq:cap:{{{user_id}}}", "hash", "longest window (or two)", ("campaign_id",)
    ),
    "frequency_log": Key(
        "freq:log:{{{user_id}}}:{campaign_id}", "zset", "longest window"
    ),
    "frequency_impression": Key(
        "freq:imp:{{{user_id}}}:{campaign_id}:{impression_id}",
        "string",
        "longest window of the call",
    ),
    "frequency_lease": Key(
        "freq:lease:{{{user_id}}}:{lease_id}", "hash", "lease + notice horizon"
    ),
    # Users (lessons 03, 08 and 15).
    "user_profile": Key("user:profile:{{{user_id}}}", "string", "ttl"),
    "user_activities": Key("user:activities:{{{user_id}}}", "zset", "ten minutes"),
    "user_segments_of": Key("user:segments:{{{user_id}}}", "zset", "2 x segment ttl"),
    "user_sessions": Key("user:sessions:{{{user_id}}}", "zset", "longest session"),
    "user_suppressed": Key("user:suppressed:{{{user_id}}}", "string", "ttl"),
    "user_session": Key("session:{{{session_id}}}", "hash", "idle and absolute ttl"),
    "session_interests": Key("session:interests:{{{session_id}}}", "hash", "ttl"),
    "session_events": Key("session:events:{{{session_id}}}", "list", "ttl"),
    "user_segments": Key("segments:{{{segment_id}}}", "zset", "segment ttl"),
    # Campaigns, what they may spend, who finds them (lessons 05 and 10).
    "campaign": Key("campaign:{{{campaign_id}}}", "hash", "ttl"),
    "campaign_index": Key("campaign:index:{{{campaign_id}}}", "hash", "index ttl"),
    "campaign_spend": Key(
        "spend:{{{campaign_id}}}", "hash", "flight's end + 30 days", durable=True
    ),
    "budget_leases": Key(
        "reserved:{{{campaign_id}}}", "zset", "flight's end + notices", durable=True
    ),
    "budget_ledger": Key(
        "ledger:{{{campaign_id}}}:{reservation_id}",
        "string",
        "lease + notice horizon",
        durable=True,
    ),
    "targeting_index": Key("targeting:{{{interest}:{location}}}", "zset", "index ttl"),
    "targeting_ads": Key(
        "targeting:ads:{{{interest}:{location}}}", "hash", "index ttl"
    ),
    "targeting_due": Key(
        "targeting:due:{{{interest}:{location}}}", "zset", "index ttl"
    ),
    "targeting_ready": Key(
        "targeting:ready:{{{interest}:{location}}}", "string", "index ttl"
    ),
    "ad_creative": Key("creative:{{{creative_id}}}", "string", "ttl"),
    # Numbers of a campaign (lesson 09).
    "performance_stats": Key(
        "stats:{{{campaign_id}}}:{date}", "hash", "retention, fixed at first write"
    ),
    "stats_reach": Key(
        "stats:reach:{{{campaign_id}}}:{date}", "string", "retention, as the day's"
    ),
    "stats_minutes": Key(
        "stats:minutes:{{{campaign_id}}}:{hour}", "hash", "hours, for live charts"
    ),
    "stats_event": Key(
        "stats:event:{{{campaign_id}}}:{event_id}", "string", "notice horizon"
    ),
    # Records of another system, kept close (lessons 04 and 11).
    "record": Key("record:{{{kind}:{record_id}}}", "string", "ttl with jitter"),
    "record_lease": Key("record:lease:{{{kind}:{record_id}}}", "hash", "lease"),
    "loaded": Key("loaded:{{{kind}:{record_id}}}", "string", "ttl + stale"),
    "loaded_lease": Key("loaded:lease:{{{kind}:{record_id}}}", "hash", "ten leases"),
    # Write-back: what a kind still has to store, and its copies, in one slot.
    "write_record": Key(
        "write:record:{{{kind}}}:{record_id}", "string", "ttl with jitter"
    ),
    "write_lease": Key("write:lease:{{{kind}}}:{record_id}", "hash", "lease"),
    "write_queue": Key("write:queue:{{{kind}}}", "hash", "until stored", durable=True),
    "write_order": Key("write:order:{{{kind}}}", "zset", "until stored", durable=True),
    "write_due": Key("write:due:{{{kind}}}", "zset", "until stored", durable=True),
    "write_versions": Key("write:versions:{{{kind}}}", "string", "none", durable=True),
}


@lru_cache(maxsize=256)
def _names(template: str) -> frozenset[str]:
    """Names of the ids in a template."""
    parts = string.Formatter().parse(template)
    return frozenset(name for _, name, _, _ in parts if name)


def _recipe(prefix: str, template: str) -> tuple[tuple[str, ...], str]:
    """Turn "a:{{{b}}}:{c}" into ("b", "c") and "prefix:a:{%s}:%s"."""
    parts = list(string.Formatter().parse(template))
    names = tuple(name for _, name, _, _ in parts if name)
    text = "".join(
        head.replace("%", "%%") + ("%s" if name else "") for head, name, _, _ in parts
    )
    return names, prefix.replace("%", "%%") + text


class KeySpace:
    """Builds keys below one namespace; namespaces never see each other's keys.

    >>> KeySpace("adcache").key("real_time_bid", auction_id="a:1")
    'adcache:rtb:{a%3A1}'
    """

    def __init__(self, namespace: str) -> None:
        self._prefix = encode_id(namespace, "namespace") + ":"
        self.patterns = {name: key.template for name, key in KEYS.items()}
        self._kept = lru_cache(maxsize=KEPT)(self._build)
        # For each template of the table its ids, and the key with %s for each.
        self._recipes = {
            key.template: _recipe(self._prefix, key.template) for key in KEYS.values()
        }

    def key(self, pattern: str, **ids: str) -> str:
        """Build the key of `pattern`, a name in the table or a template of yours.

        Raises `UnknownKey` when ids are missing or do not belong to it, and
        `InvalidValue` for an id that is empty or not text.
        """
        try:
            return self._kept(pattern, **ids)
        except TypeError:  # a list cannot be looked up, and is no id either
            return self._build(pattern, **ids)

    def maker(self, pattern: str, *names: str) -> Callable[..., str]:
        """Return what builds keys of a row of the table from ids in this order.

        For ids that are new each time, as those of bids are: nothing is kept.
        """
        ordered, recipe = self._recipes[self.patterns[pattern]]
        if sorted(names) != sorted(ordered):
            raise UnknownKey(f"key {pattern!r} needs the ids {', '.join(ordered)}")
        places = [names.index(name) for name in ordered]

        def make(*ids: str) -> str:
            return recipe % tuple([encode_id(ids[n], names[n]) for n in places])

        return make

    def _build(self, pattern: str, **ids: str) -> str:
        template = self.patterns.get(pattern, pattern)
        names, recipe = self._recipes.get(template, ((), ""))
        if names and len(names) == len(ids):
            try:
                return recipe % tuple([encode_id(ids[name], name) for name in names])
            except KeyError:
                pass  # another id than it needs: said below
        encoded = {name: encode_id(value, name) for name, value in ids.items()}
        row = KEYS.get(pattern)
        try:
            key = template.format_map(encoded)
        except KeyError as missing:
            raise UnknownKey(f"key {pattern!r} needs the id {missing}") from None
        except (ValueError, IndexError, AttributeError):
            raise UnknownKey(f"{pattern!r} is not a key template") from None
        if len(ids) > 1 or row is None:
            self._refuse_strangers(pattern, template, set(ids))
        return self._prefix + key

    def _refuse_strangers(self, pattern: str, template: str, given: set[str]) -> None:
        """An id that changes nothing would put two users into one key."""
        row = KEYS.get(pattern)
        strangers = given - _names(template) - set(row.also if row else ())
        if strangers:
            close = difflib.get_close_matches(pattern, self.patterns, n=1)
            hint = f"; did you mean {close[0]!r}?" if close and not row else ""
            raise UnknownKey(f"key {pattern!r} has no id {min(strangers)!r}{hint}")

    def strip(self, key: str) -> str:
        """Remove the namespace, which is never shown, from a full key."""
        return key.removeprefix(self._prefix)

    @property
    def match(self) -> str:
        """Glob for SCAN that finds this namespace's keys and no others."""
        return self._prefix + "*"
