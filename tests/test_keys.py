"""No two ids share a key, and no id can inject a hash tag."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.crc import key_slot

from adcache import CacheConfig, InvalidValue, UnknownKey
from adcache.keys import KEYS, KeySpace, decode_id, encode_id

HOSTILE = [
    "a:b",
    "{a}",
    "a b",
    "a\nb",
    "a\0b",
    "user*",
    "%41",
    "ключ",
    "사용자",
    "🦊",
    "\ud800",
    "a" * 3000,
]


@pytest.mark.parametrize("value", HOSTILE)
def test_a_hostile_id_comes_back_unchanged(value):
    """Encoding is undone exactly, whatever the id holds."""
    assert value == decode_id(encode_id(value))


@given(st.text(st.characters(codec=None), min_size=1))
def test_an_encoded_id_holds_nothing_that_means_something_to_redis(value):
    """Only letters, digits and -_.~% are left, and decoding gives the id back."""
    encoded = encode_id(value)

    assert encoded.isascii()
    assert set(encoded) & set(":{}*?[]\\ \n") == set()
    assert value == decode_id(encoded)


@given(*[st.text(min_size=1)] * 4)
def test_two_pairs_of_ids_share_no_key(user, campaign, other_user, other_campaign):
    """`a:b` + `c` is not `a` + `b:c`."""
    keys = KeySpace("t")
    ids = {"user_id": user, "campaign_id": campaign}
    others = {"user_id": other_user, "campaign_id": other_campaign}

    same = keys.key("frequency_log", **ids) == keys.key("frequency_log", **others)

    assert same == (ids == others)


@given(st.text(min_size=1), st.text(min_size=1))
def test_keys_of_one_user_live_in_one_slot(user, campaign):
    """The hash tag is the user's, so one script may touch all its cap keys."""
    keys = KeySpace("t")
    ids = {"user_id": user, "campaign_id": campaign}
    log = keys.key("frequency_log", **ids)
    record = keys.key("frequency_impression", impression_id="i", **ids)
    hash_key = keys.key("frequency_cap", user_id=user)

    assert 1 == len({key_slot(key.encode()) for key in (log, record, hash_key)})


@pytest.mark.parametrize("value", ["", None, 7, b"x", 1.5, ["a"]])
def test_an_id_must_be_text(value):
    """An empty or non-text id is a ValueError that names the id and shows the value."""
    with pytest.raises(InvalidValue, match="session_id must"):
        KeySpace("t").key("user_session", session_id=value)


def test_every_pattern_of_the_table_builds_a_key():
    """Each row can be used by its name with its ids."""
    keys = KeySpace("t")

    for name, row in KEYS.items():
        fields = string.Formatter().parse(row.template)
        wanted = {name: "x" for _, name, _, _ in fields if name}

        assert keys.key(name, **wanted).startswith("t:")
        assert 1 == keys.key(name, **wanted).count("{")


def test_a_pattern_of_ones_own_is_taken():
    """A template that is not in the table is formatted with encoded ids."""
    assert "t:my:{a%3Ab}:x" == KeySpace("t").key("my:{{{a}}}:{b}", a="a:b", b="x")


def test_the_cap_key_accepts_the_campaign_it_does_not_need():
    """All windows of a user share one hash, so campaign_id changes nothing."""
    keys = KeySpace("t")

    assert keys.key("frequency_cap", user_id="u") == keys.key(
        "frequency_cap", user_id="u", campaign_id="c"
    )


@pytest.mark.parametrize(
    ("pattern", "ids", "message"),
    [
        ("user_session", {}, "needs the id 'session_id'"),
        ("user_profil", {"user_id": "u"}, "did you mean 'user_profile'"),
        ("user_profile", {"user_id": "u", "campaign_id": "c"}, "no id 'campaign_id'"),
        ("x:{0}", {"a": "u"}, "not a key template"),
        ("x:{a", {"a": "u"}, "not a key template"),
    ],
)
def test_a_wrong_name_or_id_is_told(pattern, ids, message):
    """A typing mistake must not put all users into one key."""
    with pytest.raises(UnknownKey, match=message) as error:
        KeySpace("t").key(pattern, **ids)

    assert isinstance(error.value, KeyError)


@pytest.mark.parametrize("name", KEYS)
def test_a_maker_builds_the_same_keys(name):
    """For each row of the table, from ids in the order of one's own."""
    names = [each for _, each, _, _ in string.Formatter().parse(KEYS[name].template)]
    names = sorted({each for each in names if each}, reverse=True)
    space, ids = KeySpace("a"), [f"{n}: {{}}" for n in range(len(names))]

    assert space.key(name, **dict(zip(names, ids, strict=True))) == space.maker(
        name, *names
    )(*ids)


def test_a_maker_refuses_as_a_key_does():
    """Other ids than the row's, and ids that are none."""
    with pytest.raises(UnknownKey, match="exchange, request_id"):
        KeySpace("a").maker("bid_answer", "exchange")
    with pytest.raises(InvalidValue, match="request_id must not be empty"):
        KeySpace("a").maker("bid_answer", "exchange", "request_id")("x", "")


def test_the_namespace_is_never_shown():
    """Neither a config's repr nor a stripped key tells a learner's namespace."""
    keys = KeySpace("class:secret")

    assert "secret" not in repr(CacheConfig(namespace="class:secret"))
    assert "rtb:{a}" == keys.strip(keys.key("real_time_bid", auction_id="a"))


def test_namespaces_do_not_overlap():
    """A namespace is one encoded word: the scan pattern of `a` misses `a:b`."""
    assert not KeySpace("a:b").key("campaign", campaign_id="c").startswith("a:")
