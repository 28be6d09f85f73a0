"""How long `import adcache` takes beside `import redis`, in fresh processes."""

import random
import statistics
import subprocess
import sys

from tools.bench.measure import Figures

MODULES = ("redis", "adcache")
PROGRAM = """
import time
started = time.process_time()
import {module}
print(time.process_time() - started)
"""


def measure_imports(figures: Figures, rounds: int) -> None:
    """Put the milliseconds of each import into the figures; they take turns."""
    times: dict[str, list[float]] = {module: [] for module in MODULES}
    for _ in range(rounds):
        for module in random.sample(MODULES, len(MODULES)):
            times[module].append(_seconds(module))
    for module in MODULES:
        figures.numbers[f"import {module}"] = statistics.median(times[module]) * 1000


def _seconds(module: str) -> float:
    """CPU seconds of the import alone: Python's own start would flatter the ratio."""
    program = PROGRAM.format(module=module)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return float(done.stdout)
