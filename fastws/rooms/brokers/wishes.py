"""What a process wants to hear, and what of it the engine does not know yet."""

from collections.abc import Iterator


class Wishes:
    """The channels that are wanted, and how that differs from what the engine was told.

    To want and not to want may change as often as it likes: what is told is only the difference.
    """

    def __init__(self) -> None:
        self._wanted: set[str] = set()
        self._told: set[str] = set()
        self._changed: set[str] = set()

    def __contains__(self, channel: str) -> bool:
        return channel in self._wanted

    def __iter__(self) -> Iterator[str]:
        return iter(self._wanted)

    def __bool__(self) -> bool:
        return bool(self._changed)

    def add(self, channel: str) -> None:
        """Wants a channel."""
        self._wanted.add(channel)
        self._compare(channel)

    def discard(self, channel: str) -> None:
        """Wants it no more."""
        self._wanted.discard(channel)
        self._compare(channel)

    def take(self) -> tuple[list[str], list[str]]:
        """Gives what to subscribe to and what to unsubscribe from; that counts as told."""
        on = [channel for channel in self._changed if channel in self._wanted]
        off = [channel for channel in self._changed if channel in self._told]
        self._told.update(on)
        self._told.difference_update(off)
        self._changed.clear()
        return on, off

    def start_over(self) -> None:
        """Has to do with an engine that knows nothing."""
        self._told.clear()
        self._changed = set(self._wanted)

    def _compare(self, channel: str) -> None:
        if (channel in self._wanted) is (channel in self._told):
            self._changed.discard(channel)
        else:
            self._changed.add(channel)
