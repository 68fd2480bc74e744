"""`fastws check-deploy`: say which limit of this machine stops connections first."""

import sys
from typing import NoReturn

from fastws.cli.options import limits
from fastws.deployment import bounds, report


def check_deploy(connections: int) -> NoReturn:
    """Print how many connections each limit allows; exit code 1 if that is fewer than wanted.

    Args:
        connections: how many are wanted.
    """
    found = sorted(bounds(limits()))
    sys.stdout.write(report(found))
    sys.exit(int(found[0].connections < connections))
