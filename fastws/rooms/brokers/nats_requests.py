"""Requests to NATS of which many are on their way at once, and answers of several messages."""

import asyncio
from typing import NamedTuple

from nats.aio.client import Client
from nats.aio.msg import Msg

# What the server sets: a code, as in HTTP, of a message that is no answer or the end of one.
STATUS = "Status"


class _Request(NamedTuple):
    several: bool
    answer: asyncio.Future[list[Msg]]
    messages: list[Msg]


class Requests:
    """The requests of one connection. nats-py's own has a time-out for each, and one answer.

    Args:
        client: it is connected.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._inbox = client.new_inbox()
        self._count = 0
        self._requests: dict[str, _Request] = {}

    async def open(self) -> None:
        """Subscribes to answers."""
        await self._client.subscribe(
            f"{self._inbox}.*", cb=self._take, pending_msgs_limit=0, pending_bytes_limit=0
        )

    async def ask(
        self,
        subject: str,
        data: bytes,
        headers: dict[str, str] | None = None,
        *,
        several: bool = False,
    ) -> asyncio.Future[list[Msg]]:
        """Sends a request; gives what the answer comes to.

        Args:
            subject: where to.
            data: what is asked.
            headers: those of the message.
            several: whether the answer goes on to a message with a `STATUS`.
        """
        self._count += 1
        name = f"{self._inbox}.{self._count}"
        answer: asyncio.Future[list[Msg]] = asyncio.get_running_loop().create_future()
        self._requests[name] = _Request(several, answer, [])
        await self._client.publish(subject, data, reply=name, headers=headers)
        return answer

    async def _take(self, message: Msg) -> None:
        request = self._requests.get(message.subject)
        if request is None:
            return
        request.messages.append(message)
        if not request.several or status_of(message) is not None:
            del self._requests[message.subject]
            if not request.answer.done():
                request.answer.set_result(request.messages)


def status_of(message: Msg) -> str | None:
    """Gives the `STATUS` of a message."""
    return None if message.headers is None else message.headers.get(STATUS)
