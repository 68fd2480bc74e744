"""What a broker needs of an engine: one connection, that can be made again and again."""

from collections.abc import Callable
from typing import NoReturn, Protocol

from fastws.rooms.brokers.numbering import Position
from fastws.rooms.brokers.outgoing import Parcel

# Takes what came to a channel; tells whether it is time for a turn of the loop.
Take = Callable[[str, bytes], bool]


class Engine(Protocol):
    """The connection to an engine.

    What fails raises, whatever it is; then `close` is called. All of it is cancelled at any time.

    Attributes:
        name: where it is, for logs; without passwords.
    """

    name: str

    def position(self) -> Position:
        """Gives a position at the start of a channel."""

    async def connect(self) -> None:
        """Connects."""

    async def receive(self, take: Take) -> NoReturn:
        """Gives what comes, for as long as there is a connection."""

    async def change(self, subscribe: list[str], unsubscribe: list[str]) -> None:
        """Changes the subscriptions; returns when the engine knows."""

    async def send(self, batch: list[Parcel]) -> None:
        """Publishes messages in their order; returns when the engine has them.

        Raises:
            BrokerUnavailable: the engine refuses; the connection is as good as before.
        """

    async def ask(self) -> None:
        """Returns when the engine has answered."""

    async def close(self) -> None:
        """Ends the connection, if there is one; neither raises nor waits for the engine."""

    def check_size(self, payload: bytes) -> None:
        """Raises a ProtocolError for a message that is larger than the engine takes."""
