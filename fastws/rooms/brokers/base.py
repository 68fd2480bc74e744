"""What a broker has to offer: bytes go to channels, and come from those that are subscribed to."""

from typing import Protocol

from fastws.rooms.brokers.history import Histories, Past, Position, Receipt


class Receiver(Protocol):
    """Whom a broker tells. Nothing here waits or raises."""

    def on_message(self, channel: str, payload: bytes, position: Position | None) -> None:
        """Takes a message of a channel that is subscribed to.

        Those of one channel come in one order: the same in all processes, if the engine has one.

        Args:
            channel: its name.
            payload: what was published.
            position: where in the channel, for all processes alike; of each message of a channel
                with a history, of others if the engine tells.
        """

    def on_gap(self, channel: str, lost: int | None) -> None:
        """Learns that messages of a channel did not come, before those that come after them.

        Args:
            channel: one that is subscribed to.
            lost: how many; None if nobody knows, and then there may have been none.
        """

    def on_foreign(self, channel: str) -> None:
        """Learns that something came that no broker of ours has sent; it was skipped."""


class Broker(Protocol):
    """Carries bytes between the processes that share an engine.

    The name of a channel is any str of at most 220 bytes of UTF-8, the empty one included; names
    that differ in any character are different. What an engine cannot have in a name, its broker
    escapes. It knows nothing of rooms, of members, or of what the bytes mean.

    Attributes:
        receiver: who is told; set before `start`.
        histories: what is kept of which channels; set before `start`, too.
        local: whether it carries to this process only.
        connected: whether the engine is there, and knows all subscriptions.
    """

    receiver: Receiver | None
    histories: Histories

    @property
    def local(self) -> bool: ...  # noqa: D102

    @property
    def connected(self) -> bool: ...  # noqa: D102

    async def start(self) -> None:
        """Connects to the engine; one that is absent is tried again later, and logged."""

    async def stop(self) -> None:
        """Disconnects; the receiver is told nothing more."""

    def subscribe(self, channel: str) -> None:
        """Asks for what is published to a channel, without waiting until the engine knows.

        Called when the first member joins a room, also before `start`. What this process
        publishes afterwards comes. The broker itself sees to it that its subscriptions outlive a
        reconnect, and tells of the gap.
        """

    def unsubscribe(self, channel: str) -> None:
        """Asks for it no more; called when the last member has left a room."""

    async def settled(self) -> None:
        """Waits until the engine knows all that was asked for: from then on nothing is missed.

        Raises:
            OSError: the engine is out of reach; `fastws.errors.BrokerUnavailable`.
        """

    async def publish(self, channel: str, payload: bytes, message_id: str | None = None) -> Receipt:
        """Gives a message to all processes that are subscribed.

        To this one it comes as to the others, by `Receiver.on_message`, so that all see the same
        order. It returns once the engine has the message; what is published by one task after the
        other keeps its order.

        Args:
            channel: its name.
            payload: what to publish.
            message_id: if one with the same id was published to the channel within the last two
                minutes, as by somebody who did not know whether it had arrived, this goes to
                nobody.

        Raises:
            OSError: the engine is out of reach, or slower than what is published; it is not
                known whether anybody got it. `fastws.errors.BrokerUnavailable`.
            ProtocolError: the engine takes no message as large as that.
            ValueError: the engine cannot tell a message of the same id in this channel.
        """

    async def past(self, channel: str, since: Position | None) -> Past:
        """Gives what was published to a channel that has a history after a position, in parts.

        Args:
            channel: its name.
            since: as `Receiver.on_message` or `publish` has told; None to learn the newest one.

        Raises:
            OSError: the engine is out of reach.
            RuntimeError: the channel has no history.
        """
