"""The connection to NATS.

What has no history goes by its core: at most once, without a number or an answer to a message.
Numbers are the publisher's own, so a receiver sees when one of a publisher's messages did not come.
The answer is that to a PING: NATS has handled all that was sent before.

What has a history goes by JetStream, in `nats_streams`; it comes by the same subject.

nats-py connects; to connect again is left to the broker, as nats-py would go on with messages that
were refused meanwhile.
"""

import asyncio
import random
from itertools import chain, repeat
from typing import Any, NoReturn
from urllib.parse import urlsplit

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import NoServersError

from fastws.closing import CloseCode
from fastws.errors import ProtocolError
from fastws.rooms.brokers.engine import Take, Wanted
from fastws.rooms.brokers.history import NO_RECEIPT, History, Log, Receipt
from fastws.rooms.brokers.nats_servers import servers_of
from fastws.rooms.brokers.nats_streams import Streams
from fastws.rooms.brokers.nats_subjects import Subjects
from fastws.rooms.brokers.numbering import (
    EngineProgress,
    Numbered,
    Numbering,
    Progress,
    PublisherProgress,
    read,
    write,
)
from fastws.rooms.brokers.outgoing import Parcel

# Until a server has told, that which servers have by default, less what we put before a payload.
MAX_SIZE = 1024 * 1024
HEADER = 64
# It is the broker who knows how long to wait.
FOR_EVER = 10**6


class NatsEngine:
    """A connection to one of several NATS servers; see `fastws.rooms.brokers.engine.Engine`.

    Args:
        url: of one or several servers; see `fastws.rooms.brokers.nats_servers.servers_of`.
        prefix: what the subjects of all channels begin with.

    Raises:
        ValueError: the URL makes no sense.
    """

    def __init__(self, url: str, prefix: str) -> None:
        self._servers = servers_of(url)
        places = (server.url.partition("://")[2] for server in self._servers)
        self.name = f"{urlsplit(url).scheme}://{','.join(places)}"
        self._subjects = Subjects(prefix)
        # Another one with each attempt.
        self._next = random.randrange(len(self._servers))  # noqa: S311
        self._client: Client | None = None
        self._streams: Streams | None = None
        # Done with the reason when the connection has ended.
        self._ended: asyncio.Future[Exception] | None = None
        self._subscriptions: dict[str, Subscription] = {}
        self._take: Take = _nobody
        self._numbering = Numbering()
        self._max_size = MAX_SIZE

    def progress(self, history: History | None) -> Progress:
        """See `Engine`."""
        return PublisherProgress() if history is None else EngineProgress(kept=True)

    def check(self, parcel: Parcel) -> None:
        """See `Engine`."""
        if parcel.message_id is not None and parcel.history is None:
            raise ValueError("NATS knows ids of messages only in a room that has a history")
        if len(parcel.payload) + HEADER > self._max_size:
            reason = f"NATS takes no message of more than {self._max_size - HEADER} bytes"
            raise ProtocolError(CloseCode.MESSAGE_TOO_BIG, reason)

    async def connect(self, histories: list[History]) -> None:
        """See `Engine`."""
        ended = self._ended = asyncio.get_running_loop().create_future()

        async def on_error(error: Exception) -> None:
            # nats-py goes on after some, such as a subject that is not allowed. It would be deaf.
            if not ended.done():
                ended.set_result(error)

        async def on_closed() -> None:
            await on_error(ConnectionError("the connection has ended"))

        self._next = (self._next + 1) % len(self._servers)
        self._client = Client()
        try:
            await self._servers[self._next].connect(
                self._client,
                name="fastws",
                allow_reconnect=False,
                # Else it would go on for minutes with a server that is not there.
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
                closed_cb=on_closed,
                error_cb=on_error,
                pending_size=0,
            )
        except NoServersError:
            raise await ended from None
        self._max_size = self._client.max_payload
        self._streams = Streams(self._client, self._subjects, self._max_size)
        await self._streams.open(histories)

    async def close(self) -> None:
        """See `Engine`."""
        client, self._client, self._streams = self._client, None, None
        self._subscriptions.clear()
        if client is not None:
            _abort(client)

    async def receive(self, take: Take) -> NoReturn:
        """See `Engine`."""
        assert self._ended is not None
        self._take = take
        raise await self._ended

    async def change(self, subscribe: list[str], unsubscribe: list[str]) -> None:
        """See `Engine`."""
        for channel in unsubscribe:
            await self._subscriptions.pop(channel).unsubscribe()
        for channel in subscribe:
            await self._subscribe(channel)
        await self._ping()

    async def _subscribe(self, channel: str) -> None:
        async def on_message(message: Msg) -> None:
            assert self._streams is not None
            if message.headers is None:
                numbered = read(message.data)
            else:
                numbered = self._streams.read(message.headers, message.data)
            if self._take(channel, numbered):
                await asyncio.sleep(0)

        # No limits: between two turns of the loop no more comes in than what is read at once.
        self._subscriptions[channel] = await self._connection().subscribe(
            self._subjects.of(channel), cb=on_message, pending_msgs_limit=0, pending_bytes_limit=0
        )

    async def send(self, batch: list[Parcel]) -> list[Receipt | str]:
        """See `Engine`."""
        client = self._connection()
        assert self._streams is not None
        answers: list[asyncio.Future[list[Msg]] | None] = []
        for parcel in batch:
            if parcel.history is None:
                data = write(self._numbering.number(parcel.channel, parcel.payload))
                await client.publish(self._subjects.of(parcel.channel), data)
                answers.append(None)
            else:
                answers.append(await self._streams.publish(parcel, parcel.history))
        if None in answers:
            await self._ping()
        receipts: list[Receipt | str] = []
        for parcel, answer in zip(batch, answers, strict=True):
            if parcel.history is None or answer is None:
                receipts.append(NO_RECEIPT)
            else:
                receipts.append(self._streams.receipt(parcel.history, await answer))
        return receipts

    async def recall(self, wanted: list[Wanted]) -> list[Log]:
        """See `Engine`."""
        assert self._streams is not None
        return await self._streams.recall(wanted)

    async def ask(self) -> None:
        """See `Engine`."""
        await self._ping()
        if self._streams is not None:
            await self._streams.verify()

    async def _ping(self) -> None:
        client = self._connection()
        # A PING goes out at once, and what was published before in one of the next turns.
        pauses = chain(repeat(0, 8), repeat(0.01))
        while client.pending_data_size:  # noqa: ASYNC110
            await asyncio.sleep(next(pauses))
        try:
            # Not flush(), which is content when nobody reads the answer any more.
            await client.rtt(FOR_EVER)
        except asyncio.CancelledError:
            # The answer to a PING that nobody waits for any more is too much for nats-py.
            _abort(client)
            raise

    def _connection(self) -> Client:
        if self._client is None:
            raise ConnectionError("not connected")
        return self._client


def _nobody(channel: str, message: Numbered | None) -> bool:
    """Is whom messages are for before anybody receives."""
    return False


def _abort(client: Client) -> None:
    """Ends TCP and all tasks of a connection, whatever is still to be sent.

    close() would wait for that as long as it takes; and where it is cancelled, or the reading task
    that has begun with it at the end of TCP, the tasks of the subscriptions would stay for ever.
    """
    tasks: list[Any] = [client._reading_task, client._ping_interval_task, client._flusher_task]
    tasks += [subscription._wait_for_msgs_task for subscription in client._subs.values()]
    for task in tasks:
        if task is not None:
            task.cancel()
    writer: Any = getattr(client._transport, "_io_writer", None)
    if writer is not None:
        writer.transport.abort()
    # What nats-py may still have begun ends when it sees that.
    client._transport = None
