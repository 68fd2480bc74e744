"""The command line.

- `run`: `fastws run MODULE:APP`, uvicorn with our protocol classes, our defaults and our limits
- `drain`: `fastws drain PID`, the end of one, waited for
- `options`: what the commands take, and where the limits come from

`fastws check-deploy` says which limit of the machine stops connections first.
"""

import sys
from collections.abc import Sequence
from typing import NoReturn

from fastws.cli.drain import drain
from fastws.cli.options import limits, parser
from fastws.cli.run import run
from fastws.deployment import bounds, report


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command line."""
    options = vars(parser().parse_args(argv))
    match options.pop("command"):
        case "run":
            run(options)
        case "drain":
            drain(options["pid"], options.get("timeout"))
        case "check-deploy":
            _check_deploy(options.get("connections", 0))


def _check_deploy(connections: int) -> NoReturn:
    found = sorted(bounds(limits()))
    sys.stdout.write(report(found))
    sys.exit(int(found[0].connections < connections))
