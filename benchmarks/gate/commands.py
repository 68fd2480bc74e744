"""Where the gate works, and how it runs other programs."""

import subprocess
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
BUILD = ROOT / "build" / "gate"


class CannotCountError(Exception):
    """The gate needs something that this machine or this clone does not have."""


def run(command: list[str], folder: Path, environment: dict[str, str] | None = None) -> str:
    """Run a program, and return what it printed.

    Raises:
        CannotCountError: the program is not installed, or failed; the text has its last words.
    """
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
    except FileNotFoundError as error:
        raise CannotCountError(f"{error.filename} is not installed") from None
    if done.returncode:
        raise CannotCountError(f"{' '.join(command)}: status {done.returncode}\n{done.stderr}")
    return done.stdout
