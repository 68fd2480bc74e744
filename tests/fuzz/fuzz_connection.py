"""`python -m tests.fuzz.fuzz_connection CORPUS`: see run.sh, which builds what this needs."""

import sys

import atheris  # type: ignore[import-not-found,import-untyped,unused-ignore]

from tests.fuzz.harness import check_connection

atheris.Setup(sys.argv, check_connection)
atheris.Fuzz()
