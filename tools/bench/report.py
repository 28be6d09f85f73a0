"""What a run found, as text: for the terminal, BENCHMARKS.md and the README."""

import os
import platform
import re
import statistics
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from tools.bench.goals import Verdict
from tools.bench.measure import BARE, OURS, SLICE, Figures, Row
from tools.bench.peers import versions

BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"
UNITS = {"bytes:": "bytes a user", "import": "ms", "loads:": "calls of the loader"}


def environment(server: str) -> dict[str, str]:
    """Say on what the figures were taken: versions, cores, date."""
    peers = ", ".join(f"{name} {number}" for name, number in versions().items())
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "machine": f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}",
        "server": f"Redis {server}, on loopback, on one core with the client",
        "client": f"Python {platform.python_version()}, redis-py "
        f"{metadata.version('redis')}, hiredis {metadata.version('hiredis')}, "
        f"msgspec {metadata.version('msgspec')}",
        "peers": peers or "none is installed",
    }


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a Markdown table; every column but the first two is of numbers."""
    lines = [head, ["---", "---", *("--:" for _ in head[2:])], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def times_table(figures: Figures) -> str:
    """One row per job and contender."""
    head = "job", "contender", "µs", "to redis-py", "trips", "server CPU µs"
    rows = []
    for row in figures.rows:
        bare = figures.micros(row.job, BARE)
        rows.append(
            (
                row.job,
                row.name,
                _micros(row.micros),
                f"{row.micros / bare:.2f}" if bare else "",
                f"{row.trips:.2f}".rstrip("0").rstrip("."),
                _micros(row.server),
            )
        )
    return table(head, rows)


def numbers_table(figures: Figures) -> str:
    """What is not the time of a call: bytes, imports, loads of a stampede."""
    rows = []
    for name, value in figures.numbers.items():
        unit = next((u for start, u in UNITS.items() if name.startswith(start)), "")
        rows.append((name.removeprefix("bytes: "), unit, f"{value:.4g}"))
    return table(("what", "unit", "figure"), rows)


def goals_table(verdicts: Sequence[Verdict]) -> str:
    """One row per goal."""
    rows = []
    for verdict in verdicts:
        found = "not measured" if verdict.figure is None else f"{verdict.figure:.2f}"
        rows.append(
            (verdict.name, "met" if verdict.met else "MISSED", verdict.wanted, found)
        )
    return table(("goal", "", "wanted", "figure"), rows)


def summary_table(figures: Figures) -> str:
    """For the README: one row per job, ours beside the others."""
    head = (
        "job",
        "trips",
        "µs",
        "to redis-py",
        "naive: trips",
        "µs",
        "fastest peer",
        "µs",
    )
    rows = []
    for ours in figures.rows:
        if ours.name != OURS:
            continue
        bare = figures.micros(ours.job, BARE)
        naive, peer = figures.row(ours.job, "naive"), figures.best_peer(ours.job)
        rows.append(
            (
                ours.job,
                _trips(ours),
                _micros(ours.micros),
                f"{ours.micros / bare:.2f}" if bare else "",
                _trips(naive),
                _micros(naive.micros) if naive else "",
                peer.name if peer else "",
                _micros(peer.micros) if peer else "",
            )
        )
    return table(head, rows)


def page(
    figures: Figures, verdicts: Sequence[Verdict], about: dict[str, str], command: str
) -> str:
    """Write BENCHMARKS.md."""
    missed = sum(not verdict.met for verdict in verdicts)
    said = f"{len(verdicts) - missed} of {len(verdicts)} goals met."
    wall = statistics.median(row.wall / row.micros for row in figures.rows)
    left_out = "\n".join(f"- Left out: {line}." for line in figures.absent)
    facts = "\n".join(f"- {name}: {value}" for name, value in about.items())
    return (
        f"""# Benchmarks

Written by `{command}`; do not edit.

{facts}

Times are medians over slices of about {SLICE * 1000:.0f} ms: all rows take turns, in an
order drawn anew each round. Client and server share one core, and a call's time
is what both use of it, so that other programs do not count; the clock on the
wall showed {wall:.2f} of that in the slices that were disturbed least (median of
the rows). Trust the ratios more than the microseconds.

`redis-py` is bare redis-py with the
same effects on the data, its arguments laid out beforehand; `naive` is the code
that the lessons begin with (`adcache/course/naive.py`). Trips are waits for the
network, counted at a TCP proxy with the same calls on the same data.

## Goals

{said}

{goals_table(verdicts)}

## Times

{times_table(figures)}

## Bytes, imports, stampedes

A stampede is 2 processes with 25 callers each that want one record at once; the
worst of several counts.

{numbers_table(figures)}
{left_out}
""".rstrip()
        + "\n"
    )


def excerpt(
    figures: Figures, verdicts: Sequence[Verdict], about: dict[str, str], command: str
) -> str:
    """Write what the README quotes."""
    met = sum(verdict.met for verdict in verdicts)
    goals = f"{met} of {len(verdicts)} goals met"
    day = about["date"].split()[0]
    return f"""{summary_table(figures)}

`{command}` on {about["machine"]} ({day}): {goals}.
Every contender, how it was measured, memory, imports and stampedes:
[BENCHMARKS.md](BENCHMARKS.md).
"""


def between_markers(text: str, content: str) -> str:
    """Put content between the markers; a text without them stays as it is."""
    if BEGIN not in text or END not in text.partition(BEGIN)[2]:
        return text
    found = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
    return found.sub(lambda _: f"{BEGIN}\n{content.rstrip()}\n{END}", text, count=1)


def write(
    folder: Path,
    figures: Figures,
    verdicts: Sequence[Verdict],
    about: dict[str, str],
    command: str,
) -> list[str]:
    """Write BENCHMARKS.md, and the README's section if it has one; say what was."""
    (folder / "BENCHMARKS.md").write_text(
        page(figures, verdicts, about, command), encoding="utf-8"
    )
    written, readme = ["BENCHMARKS.md"], folder / "README.md"
    before = readme.read_text(encoding="utf-8") if readme.exists() else ""
    after = between_markers(before, excerpt(figures, verdicts, about, command))
    if after != before:
        readme.write_text(after, encoding="utf-8")
        written.append("README.md")
    return written


def _micros(value: float) -> str:
    return f"{value:.1f}" if value < 1000 else f"{value:,.0f}"


def _trips(row: Row | None) -> str:
    return f"{row.trips:.2f}".rstrip("0").rstrip(".") if row else ""
