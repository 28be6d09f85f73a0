"""Run a command against a private Redis or Valkey that ends with it.

    python -m tools.with_server jupyter lab
    python -m tools.with_server --cluster pytest tests

The server listens on loopback, on a free port; the command finds its address
in ADCACHE_URL. Ctrl-C belongs to the command: the server waits for it to end.
"""

import os
import signal
import subprocess
import sys
from types import FrameType

from adcache.backends import LocalCluster, LocalServer
from adcache.errors import AdCacheError


def run(command: list[str], url: str) -> int:
    """Run the command with ADCACHE_URL set; return its exit code."""
    process = subprocess.Popen(command, env=os.environ | {"ADCACHE_URL": url})

    def pass_on(number: int, _: FrameType | None) -> None:
        process.send_signal(number)

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal tells it as well
    signal.signal(signal.SIGTERM, pass_on)
    return process.wait()


def main(arguments: list[str]) -> int:
    """Start a server (or a cluster), run the command, stop the server."""
    kind: type[LocalServer | LocalCluster] = LocalServer
    if arguments[:1] == ["--cluster"]:
        kind, arguments = LocalCluster, arguments[1:]
    if not arguments:
        print(__doc__)
        return 2
    try:
        with kind() as server:
            print(f"A private server is at {server.url} until this ends.", flush=True)
            code = run(arguments, server.url)
    except (AdCacheError, FileNotFoundError) as error:
        print(f"{arguments[0]}: {error}", file=sys.stderr)
        return 1
    print("The private server is stopped.", flush=True)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
