"""`fastws --version`: the versions that a bug report needs, in one line."""

import platform
from importlib.metadata import PackageNotFoundError, version

from fastws import __version__


def versions() -> str:
    """Return the line: ``fastws 0.2.0 (CPython 3.11.7, uvicorn 0.54.0, uvloop 0.23.0)``."""
    parts = [f"{platform.python_implementation()} {platform.python_version()}"]
    for package in ("uvicorn", "uvloop"):
        try:
            parts.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            parts.append(f"no {package}")
    return f"fastws {__version__} ({', '.join(parts)})"
