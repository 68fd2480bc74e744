"""What the number of instructions depends on, other than fastws."""

import os
import platform
import subprocess
import sys
import sysconfig
import zlib
from pathlib import Path

CONSTRAINTS = Path(__file__).with_name("constraints.txt")


def pins() -> dict[str, str]:
    """Read the exact version of each package that the gate installs."""
    lines = (line.partition("#")[0].strip() for line in CONSTRAINTS.read_text().splitlines())
    pairs = (line.partition("==")[::2] for line in lines if line)
    return dict(pairs)


def toolchain() -> dict[str, str]:
    """Name all of it: counts are comparable where all values are equal."""
    flags = (str(sysconfig.get_config_var("CFLAGS")), os.environ.get("CFLAGS", ""))
    return {
        "python": " ".join(sys.version.split()),
        "machine": platform.machine(),
        # Valgrind shows one processor on all machines with AVX2; glibc and fastws choose by it.
        "avx2": str("avx2" in Path("/proc/cpuinfo").read_text().split()),
        "compiler": first_line(*os.environ.get("CC", "cc").split(), "--version"),
        "flags": " ".join(flags).strip(),
        "libc": " ".join(platform.libc_ver()),
        "zlib": zlib.ZLIB_RUNTIME_VERSION,
        "valgrind": first_line("valgrind", "--version"),
        **pins(),
    }


def first_line(*command: str) -> str:
    """Return the first line that a program prints; nothing if it is not installed."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout.partition("\n")[0]
