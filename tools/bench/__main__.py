"""Measure everything, print the tables, write BENCHMARKS.md.

make bench                    # about five minutes
make bench ARGS=--quick       # less than one
make bench ARGS="--only bid"  # the jobs with this word; writes nothing
make budgets                  # and fail when a goal is missed
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import redis

from adcache.backends import LocalServer
from adcache.errors import AdCacheError
from tools.bench import (
    jobs_bids,
    jobs_caps,
    jobs_decision,
    jobs_profiles,
    jobs_read_through,
    jobs_sessions,
    jobs_stats,
    report,
)
from tools.bench.goals import GOALS, Verdict, judge
from tools.bench.imports import measure_imports
from tools.bench.measure import Figures, Job, measure, on_one_core
from tools.bench.memory import measure_bytes
from tools.bench.stampede import measure_loads

ROOT = Path(__file__).resolve().parents[2]
JOBS: list[Job] = [
    *jobs_caps.JOBS,
    *jobs_bids.JOBS,
    *jobs_profiles.JOBS,
    *jobs_sessions.JOBS,
    *jobs_stats.JOBS,
    *jobs_read_through.JOBS,
    *jobs_decision.JOBS,
]
SECONDS, QUICK_SECONDS = 240.0, 12.0  # for the rounds
IMPORTS, QUICK_IMPORTS = 41, 7


def run(quick: bool, only: str) -> tuple[Figures, str]:
    """Measure on a private server; return the figures and its version."""
    all_cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    on_one_core()
    jobs = [job for job in JOBS if only in job.name]
    with LocalServer() as server:
        version = redis.Redis.from_url(server.url).info("server")["redis_version"]
        figures = measure(jobs, server.url, QUICK_SECONDS if quick else SECONDS)
        if not only:
            with LocalServer() as empty:
                measure_bytes(empty.url, figures)
            measure_imports(figures, QUICK_IMPORTS if quick else IMPORTS)
            if all_cores:
                os.sched_setaffinity(0, all_cores)  # a crowd may use all of them
            measure_loads(server.url, figures)
    return figures, str(version)


def end(verdicts: Sequence[Verdict], budgets: bool) -> int:
    """Say which goals were missed; with `budgets` that is an error."""
    missed = [verdict for verdict in verdicts if not verdict.met]
    for verdict in missed:
        found = "not measured" if verdict.figure is None else f"{verdict.figure:.2f}"
        print(f"missed: {verdict.name}: {found}, wanted {verdict.wanted}")
    print(f"goals: {len(verdicts) - len(missed)} of {len(verdicts)} met")
    return int(budgets and bool(missed))


def main(arguments: list[str]) -> int:
    """Run the benchmark; the exit code depends on the goals with --budgets only."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="less than a minute")
    parser.add_argument("--budgets", action="store_true", help="fail on a missed goal")
    parser.add_argument("--only", default="", help="jobs with this word in their name")
    parser.add_argument("--folder", type=Path, default=ROOT, help="where to write")
    options = parser.parse_args(arguments)
    try:
        figures, version = run(options.quick, options.only)
    except AdCacheError as error:
        print(error, file=sys.stderr)
        return 2
    print(report.times_table(figures))
    if options.only:
        return 0
    verdicts = judge(GOALS, figures)
    about = report.environment(version)
    command = "make bench" + (" ARGS=--quick" if options.quick else "")
    print(f"\n{report.numbers_table(figures)}\n\n{report.goals_table(verdicts)}\n")
    print("\n".join(f"left out: {line}" for line in figures.absent))
    written = report.write(options.folder, figures, verdicts, about, command)
    print(f"written: {', '.join(written)}")
    return end(verdicts, options.budgets)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
