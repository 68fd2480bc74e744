"""What a broker needs of an engine: one connection, that can be made again and again."""

from collections.abc import Callable
from typing import NamedTuple, NoReturn, Protocol

from fastws.rooms.brokers.history import History, Log, Receipt
from fastws.rooms.brokers.numbering import Numbered, Progress
from fastws.rooms.brokers.outgoing import Parcel

# Takes what came to a channel, None if that is none of ours; tells whether it is time for a turn
# of the loop.
Take = Callable[[str, Numbered | None], bool]


class Wanted(NamedTuple):
    """What is to be read of a channel.

    Attributes:
        channel: its name.
        history: what is kept of it.
        after: the number after which to begin; None to learn the newest one only.
    """

    channel: str
    history: History
    after: int | None


class Engine(Protocol):
    """The connection to an engine.

    What fails raises, whatever it is; then `close` is called. All of it is cancelled at any time.

    Attributes:
        name: where it is, for logs; without passwords.
    """

    name: str

    def progress(self, history: History | None) -> Progress:
        """Gives the progress at the start of a channel."""

    def check(self, parcel: Parcel) -> None:
        """Looks at what is to be published.

        Raises:
            ProtocolError: it is larger than the engine takes.
            ValueError: the engine cannot tell it by its id.
        """

    async def connect(self, histories: list[History]) -> None:
        """Connects, and prepares for what is to be kept."""

    async def receive(self, take: Take) -> NoReturn:
        """Gives what comes, for as long as there is a connection."""

    async def change(self, subscribe: list[str], unsubscribe: list[str]) -> None:
        """Changes the subscriptions; returns when the engine knows."""

    async def send(self, batch: list[Parcel]) -> list[Receipt | str]:
        """Publishes messages in their order; returns when the engine has them.

        Returns:
            What the engine says to each; a str is why it was not taken.

        Raises:
            BrokerUnavailable: the engine refuses all; the connection is as good as before.
        """

    async def recall(self, wanted: list[Wanted]) -> list[Log]:
        """Gives what is kept, of each channel about `CHUNK_SIZE` bytes at most.

        It may be called while the others run.

        Raises:
            BrokerUnavailable: as `send`.
        """

    async def ask(self) -> None:
        """Returns when the engine has answered, and has not forgotten what was."""

    async def close(self) -> None:
        """Ends the connection, if there is one; neither raises nor waits for the engine."""
