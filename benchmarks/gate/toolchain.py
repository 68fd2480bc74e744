"""What the number of instructions depends on, other than fastws."""

import os
import platform
import subprocess
import sys
import sysconfig
import zlib
from importlib.metadata import version
from pathlib import Path


def toolchain() -> dict[str, str]:
    """Names all of it: counts are comparable where all values are equal."""
    flags = (str(sysconfig.get_config_var("CFLAGS")), os.environ.get("CFLAGS", ""))
    return {
        "python": " ".join(sys.version.split()),
        "machine": platform.machine(),
        # Valgrind shows each machine that has it the same processor; glibc and we choose by that.
        "avx2": str("avx2" in Path("/proc/cpuinfo").read_text().split()),
        "compiler": first_line(*os.environ.get("CC", "cc").split(), "--version"),
        "flags": " ".join(flags).strip(),
        "libc": " ".join(platform.libc_ver()),
        "zlib": zlib.ZLIB_RUNTIME_VERSION,
        "valgrind": first_line("valgrind", "--version"),
        **{name: version(name) for name in ("Cython", "msgspec", "uvicorn")},
    }


def first_line(*command: str) -> str:
    """What a program says first; nothing if it is not there."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout.partition("\n")[0]
