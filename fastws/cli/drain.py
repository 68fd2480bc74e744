"""`fastws drain PID`: tells a server to end, and waits until it has."""

import os
import select
import signal
import sys
from pathlib import Path
from time import monotonic
from typing import NoReturn

from fastws.cli.failing import fail
from fastws.deployment import is_server


def drain(pid: int, timeout: float | None) -> NoReturn:
    """Drains a server; ends with exit code 0 once it has gone, with 1 if it has not.

    Args:
        pid: of `fastws run`; with several workers that of their parent.
        timeout: seconds that it waits at most; None for as long as it takes.
    """
    if not hasattr(os, "pidfd_open"):
        fail("drain needs Linux; elsewhere: kill -TERM PID")
    try:
        # It goes on meaning this process when it has ended, and another one has its number.
        process = os.pidfd_open(pid)
    except OSError as error:
        fail(f"there is no process {pid}: {error.strerror}")
    if not is_server(Path(f"/proc/{pid}")):
        fail(f"process {pid} is no `fastws run`")
    try:
        signal.pidfd_send_signal(process, signal.SIGTERM)
    except OSError as error:
        fail(f"process {pid} cannot be told to end: {error.strerror}")
    since = monotonic()
    _say(f"fastws: {pid} drains")
    ended, _, _ = select.select([process], [], [], timeout)
    if not ended:
        fail(f"{pid} has not ended within {timeout:g} s")
    _say(f"fastws: {pid} has ended after {monotonic() - since:.1f} s")
    sys.exit(0)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
