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

IMPORTS = {  # `adcache` brings a name's module when the name is first used
    "import redis": "import redis",
    "import adcache": "import adcache",
    "import adcache, and all its names": "from adcache import *",
}
PROGRAM = """
import time
started = time.process_time()
{statement}
print(time.process_time() - started)
"""


def measure_imports(figures: Figures, rounds: int) -> None:
    """Put the milliseconds of each import into the figures; they take turns."""
    times: dict[str, list[float]] = {name: [] for name in IMPORTS}
    with tempfile.TemporaryDirectory() as folder:
        for statement in IMPORTS.values():
            _seconds(statement, folder)  # writes the bytecode
        for _ in range(rounds):
            for name in random.sample(list(IMPORTS), len(IMPORTS)):
                times[name].append(_seconds(IMPORTS[name], folder))
    for name, seconds in times.items():
        figures.numbers[name] = statistics.median(seconds) * 1000


def _seconds(statement: str, folder: str) -> float:
    """CPU seconds of the import alone: Python's own start would flatter the ratio."""
    environment = os.environ | {"PYTHONPYCACHEPREFIX": folder}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(statement=statement)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout)
