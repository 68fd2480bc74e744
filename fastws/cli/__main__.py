"""`python -m fastws.cli` is `fastws`."""

from fastws.cli import main

main()
