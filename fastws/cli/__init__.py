"""The command line: `fastws`, or `python -m fastws`.

- `run`: `fastws run MODULE:APP`, uvicorn with our protocol classes, our defaults and our limits
- `drain`: `fastws drain PID`, the end of one, waited for
- `deploy`: `fastws check-deploy`, which limit of the machine stops connections first
- `options`: what the commands take, and where the limits come from
- `version`: `fastws --version`

Each command imports only what it needs.
"""

from collections.abc import Sequence

from fastws.cli.failing import fail
from fastws.cli.options import parser
from fastws.extras import MissingPackage


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line."""
    options = vars(parser().parse_args(argv))
    try:
        match options.pop("command"):
            case "run":
                from fastws.cli.run import run

                run(options)
            case "drain":
                from fastws.cli.drain import drain

                drain(options["pid"], options.get("timeout"))
            case "check-deploy":
                from fastws.cli.deploy import check_deploy

                check_deploy(options.get("connections", 0))
    except MissingPackage as missing:
        fail(str(missing))
