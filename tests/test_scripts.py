"""What can be said of a Lua script without running it, and how it is called."""

import re
from importlib import resources

import pytest

from adcache import connect
from adcache.lua import Script, sources
from adcache.wire import Wire

SCRIPTS = sources()


@pytest.fixture
def wire() -> Wire:
    """Connection to an embedded fake."""
    return connect("fakeredis://").wire


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_header_is_a_contract(name):
    """It starts with its file's name and says what it returns and why it exists."""
    source = SCRIPTS[name]
    header = source[: source.index("\nlocal ")]

    assert source.startswith(f"-- {name}.lua: ")
    assert "-- KEYS[1] " in header
    assert "\n-- returns " in header
    assert "\n-- Why a script: " in header


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_slot_used_stands_in_the_header(name, wire):
    """A script reads no KEYS or ARGV number that its header does not name."""
    source, script = SCRIPTS[name], Script(name, SCRIPTS[name], wire)
    body = "\n".join(
        line for line in source.splitlines() if not line.lstrip().startswith("--")
    )
    for kind, slots, more in (
        ("KEYS", script.keys, script.more_keys),
        ("ARGV", script.args, script.more_args),
    ):
        numbers = {int(n) for n in re.findall(rf"{kind}\[(\d+)\]", body)}
        first_more = {len(slots) + 1} & numbers if more else set()
        by_loop = re.search(rf"{kind}\[(?!\d+\])|#{kind}\b", body)

        assert numbers - first_more <= set(range(1, len(slots) + 1)), (
            f"{kind} of {name}"
        )
        assert bool(more) == bool(first_more or by_loop)


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_slot_of_the_header_is_used(name, wire):
    """A header asks for nothing that its script, or a part of it, never reads."""
    body, script = _code(SCRIPTS[name]), Script(name, SCRIPTS[name], wire)
    for kind, slots in (("KEYS", script.keys), ("ARGV", script.args)):
        if re.search(rf"{kind}\b(?!\[\d)", body):
            continue  # read by loops
        used = {int(number) for number in re.findall(rf"{kind}\[(\d+)\]", body)}

        assert set(range(1, len(slots) + 1)) <= used, f"{kind} of {name}"


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_part_included_is_used(name):
    """A part defines something that is named outside of it, or it may answer itself."""
    folder = resources.files("adcache") / "scripts"
    own = (folder / f"{name}.lua").read_text("utf-8")
    parts = re.findall(r"^-- include (\S+)$", own, re.MULTILINE)
    bodies = {p: _code((folder / "parts" / p).read_text("utf-8")) for p in parts}
    for part, body in bodies.items():
        defined = re.findall(r"^local (?:function )?(\w+)", body, re.MULTILINE)
        others = [_code(own), *(bodies[other] for other in parts if other != part)]
        words = set(re.findall(r"\w+", "\n".join(others)))
        rest = re.sub(r"^local function .* end$", "", body, flags=re.MULTILINE)
        rest = re.sub(r"^local function .*?^end$", "", rest, flags=re.M | re.S)
        answers = "return" in rest

        assert words & set(defined) or answers, f"{name}.lua does not need {part}"


def test_every_part_is_included():
    """No part of scripts is left over."""
    folder = resources.files("adcache") / "scripts"
    written = "\n".join(
        file.read_text("utf-8") for file in folder.iterdir() if file.is_file()
    )
    parts = {file.name for file in (folder / "parts").iterdir()}

    assert parts == set(re.findall(r"^-- include (\S+)$", written, re.MULTILINE))


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_leaks_no_global(name):
    """Every function and first assignment is local (a global poisons fakeredis)."""
    body = re.sub(r"--.*", "", SCRIPTS[name])
    functions = re.findall(r"^\s*(\w*)\s*function\s+\w+", body, re.MULTILINE)
    assignment = r"^\s*(?!local\b)(\w+)\s*(?:,[\w\s,]+)?=[^=]"
    assigned = set(re.findall(assignment, body, re.MULTILINE))
    declared = set()
    for names in re.findall(r"local\s+([\w\s,]+?)(?:=|$)", body, re.MULTILINE):
        declared |= {name.strip() for name in names.split(",")}
    fields = set(re.findall(r"[{,]\s*(\w+)\s*=", body)) | set(
        re.findall(r"^\s*(\w+) = [^\n]*,", body, re.MULTILINE)
    )

    assert set(functions) <= {"local"}
    assert assigned - declared - fields == set()


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_stays_away_from_dangerous_commands(name):
    """No KEYS, FLUSH*, RANDOMKEY or SELECT inside a script."""
    commands = re.findall(r"redis\.p?call\('(\w+)'", SCRIPTS[name])

    assert commands != []
    assert set() == set(commands) & {
        "KEYS",
        "FLUSHALL",
        "FLUSHDB",
        "RANDOMKEY",
        "SELECT",
    }


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_fits_on_a_page(name):
    """Short enough to read: 50 lines of code in its file, 240 with shared parts."""
    own = (resources.files("adcache") / "scripts" / f"{name}.lua").read_text("utf-8")

    assert _code_lines(own) <= 50
    assert _code_lines(SCRIPTS[name]) <= 240


def _code(source: str) -> str:
    """A script without its comments."""
    return re.sub(r"--.*", "", source)


def _code_lines(source: str) -> int:
    lines = [line.strip() for line in source.splitlines()]
    return len([line for line in lines if line and not line.startswith("--")])


def test_slots_are_filled_by_name(wire):
    """Values go where their names stand in the header, in whatever order given."""
    header = "-- KEYS[1] key  k\n-- ARGV[1] a  a\n-- ARGV[2+] more  m\n"
    body = "return {KEYS[1], ARGV[1], ARGV[2], ARGV[3]}"
    script = Script("demo", header + body, wire)

    assert ["k", "1", "2", "3"] == script(more=[2, 3], a=1, key="k")


def test_slots_in_their_order_make_the_same_call(wire):
    """For busy callers, who know the header by heart."""
    header = "-- KEYS[1] key  k\n-- ARGV[1] a  a\n-- ARGV[2+] more  m\n"
    script = Script("demo", header + "return {KEYS[1], ARGV[1], ARGV[2]}", wire)
    question = script.in_order(list, ["k"], [1, 2], safe=True)

    assert script.question(list, key="k", a=1, more=[2], safe=True) == question
    assert ["k", "1", "2"] == wire.ask(question)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"key": "k"}, r"demo.lua: missing \['a'\], unknown \[\]"),
        ({"key": "k", "a": 1, "b": 2}, r"demo.lua: missing \[\], unknown \['b'\]"),
        ({"key": "k", "b": 2}, r"demo.lua: missing \['a'\], unknown \['b'\]"),
    ],
)
def test_a_wrong_slot_is_named(wire, values, message):
    """A missing or misspelt slot is a TypeError that names it."""
    script = Script("demo", "-- KEYS[1] key  k\n-- ARGV[1] a  a\nreturn 1", wire)

    with pytest.raises(TypeError, match=message):
        script(**values)


@pytest.mark.parametrize(
    "header", ["-- KEYS[2] b  x", "-- KEYS[1+] a  x\n-- KEYS[2] b  x"]
)
def test_a_header_out_of_order_is_refused(wire, header):
    """Slot numbers count up from 1, and an open-ended slot is the last."""
    with pytest.raises(ValueError, match="out of order"):
        Script("demo", header, wire)


def test_a_script_unknown_to_the_server_is_sent_along(cache):
    """After SCRIPT FLUSH the next call works, on every backend."""
    script = Script("demo", "-- KEYS[1] key  k\nreturn 42", cache.wire)
    key = cache.get_key("campaign", campaign_id="c")

    assert 42 == script(key=key)
    cache.redis_client.script_flush()
    assert 42 == script(key=key)
