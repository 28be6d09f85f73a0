"""Check the house rules of the package: imports, sizes, docs.

    python -m tools.check_source

Arrows go one way: widgets and course use the ad server, which uses the
components, which use the foundation. Components never import each other. Only
widgets and course know that a notebook exists.
"""

import ast
import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from tools import notebooks

COMPONENTS = (
    *(
        "bidding",
        "campaigns",
        "creatives",
        "frequency",
        "monitor",
        "pacing",
        "profiles",
    ),
    *("sessions", "stampede", "stats", "strategies", "targeting"),
)
COMPOSERS = ("adserver", "privacy")
ROOMS = ("widgets", "course")  # the only ones with a user interface
ENTRANCES = ("__init__", "__main__", "doctor")  # see everything but the rooms
CORE_LIBRARIES = {"adcache", "hiredis", "msgspec", "redis", *sys.stdlib_module_names}
ONLY_IN = {"fakeredis": "backends", "prometheus_client": "monitor_prometheus"}
MODULE_LINES, FUNCTION_LINES, SCRIPT_LINES = 300, 50, 70
# Names that wait for a lesson not written yet; once it exists it must use them.
TAUGHT_LATER = {
    "AccessDenied": "15_failure_and_privacy",
    "ActivityResult": "03_user_profiles",
    "AdLine": "05_campaigns_and_targeting",
    "AdServer": "16_ad_server",
    "Alert": "13_monitoring",
    "Basis": "15_failure_and_privacy",
    "BidRequest": "16_ad_server",
    "BidResponse": "16_ad_server",
    "BudgetNotice": "10_budgets_and_pacing",
    "BudgetPacer": "10_budgets_and_pacing",
    "BudgetStatus": "10_budgets_and_pacing",
    "CacheConfig": "02_connections_and_round_trips",
    "CacheMonitor": "13_monitoring",
    "CacheStrategy": "04_caching_strategies",
    "CampaignCache": "05_campaigns_and_targeting",
    "CampaignData": "05_campaigns_and_targeting",
    "CampaignState": "05_campaigns_and_targeting",
    "CommandRefused": "02_connections_and_round_trips",
    "Confirmation": "16_ad_server",
    "Creative": "05_campaigns_and_targeting",
    "CreativeCache": "05_campaigns_and_targeting",
    "Decision": "16_ad_server",
    "ErasureProof": "15_failure_and_privacy",
    "Flushed": "04_caching_strategies",
    "Hops": "16_ad_server",
    "LeaseDecision": "16_ad_server",
    "LibraryMissing": "13_monitoring",
    "LoaderFailed": "11_stampedes",
    "NearCache": "14_scaling_out",
    "NoticeResult": "16_ad_server",
    "PageEvent": "08_sessions_and_targeting",
    "PerformanceStatsCache": "09_performance_stats",
    "ReadThrough": "11_stampedes",
    "RecordCache": "04_caching_strategies",
    "Recorded": "09_performance_stats",
    "RedisAdCache": "02_connections_and_round_trips",
    "RedisTimeout": "02_connections_and_round_trips",
    "RedisUnavailable": "02_connections_and_round_trips",
    "Reservation": "10_budgets_and_pacing",
    "Sample": "13_monitoring",
    "ServerNotFound": "14_scaling_out",
    "SessionManager": "08_sessions_and_targeting",
    "SessionTargeting": "08_sessions_and_targeting",
    "Settlement": "10_budgets_and_pacing",
    "SpendUpdate": "05_campaigns_and_targeting",
    "SqliteRecords": "04_caching_strategies",
    "SystemOfRecord": "04_caching_strategies",
    "Thresholds": "13_monitoring",
    "UnknownKey": "01_keys_and_types",
    "UnreadableRecord": "15_failure_and_privacy",
    "UserPrivacy": "15_failure_and_privacy",
    "UserProfile": "03_user_profiles",
    "UserProfileCache": "03_user_profiles",
    "WriteLag": "04_caching_strategies",
    "early_refresh": "11_stampedes",
    "early_refresh_probability": "11_stampedes",
    "encode_bid_response": "16_ad_server",
    "event_interests": "08_sessions_and_targeting",
    "from_micros": "10_budgets_and_pacing",
    "impression_cost": "10_budgets_and_pacing",
    "jittered": "11_stampedes",
    "may_profile": "15_failure_and_privacy",
    "page_event": "08_sessions_and_targeting",
    "prometheus_text": "13_monitoring",
    "rank_campaigns": "08_sessions_and_targeting",
    "ratios": "09_performance_stats",
}


def import_problems(package: Path) -> Iterator[str]:
    """Yield each import that points the wrong way."""
    for path in sorted(package.rglob("*.py")):
        room = path.relative_to(package).parts[0]
        for target in imported(ast.parse(path.read_text(encoding="utf-8"))):
            if problem := _judge(room.removesuffix(".py"), target):
                yield f"{path.relative_to(package.parent)}: {problem}"


def imported(tree: ast.AST) -> Iterator[str]:
    """Yield every module that the source imports, also inside functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module == "adcache":
            yield from (f"adcache.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")


def _judge(module: str, target: str) -> str:
    """Say what is wrong with `module` importing `target`; empty if nothing."""
    if module in ROOMS:
        return ""
    if target.startswith("."):
        return f"imports {target}; write it in full, adcache..."
    library, _, inside = target.partition(".")
    if library not in CORE_LIBRARIES and ONLY_IN.get(library) != module:
        return f"imports {library}; the core knows {_list(CORE_LIBRARIES)} only"
    used = inside.partition(".")[0] if library == "adcache" else ""
    if _layer(used) > _layer(module):
        return f"imports adcache.{used}, which stands above it"
    both = {_component(used), _component(module)}
    if "" not in both and len(both) == 2:
        return f"imports adcache.{used}; components never import each other"
    return ""


def _list(names: set[str]) -> str:
    return ", ".join(sorted(names - set(sys.stdlib_module_names)))


def _component(module: str) -> str:
    """Return the component that a module belongs to: frequency_log -> frequency."""
    return next(
        (c for c in COMPONENTS if module == c or module.startswith(f"{c}_")), ""
    )


def _layer(module: str) -> int:
    """Rank of a module: foundation 0, components 1, composers 2, rooms 4."""
    if module in ROOMS:
        return 4
    if module in ENTRANCES:
        return 3
    composes = module.split("_")[0] in COMPOSERS
    return 2 if composes else int(bool(_component(module)))


def size_problems(package: Path) -> Iterator[str]:
    """Yield what is too long to be read in a notebook."""
    for path in sorted(package.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        name = path.relative_to(package.parent)
        if (lines := len(text.splitlines())) > MODULE_LINES:
            yield f"{name}: {lines} lines; a module has at most {MODULE_LINES}"
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > FUNCTION_LINES:
                    yield f"{name}: {node.name} has {lines} lines; 50 at most"
    for path in sorted(package.rglob("*.lua")):
        code = re.sub(
            r"^\s*(--.*)?\n", "", path.read_text(encoding="utf-8"), flags=re.M
        )
        if (lines := len(code.splitlines())) > SCRIPT_LINES:
            yield f"{path.name}: {lines} lines of code; a script has at most 70"


def doc_problems(module: ModuleType) -> Iterator[str]:
    """Yield the public names of a module that do not say what they do."""
    for name in module.__all__:
        thing = getattr(module, name, None)
        if thing is None:
            yield f"{name}: in __all__ but not there"
        elif not (inspect.isclass(thing) or inspect.isfunction(thing)):
            yield f"{name}: neither a class nor a function, so it cannot say what it is"
        elif (thing.__doc__ or f"{name}(").startswith(f"{name}("):
            yield f"{name}: no docstring"  # a dataclass writes its signature there


def usage_problems(names: list[str], lessons: dict[str, str]) -> Iterator[str]:
    """Yield the public names that no lesson shows; `lessons` is name -> its text."""
    everything = "\n".join(lessons.values())
    for name in names:
        waits_for = TAUGHT_LATER.get(name)
        if waits_for and waits_for not in lessons:
            continue
        if not re.search(rf"\b{re.escape(name)}\b", everything):
            yield f"{name}: public, but no lesson uses it"


def lesson_texts() -> dict[str, str]:
    """Return the code and the outputs of each lesson, by the lesson's name."""
    texts = {}
    for path in notebooks.find([notebooks.ROOT / "notebooks"]):
        parts: list[str] = []
        for _, cell in notebooks.code_cells(notebooks.read(path)):
            parts.append(cell.source)
            parts += [t for out in cell.outputs for t in notebooks.output_texts(out)]
        texts[path.stem] = "\n".join(parts)
    return texts


def main() -> int:
    """Print what breaks the house rules; return 1 if anything does."""
    package = notebooks.ROOT / "adcache"
    public = importlib.import_module("adcache")
    found = [
        *import_problems(package),
        *size_problems(package),
        *doc_problems(public),
        *usage_problems(public.__all__, lesson_texts()),
    ]
    print("\n".join(found) or "source: imports, sizes and docs keep the rules")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
