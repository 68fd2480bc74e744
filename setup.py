"""Builds the compiled modules: one for every .pyx. All other metadata is in pyproject.toml."""

import os
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CCompilerError, PlatformError

WHAT_TO_DO = """
fastws is compiled on installation and needs a C compiler, Python's headers and zlib's headers:
    Debian, Ubuntu   apt-get install build-essential python3-dev zlib1g-dev
    Fedora           dnf install gcc python3-devel zlib-devel
    macOS            xcode-select --install
The compiler's own message is above this one."""


class BuildExt(build_ext):
    """`build_ext` that keeps the generated C out of the sources, and says what it lacks."""

    def initialize_options(self) -> None:
        super().initialize_options()
        self.cython_c_in_temp = True

    def run(self) -> None:
        try:
            super().run()
        except (CCompilerError, PlatformError) as error:
            raise SystemExit(f"{error}\n{WHAT_TO_DO}") from None


HEADERS = [path for kind in ("*.pxd", "*.h") for path in Path("fastws").rglob(kind)]


def extension(path: Path) -> Extension:
    return Extension(
        ".".join(path.with_suffix("").parts),
        [str(path)],
        depends=[str(header) for header in HEADERS],
        include_dirs=sorted({str(header.parent) for header in HEADERS}),
        libraries=["z"] if path.stem == "deflate" else [],
        # Sanitizers and debuggers bring their own level of optimisation.
        extra_compile_args=[] if "CFLAGS" in os.environ else ["-O3", "-g0"],
    )


setup(
    ext_modules=[extension(path) for path in sorted(Path("fastws").rglob("*.pyx"))],
    cmdclass={"build_ext": BuildExt},
)
