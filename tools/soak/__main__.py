"""Run every scenario and write down what was found.

make soak                         # about five minutes
make soak ARGS="--each 1000"      # a shorter look; writes nothing
make soak ARGS="--only failover"  # one scenario; writes nothing
"""

import argparse
import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path

import redis

from adcache.backends import LocalServer
from tools.soak.scenarios import SCENARIOS, Outcome

ROOT = Path(__file__).parents[2]
BEGIN, END = "<!-- soak:begin -->", "<!-- soak:end -->"
WORKERS = {"threads": 32}  # the others have 8
EACH, LONGEST = 5_000, {"processes": 20_000}  # operations of a worker


def main() -> int:
    """Exit with 1 when anything was violated; a failover's losses are measured."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--each", type=int, help="operations of each process")
    parser.add_argument("--only", choices=SCENARIOS, help="one scenario")
    arguments = parser.parse_args()
    outcomes = []
    for name in [arguments.only] if arguments.only else SCENARIOS:
        workers = WORKERS.get(name, 8)
        each = arguments.each or LONGEST.get(name, EACH)
        outcomes.append(SCENARIOS[name](workers, each * 8 // workers))
        print(row(outcomes[-1]), flush=True)
    if not (arguments.only or arguments.each):
        write(outcomes)
    bad = [o for o in outcomes if not o.clean and o.name != "cluster primary killed"]
    for outcome in bad:
        print(f"{outcome.name}: {outcome.violations}", file=sys.stderr)
    return int(bool(bad))


def row(outcome: Outcome) -> str:
    """One line of the table."""
    violated = sum(outcome.violations.values())
    cells = (
        *(outcome.name, f"{outcome.operations:,}", f"{outcome.seconds:.0f} s"),
        *(f"{outcome.unanswered:,}", f"{outcome.pause:.2f} s", violated),
        outcome.remark,
    )
    return f"| {' | '.join(map(str, cells))} |"


def table(outcomes: list[Outcome]) -> str:
    """Render all outcomes as a Markdown table, with what was checked below it."""
    heads = (
        *("scenario", "operations", "took", "calls repeated"),
        *("longest wait for an answer", "violations", "remark"),
    )
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    lines += [row(outcome) for outcome in outcomes]
    checked = ", ".join(outcomes[0].violations)
    return "\n".join([*lines, "", f"Violations are the sum of: {checked}."])


def write(outcomes: list[Outcome]) -> None:
    """Write RELIABILITY.md, and the same table into the README."""
    with LocalServer() as server:
        info = redis.Redis.from_url(server.url).info("server")
    text = table(outcomes)
    (ROOT / "RELIABILITY.md").write_text(
        "# What the package survives\n\n"
        "Made by `make soak`; the scenarios stand in `tools/soak/scenarios.py`.\n"
        f"Redis {info['redis_version']}, Python {platform.python_version()}, "
        f"{os.cpu_count()} cores, {datetime.now(UTC):%Y-%m-%d}.\n\n{text}\n",
        encoding="utf-8",
    )
    readme = ROOT / "README.md"
    before, begin, rest = readme.read_text(encoding="utf-8").partition(BEGIN)
    if begin:
        after = rest.partition(END)[2]
        readme.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
