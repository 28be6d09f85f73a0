"""Whoever asks `help()` learns units, errors, and where a formula comes from."""

import ast
import importlib
import inspect
import pkgutil
import re
import textwrap
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import FunctionType
from typing import Any, get_args

import msgspec
import pytest

import adcache
from adcache.clock import Seconds
from adcache.connection import RedisAdCache
from adcache.errors import AdCacheError
from adcache.lua import sources
from adcache.money import Money
from tools import check_source

PACKAGE = Path(adcache.__file__).parent
# What a docstring must say of a parameter or field, by its type or its name.
UNIT_OF_TYPE = (
    (Seconds, r"second|minute|hour|\bday"),
    (Money, r"CPM|currency unit|micro"),
)
UNIT_OF_NAME = (
    (r"_ms$", r"\bms\b|millisecond"),
    (r"_us$", r"microsecond"),
    (r"_micros$", r"micro"),
    (r"^(bid|bid_price|budget|cost|floor|overrun|price)$", r"CPM|currency unit|micro"),
)
# Functions with a formula: each names where it comes from.
FORMULAS = [
    "bidding.RealTimeBiddingCache",  # first and second price
    "budget_days.pacing_curve",  # even and front-loaded
    "budget_days.refill",  # token bucket
    "money.impression_cost",
    "refresh.early_refresh",
    "refresh.early_refresh_probability",
    "stats.PerformanceStatsCache.reach",
    "stats_numbers.ratios",
    "targeting.decayed",
]


def text_of(thing: Any) -> str:
    """Docstring that somebody wrote; '' for one that Python made up."""
    written = thing.__doc__ or ""
    name = getattr(thing, "__name__", "")
    return "" if written.startswith(f"{name}(") else written


def functions_of(cls: type) -> Iterator[tuple[str, FunctionType]]:
    """Public methods and properties that a class of ours defines, and __init__."""
    for name, member in vars(cls).items():
        function = member.fget if isinstance(member, property) else member
        function = inspect.unwrap(getattr(function, "__func__", function))
        ours = str(getattr(function, "__module__", "")).startswith("adcache")
        if not name.startswith("_") and isinstance(function, FunctionType) and ours:
            yield name, function
    if isinstance(vars(cls).get("__init__"), FunctionType):
        yield "__init__", vars(cls)["__init__"]


def public() -> Iterator[tuple[str, type | None, FunctionType]]:
    """Every public function, and every public method with its class."""
    for name in adcache.__all__:
        thing = getattr(adcache, name)
        if inspect.isclass(thing):
            yield from ((f"{name}.{n}", thing, f) for n, f in functions_of(thing))
        else:
            yield name, None, thing


CALLS = {name: (cls, function) for name, cls, function in public()}
CLASSES = {
    name: thing
    for name in adcache.__all__
    if inspect.isclass(thing := getattr(adcache, name))
}


def help_for(cls: type | None, function: Callable[..., Any]) -> str:
    """What a reader finds: the docstring, the class's, and where they send him."""
    own = text_of(function)
    found = [own, text_of(cls.__init__) + text_of(cls) if cls else ""]
    for name in re.findall(r"`(\w+)`", own):
        member = getattr(cls, name, None) or getattr(adcache, name, None)
        found.append(text_of(member) if member is not None else "")
    return "\n".join(found)


def fields_of(cls: type) -> dict[str, Any]:
    """Public fields of a frozen result or record, with their types."""
    if issubclass(cls, msgspec.Struct) or hasattr(cls, "__dataclass_fields__"):
        hints = inspect.get_annotations(cls)
        return {name: kind for name, kind in hints.items() if not name.startswith("_")}
    return {}


def takes_a_cache(cls: type) -> bool:
    """Is it built from a `RedisAdCache`?"""
    if not isinstance(vars(cls).get("__init__"), FunctionType):
        return False
    return RedisAdCache in inspect.get_annotations(cls.__init__).values()


def units_missing(name: str, kind: Any, written: str) -> list[str]:
    """Units that `written` should state of one parameter, and does not."""
    parts = {part for part in get_args(kind) if not isinstance(part, list)}
    wanted = [
        unit for type_, unit in UNIT_OF_TYPE if parts and set(get_args(type_)) <= parts
    ]
    number = {int, float} & (parts | {kind if isinstance(kind, type) else None})
    wanted += [unit for end, unit in UNIT_OF_NAME if number and re.search(end, name)]
    return [unit for unit in wanted if not re.search(unit, written)]


@cache
def raised_by(function: FunctionType, cls: type | None) -> frozenset[str]:
    """Errors of ours that a function raises, itself or by what it calls in adcache."""
    return frozenset(_raised(function, cls, set()))


def _raised(
    function: FunctionType, cls: type | None, seen: set[Callable[..., Any]]
) -> set[str]:
    if function in seen:
        return set()
    seen.add(function)
    found: set[str] = set()
    if function.__name__ == "__init__" and hasattr(cls, "__dataclass_fields__"):
        check = vars(cls).get("__post_init__")
        return _raised(check, cls, seen) if check else set()
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            error = function.__globals__.get(getattr(node.exc.func, "id", ""))
            if isinstance(error, type) and issubclass(error, AdCacheError):
                found.add(error.__name__)
        called = None
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            called = function.__globals__.get(node.func.id)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner = node.func.value
            if isinstance(owner, ast.Name) and owner.id in ("self", "cls"):
                called = vars(cls).get(node.func.attr) if cls else None
        called = inspect.unwrap(called) if called is not None else None
        if isinstance(called, FunctionType) and called.__module__.startswith("adcache"):
            found |= _raised(called, cls, seen)
    return found


COMPONENTS = [name for name, cls in CLASSES.items() if takes_a_cache(cls)]


@pytest.mark.parametrize("name", [*CLASSES, *(n for n in CALLS if "__init__" not in n)])
def test_every_public_name_and_method_says_what_it_does(name):
    """A class, a function, a method, a property: each has a sentence of its own."""
    thing = CLASSES.get(name) or CALLS[name][1]

    assert re.match(
        r"\S.*[.?:]$", text_of(thing).splitlines()[0] if text_of(thing) else ""
    )


@pytest.mark.parametrize("name", CALLS)
def test_every_duration_and_amount_has_its_unit(name):
    """Seconds, milliseconds, CPM, currency units, micros: `help()` says which."""
    cls, function = CALLS[name]
    written = help_for(cls, function)
    missing = {
        parameter.name: wanted
        for parameter in inspect.signature(function).parameters.values()
        if (wanted := units_missing(parameter.name, parameter.annotation, written))
    }

    assert {} == missing


@pytest.mark.parametrize("name", CLASSES)
def test_every_field_has_its_unit(name):
    """The fields of results and records are no bare numbers either."""
    cls = CLASSES[name]
    missing = {
        field: wanted
        for field, kind in fields_of(cls).items()
        if (wanted := units_missing(field, kind, text_of(cls)))
    }

    assert {} == missing


@pytest.mark.parametrize("name", CALLS)
def test_every_error_of_ours_is_announced(name):
    """What a call raises on purpose stands in its docstring, or in its class's."""
    cls, function = CALLS[name]
    written = help_for(cls, function)

    assert set() == {e for e in raised_by(function, cls) if e not in written}


@pytest.mark.parametrize("name", COMPONENTS)
def test_every_component_says_what_happens_without_redis(name):
    """A class that talks to Redis says what its calls raise, once for all of them."""
    written = text_of(CLASSES[name])

    assert {"InvalidValue", "RedisUnavailable"} <= set(re.findall(r"`(\w+)`", written))


@pytest.mark.parametrize("path", FORMULAS)
def test_every_formula_names_its_source(path):
    """Whoever doubts a number finds the paper or the standard it comes from."""
    module, *names = path.split(".")
    thing: Any = importlib.import_module(f"adcache.{module}")
    for name in names:
        thing = getattr(thing, name)

    assert "Source:" in text_of(thing)


@pytest.mark.parametrize("name", ["frequency_sliding_counter", "interest_record"])
def test_every_formula_of_a_script_names_its_source(name):
    """Also where Redis does the sum."""
    assert "Source: " in sources()[name].partition("\nlocal ")[0]


MODULES = [
    module.name
    for module in pkgutil.iter_modules(adcache.__path__)
    if not module.ispkg and module.name != "__main__"
]


@pytest.mark.parametrize("name", MODULES)
def test_every_module_begins_with_what_it_is_for(name):
    """The first line of a module is one sentence that fits in a list of files."""
    tree = ast.parse((PACKAGE / f"{name}.py").read_text("utf-8"))
    first = (ast.get_docstring(tree) or "").partition("\n")[0]

    assert re.fullmatch(r"[A-Z].{20,86}[.?]", first)


def test_every_module_is_found_in_ten_seconds():
    """It is a component's, or stands in the table of CONTRIBUTING.md."""
    told = (PACKAGE.parent / "CONTRIBUTING.md").read_text("utf-8")
    families = (*check_source.COMPONENTS, *check_source.COMPOSERS, "openrtb")
    strays = [name for name in MODULES if name.partition("_")[0] not in families]

    assert [] == [name for name in strays if f"`{name}`" not in told]
