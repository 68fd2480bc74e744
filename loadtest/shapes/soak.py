"""The same load for a long time, between a slow start and a slow end."""

from loadtest.shapes.base import Shape

RAMP = 0.1


class Soak(Shape):
    """All users, but for the first tenth of the time and the last."""

    def part(self, passed: float) -> float:
        """Goes up slowly, stays, and goes down slowly."""
        return min(passed / RAMP, (1 - passed) / RAMP, 1)
