"""Where and with what something was measured."""

import json
import os
import platform
import subprocess
import sys
import sysconfig
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.servers import NODE_MODULES

PACKAGES = (
    "uvicorn", "uvloop", "httptools", "websockets", "wsproto", "aiohttp", "picows", "socketify",
    "granian", "hypercorn", "starlette", "fastapi", "pydantic", "litestar", "msgspec", "orjson",
)  # fmt: skip
NPM_PACKAGES = ("bun", "deno", "ws")


def machine() -> str:
    """Say on what, and with what, as a Markdown list."""
    built = (
        "with"
        if "--enable-optimizations" in str(sysconfig.get_config_var("CONFIG_ARGS"))
        else "without"
    )
    return (
        f"- {processor()}, {os.cpu_count()} cores, {memory():.0f} GiB, Linux {platform.release()}\n"
        f"- CPython {platform.python_version()} ({built} PGO), {versions()}"
    )


def occasion() -> str:
    """Say when, of which commit and how."""
    date = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    return f"{date}, at {revision()}: `{command_line()}`"


def processor() -> str:
    """The model of the CPU."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def memory() -> float:
    """GiB of RAM."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def revision() -> str:
    """The commit that is checked out."""
    command = ["git", "describe", "--always", "--abbrev=10"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    return result.stdout.strip() or "no commit"


def versions() -> str:
    """The version of everything that takes part."""
    found = [f"{name} {installed(name)}" for name in PACKAGES]
    for name in NPM_PACKAGES:
        manifest = NODE_MODULES / name / "package.json"
        known = json.loads(manifest.read_text())["version"] if manifest.exists() else "missing"
        found.append(f"{name} {known}")
    node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=False)
    return ", ".join([*found, f"Node {node.stdout.strip().removeprefix('v') or 'missing'}"])


def installed(name: str) -> str:
    """The version of a Python package."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"


def command_line() -> str:
    """The command that runs."""
    module = sys.modules["__main__"].__spec__
    name = module.name if module else sys.argv[0]
    return " ".join(["python -m", name.removesuffix(".__main__"), *sys.argv[1:]])
