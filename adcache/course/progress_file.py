"""What a learner has done so far: one readable JSON file, never sent anywhere.

It is ``.adcache/progress.json`` in the folder of the course, or
``$ADCACHE_HOME/progress.json``; ``$ADCACHE_PROGRESS`` names another file. With
the null device (as in CI) nothing is kept longer than the kernel lives.
"""

import contextlib
import copy
import json
import os
from pathlib import Path
from typing import Any

_memory: dict[str, Any] = {}  # what no file could take


def path() -> Path | None:
    """Return the file's path; None when nothing is to be written."""
    if named := os.environ.get("ADCACHE_PROGRESS"):
        return None if named == os.devnull else Path(named)
    home = os.environ.get("ADCACHE_HOME")
    folder = Path(home) if home else course_folder() / ".adcache"
    return folder / "progress.json"


def course_folder() -> Path:
    """Return the folder that holds notebooks/ and exercises/, else this one."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "notebooks").is_dir() and (folder / "exercises").is_dir():
            return folder
    return here


def read() -> dict[str, Any]:
    """Return everything noted so far.

    A file that is not JSON is put aside as ``progress.json.broken``: a lost
    map of progress must not stop a lesson.
    """
    file = path()
    if file is None or not file.is_file():
        return copy.deepcopy(_memory)
    try:
        noted = json.loads(file.read_text(encoding="utf-8"))
        if isinstance(noted, dict):
            return noted
    except OSError:
        return copy.deepcopy(_memory)
    except ValueError:
        pass
    with contextlib.suppress(OSError):
        file.replace(file.with_name(file.name + ".broken"))
    return {}


def note(section: str, key: str, entry: dict[str, Any] | None) -> None:
    """Store one entry of a section, or forget it with None."""
    noted = read()
    entries = noted.setdefault(section, {})
    if entry is None:
        entries.pop(key, None)
    else:
        entries[key] = entry
    _write(noted)


def entry(section: str, key: str) -> dict[str, Any]:
    """Return one entry of a section; empty when there is none."""
    found = read().get(section, {}).get(key, {})
    return dict(found) if isinstance(found, dict) else {}


def _write(noted: dict[str, Any]) -> None:
    file = path()
    if file is not None:
        text = json.dumps(noted, indent=2, sort_keys=True, ensure_ascii=False)
        fresh = file.with_name(f"{file.name}.{os.getpid()}")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            fresh.write_text(text + "\n", encoding="utf-8")
            fresh.replace(file)  # whole or not at all, also when cut off
        except OSError:  # a read-only folder: remember until the kernel ends
            pass
        else:
            return
    _memory.clear()
    _memory.update(noted)
