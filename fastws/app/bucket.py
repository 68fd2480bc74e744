"""A token bucket: how fast messages may come."""

from collections.abc import Callable
from time import monotonic
from typing import Self

from fastws.limits import Limits

# A peer that was silent may catch up with so many seconds' worth at once.
BURST = 2.0


class Bucket:
    """Messages and bytes that a peer may send in a second, each with a burst.

    Attributes:
        reason: which limit was exceeded, for the close frame.
        exceeded: the same for metrics: "messages" or "bytes".
    """

    __slots__ = (
        "_at",
        "_bytes",
        "_clock",
        "_messages",
        "byte_rate",
        "exceeded",
        "message_rate",
        "reason",
    )

    def __init__(
        self,
        message_rate: float | None,
        byte_rate: float | None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.message_rate = message_rate
        self.byte_rate = byte_rate
        self.reason = self.exceeded = ""
        self._clock = clock
        self._at = clock()
        self._messages = _capacity(message_rate)
        self._bytes = _capacity(byte_rate)

    @classmethod
    def for_limits(cls, limits: Limits) -> Self | None:
        """Gives a bucket if the limits ask for one."""
        if limits.max_message_rate is None and limits.max_byte_rate is None:
            return None
        return cls(limits.max_message_rate, limits.max_byte_rate)

    def take(self, size: int) -> bool:
        """Counts a message of `size` bytes; tells whether it is within the rates."""
        now = self._clock()
        # A clock that is set back gives nothing, and takes nothing away.
        passed, self._at = max(0.0, now - self._at), now
        if (rate := self.message_rate) is not None:
            self._messages = min(self._messages + passed * rate, _capacity(rate)) - 1
            if self._messages < 0:
                return self._exceed(rate, "messages")
        if (rate := self.byte_rate) is not None:
            self._bytes = min(self._bytes + passed * rate, _capacity(rate)) - size
            if self._bytes < 0:
                return self._exceed(rate, "bytes")
        return True

    def _exceed(self, rate: float, what: str) -> bool:
        self.reason = f"over {rate:g} {what} in a second"
        self.exceeded = what
        return False


def _capacity(rate: float | None) -> float:
    # One at least: a rate of 0.1 is one message in ten seconds.
    return max(1.0, BURST * rate) if rate else 0.0
