"""What is counted for metrics: plain numbers, always."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Protocol

from fastws.app.portable import Event, Receive, Send, end_of
from fastws.closing import label


class ServerCounters(Protocol):
    """What our server counts, as `docs/extension.md` describes it."""

    messages_received: int
    bytes_received: int
    messages_sent: int
    bytes_sent: int
    accepted: int
    abandoned: int
    rtt_sum: float

    @property
    def closes(self) -> dict[tuple[str, str], int]:
        """Ends by the label of the code and who began it."""

    @property
    def refusals(self) -> dict[tuple[str, int], int]:
        """Refused requests by who did it and the HTTP status."""

    def buffered(self) -> tuple[int, int] | None:
        """Gives bytes that wait to be sent, and to be received; None if only the server knows."""

    def rtt_buckets(self) -> list[tuple[float, int]] | None:
        """Gives how many pings were answered in which time; None if only the server knows."""


class PortableCounters:
    """The same, for servers that do not count: as far as ASGI events can tell."""

    rtt_sum = 0.0

    def __init__(self) -> None:
        self.messages_received = 0
        self.bytes_received = 0
        self.messages_sent = 0
        self.bytes_sent = 0
        self.accepted = 0
        self.abandoned = 0
        self.closes: Counter[tuple[str, str]] = Counter()
        self.refusals: Counter[tuple[str, int]] = Counter()

    def buffered(self) -> None:
        """Tells nothing: only the server knows."""

    def rtt_buckets(self) -> None:
        """Tells nothing: only the server knows."""


@dataclass(slots=True)
class Counters:
    """What the connections of an `App` have come to, since its start.

    Attributes:
        portable: the events of connections on other servers than ours.
        server: what our server has counted, once it has told; else `portable`.
        bad_messages: messages that could not be read, by the code of the `Error`.
        rate_limited: connections that were closed for ``max_message_rate`` and ``max_byte_rate``,
            as "messages" and "bytes".
    """

    portable: PortableCounters = field(default_factory=PortableCounters)
    server: ServerCounters = field(init=False)
    bad_messages: Counter[str] = field(default_factory=Counter)
    rate_limited: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.server = self.portable


class CountedEvents:
    """The ASGI events of one connection, counted as they pass.

    A close code that the server tells is taken for the client's, unless it is 1006.

    Attributes:
        counters: where they are counted.
    """

    __slots__ = ("_accepted", "_ended", "_receive", "_send", "counters")

    def __init__(self, receive: Receive, send: Send, counters: PortableCounters) -> None:
        self._receive = receive
        self._send = send
        self._accepted = False
        self._ended = False
        self.counters = counters

    async def receive(self) -> Any:
        """Receives an event."""
        event = await self._receive()
        if event["type"] == "websocket.receive":
            self.counters.messages_received += 1
            self.counters.bytes_received += _size_of_message(event)
        elif event["type"] == "websocket.disconnect":
            code, _, clean = end_of(event)
            self._end(code, "client" if clean else "network")
        return event

    async def send(self, event: Event) -> None:
        """Sends an event; it counts if the server takes it."""
        await self._send(event)
        match event["type"]:
            case "websocket.send":
                self.counters.messages_sent += 1
                self.counters.bytes_sent += _size_of_message(event)
            case "websocket.accept":
                self._accepted = True
                self.counters.accepted += 1
            case "websocket.close" if self._accepted:
                self._end(event["code"], "server")
            case "websocket.close":
                self._refuse(403)
            case "websocket.http.response.start":
                self._refuse(event["status"])

    def finish(self) -> None:
        """Counts an end that no event has told: the client was gone when the app wanted to send."""
        self._end(1006, "network")

    def _end(self, code: int, by: str) -> None:
        if self._ended:
            return
        self._ended = True
        if self._accepted:
            self.counters.closes[label(code), by] += 1
        else:
            self.counters.abandoned += 1

    def _refuse(self, status: int) -> None:
        self._ended = True
        self.counters.refusals["app", status] += 1


def _size_of_message(event: Event) -> int:
    text = event.get("text")
    return size_of(event["bytes"] if text is None else text)


def size_of(payload: str | bytes) -> int:
    """Gives the bytes of a payload, of a text in UTF-8."""
    if isinstance(payload, bytes) or payload.isascii():
        return len(payload)
    return len(payload.encode("utf-8", "surrogatepass"))
