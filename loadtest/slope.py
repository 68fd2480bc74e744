"""Whether something grows: a line through what was measured, by least squares."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean

HOUR = 3600.0
# Of two standard errors, one in forty is above by chance.
CONFIDENCE = 2.0


@dataclass(frozen=True)
class Line:
    """A line through points.

    Attributes:
        level: the mean of the values.
        slope: how much they grow in an hour.
        error: the standard error of the slope.
    """

    level: float
    slope: float
    error: float

    def exceeds(self, allowed: float) -> bool:
        """Tells whether the values grow by more than this in an hour, and not just by chance."""
        return self.slope - CONFIDENCE * self.error > allowed


def fit(times: Sequence[float], values: Sequence[float]) -> Line:
    """Fits a line.

    Args:
        times: in seconds.
        values: one for each time.

    Raises:
        ValueError: fewer than three points, or all at one time.
    """
    count = len(times)
    if count < 3 or min(times) == max(times):
        raise ValueError("a line takes three points at different times")
    middle, level = fmean(times), fmean(values)
    spread = sum((time - middle) ** 2 for time in times)
    pairs = list(zip(times, values, strict=True))
    slope = sum((time - middle) * (value - level) for time, value in pairs) / spread
    rest = sum((value - level - slope * (time - middle)) ** 2 for time, value in pairs)
    error = sqrt(rest / (count - 2) / spread)
    return Line(level, slope * HOUR, error * HOUR)
