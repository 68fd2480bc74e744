"""What a broker has to offer: bytes go to channels, and come from those that are subscribed to."""

from typing import Protocol


class Receiver(Protocol):
    """Whom a broker tells; there may be more to tell one day than that a message came."""

    def on_message(self, channel: str, payload: bytes) -> None:
        """Takes a message of a channel that is subscribed to; neither waits nor raises.

        Those of one channel come in one order: the same in all processes, if the engine has one.
        """


class Broker(Protocol):
    """Carries bytes between the processes that share an engine.

    The name of a channel is any str of at most 200 bytes of UTF-8, the empty one included; names
    that differ in any character are different. What an engine cannot have in a name, its broker
    escapes. It knows nothing of rooms, of members, or of what the bytes mean.

    Attributes:
        receiver: who is told; set before `start`.
    """

    receiver: Receiver | None

    async def start(self) -> None:
        """Connects to the engine."""

    async def stop(self) -> None:
        """Disconnects; the receiver is told nothing more."""

    def subscribe(self, channel: str) -> None:
        """Asks for what is published to a channel, without waiting until the engine knows.

        Called when the first member joins a room, also before `start`. The broker itself sees to
        it that its subscriptions outlive a reconnect.
        """

    def unsubscribe(self, channel: str) -> None:
        """Asks for it no more; called when the last member has left a room."""

    async def publish(self, channel: str, payload: bytes) -> None:
        """Gives a message to all processes that are subscribed.

        To this one it comes as to the others, by `Receiver.on_message`, so that all see the same
        order: before this returns if nothing is between, else later.

        Raises:
            OSError: the engine is out of reach; it is not known whether anybody got it.
        """
