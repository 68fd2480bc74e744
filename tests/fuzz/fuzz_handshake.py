"""`python -m tests.fuzz.fuzz_handshake CORPUS`: see run.sh, which builds what this needs."""

import sys

import atheris  # type: ignore[import-not-found,import-untyped,unused-ignore]

from tests.fuzz.harness import check_extensions, check_handshake


def check(data: bytes) -> None:
    check_handshake(data)
    check_extensions(data)


atheris.Setup(sys.argv, check)
atheris.Fuzz()
