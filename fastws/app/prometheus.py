"""Metrics in Prometheus' text format; the one module that needs prometheus-client.

The numbers get their names here, when Prometheus asks. That takes as long as there are connections
and members, not messages.

What a server does not tell is left out, rather than 0: other servers than ours keep their buffers,
their pings and their own refusals to themselves. No label has a value that a client chooses.
"""

from collections.abc import Iterator, Mapping, Sequence
from math import inf
from typing import Any

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)

from fastws.app.counters import Counters
from fastws.rooms import Rooms

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


class Collector:
    """What a registry asks for the metrics of an `App`.

    Args:
        counters: what the connections of the app count.
        rooms: those of the app.
    """

    def __init__(self, counters: Counters, rooms: Rooms) -> None:
        self.counters = counters
        self.rooms = rooms

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics; the registry calls it."""
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

    def _handshakes(self) -> Iterator[Metric]:
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

    def _connections(self) -> Iterator[Metric]:
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

    def _faults(self) -> Iterator[Metric]:
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


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value)


def _counters(name: str, text: str, labels: Sequence[str], values: Mapping[Any, float]) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family


def registry_of(counters: Counters, rooms: Rooms) -> CollectorRegistry:
    """Make a registry that has the metrics of an `App`."""
    registry = CollectorRegistry()
    registry.register(Collector(counters, rooms))
    return registry
