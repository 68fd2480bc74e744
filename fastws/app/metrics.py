"""What has happened, in Prometheus' text format.

Everything is counted always, as plain numbers: by our server in compiled code, by the rooms, and
by `fastws.app.counters` for the rest and for other servers. Here the numbers get their names, when
somebody asks for them; that takes as long as there are connections and members, not messages.

Each worker has its own figures: those of the process that answers. What a server does not tell is
left out, rather than 0: other servers than ours keep their buffers, their pings and their own
refusals to themselves. No label has a value that a client chooses.
"""

from collections.abc import Iterator, Mapping, Sequence
from math import inf
from typing import TYPE_CHECKING, Any

from fastws.app.counters import Counters
from fastws.app.http import Response
from fastws.rooms import Rooms

try:
    import prometheus_client
    from prometheus_client.core import (
        CounterMetricFamily,
        GaugeMetricFamily,
        HistogramMetricFamily,
    )
except ImportError:
    INSTALLED = False
else:
    INSTALLED = True

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Metric

# Of the two that prometheus-client may say, the one that every Prometheus reads.
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
MISSING = b"metrics need prometheus-client: pip install 'fastws-asgi[metrics]'\n"

# The attribute that is the value, the name, the help.
TRAFFIC = (
    ("messages_received", "fastws_received_messages", "Messages of clients that were complete."),
    ("bytes_received", "fastws_received_bytes", "Bytes of their payloads, inflated."),
    ("messages_sent", "fastws_sent_messages", "Messages to clients, handed to connections."),
    ("bytes_sent", "fastws_sent_bytes", "Bytes of their payloads, before they are deflated."),
)
FANOUT = (
    ("published", "fastws_published_messages", "Messages that came to rooms of this process."),
    ("deliveries", "fastws_deliveries", "Published messages times members that got them."),
    ("seconds", "fastws_fanout_seconds", "Time that was spent on giving them to members."),
    ("foreign", "fastws_foreign_messages", "What a broker brought that is no message of ours."),
    ("gaps", "fastws_gaps", "Times that messages to a room here did not come from the broker."),
    ("resumed", "fastws_resumed", "Times that a member came back into a room with a history."),
    ("recovered", "fastws_recovered", "Times that it then got all that it had missed."),
    (
        "expired",
        "fastws_presence_expired_workers",
        "Workers that were silent for longer than presence_lease.",
    ),
    ("queued", "fastws_outbox_queued_messages", "Deliveries that had to wait in an outbox."),
    (
        "dropped",
        "fastws_outbox_dropped_messages",
        "Messages that the policies drop-oldest and drop-newest dropped.",
    ),
    (
        "conflated",
        "fastws_outbox_conflated_messages",
        "Messages that were replaced by a newer one of their key, by the policy latest-by-key.",
    ),
    (
        "undelivered",
        "fastws_outbox_undelivered_messages",
        "Messages that were in an outbox when their connection ended.",
    ),
    (
        "disconnected",
        "fastws_slow_consumers",
        "Members that were closed since their outbox was full, by the policies disconnect "
        "and latest-by-key.",
    ),
)


class Metrics:
    """The metrics of an `App`.

    Args:
        rooms: those of the app.

    Attributes:
        counters: what the connections of the app count.
        registry: what is told; metrics of one's own can be registered here, or a
            `prometheus_client.ProcessCollector`, which is not there by itself since it lists all
            file descriptors. None without prometheus-client.
    """

    def __init__(self, rooms: Rooms) -> None:
        self.counters = Counters()
        self.rooms = rooms
        self.registry: CollectorRegistry | None = None
        if INSTALLED:
            self.registry = prometheus_client.CollectorRegistry()
            self.registry.register(self)

    def respond(self, extensions: Mapping[str, Any]) -> Response:
        """Answers a scrape; with 501 if prometheus-client is not installed.

        Args:
            extensions: those of the request's scope. Our server's counters are there even
                before there has been a WebSocket.
        """
        if self.registry is None:
            return Response(MISSING, status=501)
        if "fastws" in extensions:
            self.counters.server = extensions["fastws"]["counters"]
        return Response(prometheus_client.generate_latest(self.registry), CONTENT_TYPE)

    def collect(self) -> Iterator["Metric"]:
        """Gives all metrics; called by the registry."""
        yield from self._handshakes()
        yield from self._connections()
        for attribute, name, text in TRAFFIC:
            yield CounterMetricFamily(name, text, getattr(self.counters.server, attribute))
        yield from self._faults()
        yield _gauge("fastws_rooms", "Rooms that have members here.", len(self.rooms.names()))
        yield _gauge("fastws_room_members", "Who is in any room.", self.rooms.population)
        yield _gauge(
            "fastws_broker_connected", "Whether the broker is.", self.rooms.broker.connected
        )
        yield _gauge(
            "fastws_presence_members",
            "Who is, anywhere, in the rooms with a presence that this worker looks at.",
            self.rooms.presence_known,
        )
        for attribute, name, text in FANOUT:
            yield CounterMetricFamily(name, text, getattr(self.rooms.counters, attribute))

    def _handshakes(self) -> Iterator["Metric"]:
        server = self.counters.server
        yield _counters(
            "fastws_handshakes",
            "Opening handshakes by outcome; abandoned by clients that left before the answer.",
            ["outcome"],
            {
                ("accepted",): server.accepted,
                ("refused",): sum(server.refusals.values()),
                ("abandoned",): server.abandoned,
            },
        )
        yield _counters(
            "fastws_handshake_refusals",
            "Handshakes, and requests that did not get that far, by who refused them, the app or "
            "the server, and by HTTP status; 0 if TCP was ended without an answer.",
            ["by", "status"],
            {(by, str(status)): count for (by, status), count in server.refusals.items()},
        )

    def _connections(self) -> Iterator["Metric"]:
        server = self.counters.server
        closed = sum(server.closes.values())
        yield _gauge("fastws_connections", "Open WebSockets.", server.accepted - closed)
        yield _counters(
            "fastws_closes",
            "WebSockets that ended, by close code and by who began it: the client, the server "
            "(for the app, too), or the network if TCP ended without a close frame.",
            ["code", "by"],
            server.closes,
        )
        waiting = {("outbox",): self.rooms.outbox_size}
        if (buffered := server.buffered()) is not None:
            waiting["unsent",], waiting["unread",] = buffered
        buffers = GaugeMetricFamily(
            "fastws_buffered_bytes",
            "Bytes that wait: received for the app (unread), sent for the client (unsent), "
            "published for a member that is behind (outbox).",
            labels=["queue"],
        )
        for labels, size in waiting.items():
            buffers.add_metric(labels, size)
        yield buffers
        if (buckets := server.rtt_buckets()) is not None:
            yield HistogramMetricFamily(
                "fastws_ping_rtt_seconds",
                "Round-trip times of pings that were answered.",
                [("+Inf" if bound == inf else str(bound), count) for bound, count in buckets],
                server.rtt_sum,
            )

    def _faults(self) -> Iterator["Metric"]:
        yield _counters(
            "fastws_bad_messages",
            "Messages that could not be read, by the code of the error that answered them.",
            ["code"],
            {(code,): count for code, count in self.counters.bad_messages.items()},
        )
        limited = self.counters.rate_limited
        yield _counters(
            "fastws_rate_limit_closes",
            "WebSockets that were closed since they sent too many messages or bytes in a second.",
            ["limit"],
            {(what,): limited[what] for what in ("messages", "bytes")},
        )


def _gauge(name: str, text: str, value: float) -> "Metric":
    return GaugeMetricFamily(name, text, value)


def _counters(name: str, text: str, labels: Sequence[str], values: Mapping[Any, float]) -> "Metric":
    family = CounterMetricFamily(name, text, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family
