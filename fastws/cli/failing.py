"""How a command ends that comes to nothing."""

import sys
from typing import NoReturn


def fail(message: str) -> NoReturn:
    """Ends with exit code 1 and one line that says why."""
    sys.exit(f"fastws: {message}")
