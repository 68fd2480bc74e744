"""What a proof has found, and whether that is what was wanted."""

from typing import NamedTuple

from benchmarks.table import table


class Finding(NamedTuple):
    """One line of a report.

    Attributes:
        what: was looked at.
        found: what it is.
        wanted: what it has to be; "" if it is only told.
        met: whether it is so.
    """

    what: str
    found: str
    wanted: str = ""
    met: bool = True


def report(findings: list[Finding]) -> str:
    """Gives a table; what is not as it has to be is in bold."""
    rows = [
        [what, found if met else f"**{found}**", wanted] for what, found, wanted, met in findings
    ]
    return table(("", "found", "wanted"), rows)
