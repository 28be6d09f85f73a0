"""How long `import adcache` takes beside `import redis`, in fresh processes.

Their bytecode is there, as it is from the second start on; it is kept in a
folder of its own, since an environment may forbid to write it beside the code.
"""

import os
import random
import statistics
import subprocess
import sys
import tempfile

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
    with tempfile.TemporaryDirectory() as folder:
        for module in MODULES:
            _seconds(module, folder)  # writes the bytecode
        for _ in range(rounds):
            for module in random.sample(MODULES, len(MODULES)):
                times[module].append(_seconds(module, folder))
    for module in MODULES:
        figures.numbers[f"import {module}"] = statistics.median(times[module]) * 1000


def _seconds(module: str, folder: str) -> float:
    """CPU seconds of the import alone: Python's own start would flatter the ratio."""
    environment = os.environ | {"PYTHONPYCACHEPREFIX": folder}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(module=module)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout)
