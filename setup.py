"""Build the compiled modules, one for every .pyx. All other metadata is in pyproject.toml."""

import os
import shutil
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py
from setuptools.errors import CCompilerError, PlatformError

WHAT_TO_DO = """
fastws is compiled on installation and needs a C compiler, Python's headers and zlib's headers:
    Debian, Ubuntu   apt-get install build-essential python3-dev zlib1g-dev
    Fedora           dnf install gcc python3-devel zlib-devel
    macOS            xcode-select --install
The compiler's own message is above this one."""

HEADERS = sorted(Path("fastws").rglob("*.h"))
CORES = os.cpu_count() or 1


class BuildPy(build_py):
    """`build_py` into an empty folder: a module that the tree has lost is not in the wheel."""

    def run(self) -> None:
        if not self.editable_mode:
            shutil.rmtree(self.build_lib, ignore_errors=True)
        super().run()


class BuildExt(build_ext):
    """`build_ext` on all cores, with a line for each module, and advice where it fails."""

    def finalize_options(self) -> None:
        super().finalize_options()
        self.parallel = self.parallel or CORES

    def run(self) -> None:
        # The generated C stays out of the sources, and is made anew only where a .pyx, or a .pxd
        # that it cimports, has changed.
        modules = cythonize(  # type: ignore[no-untyped-call]
            self.extensions, build_dir=self.build_temp, nthreads=CORES, quiet=True, force=self.force
        )
        for extension, module in zip(self.extensions, modules, strict=True):
            extension.sources = module.sources
        try:
            super().run()
        except (CCompilerError, PlatformError) as error:
            raise SystemExit(f"{error}\n{WHAT_TO_DO}") from None

    def build_extension(self, ext: Extension) -> None:
        number = 1 + self.extensions.index(ext)
        print(f"[{number:2}/{len(self.extensions)}] {ext.name}", flush=True)  # noqa: T201
        super().build_extension(ext)


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
    cmdclass={"build_py": BuildPy, "build_ext": BuildExt},
)
