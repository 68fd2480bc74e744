"""More and more users, in equal steps: where does it bend?"""

from math import floor

from loadtest.shapes.base import Shape

STEPS = 5


class Steps(Shape):
    """One more fifth of the users in each fifth of the time."""

    def part(self, passed: float) -> float:
        """Goes up in steps."""
        return (floor(STEPS * passed) + 1) / STEPS
