"""`make loadtest`: a headless run of locust, against a server of our own or a URL."""

import argparse
import subprocess
import sys
from urllib.parse import urlsplit

from loadtest.server import BUILD, serve

# What a server of any make can do, and what only ours does, with `loadtest.app`.
ANYWHERE = ("Echo",)
OURS = ("Echo", "Typed", "Chat", "Reader", "SlowReader", "Storm", "Reconnect")


def main() -> int:
    """Runs the command line; gives locust's exit code, which the budget decides."""
    parser = argparse.ArgumentParser(
        "python -m loadtest",
        description=__doc__,
        epilog="All else is for locust: its options, and the names of users.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--url", help="ws://host:port of loadtest.app, or ws://host/path of an echo"
    )
    parser.add_argument("--shape", choices=["steps", "spike", "soak"])
    options, more = parser.parse_known_args()
    if options.url:
        return run(options.url, options.shape, more)
    with serve() as server:
        return run(server.url(), options.shape, more)


def run(url: str, shape: str | None, more: list[str]) -> int:
    """Runs locust; gives its exit code."""
    BUILD.mkdir(parents=True, exist_ok=True)
    files = ["loadtest/locustfile.py"] + ([f"loadtest/shapes/{shape}.py"] if shape else [])
    argv = [sys.executable, "-m", "locust", "-f", ",".join(files), "--headless", "--host", url]
    argv += ["--users", "200", "--spawn-rate", "50", "--run-time", "20s", "--only-summary"]
    argv += ["--html", str(BUILD / "report.html"), "--csv", str(BUILD / "stats")]
    argv += more
    if not any(name[:1].isupper() for name in more):
        argv += OURS if urlsplit(url).path in ("", "/") else ANYWHERE
    return subprocess.run(argv, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
