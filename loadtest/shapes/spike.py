"""Few users, then all at once, then few again: what is left of it?"""

from loadtest.shapes.base import Shape

CALM = 0.1
BEGIN, END = 0.4, 0.6


class Spike(Shape):
    """A tenth of the users, and all of them in the fifth of the time that is in the middle."""

    def part(self, passed: float) -> float:
        """Goes up at once, and down at once."""
        return 1 if BEGIN <= passed < END else CALM
