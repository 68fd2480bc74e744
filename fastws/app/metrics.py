"""What has happened: counted always, told in Prometheus' text format.

Everything is counted as plain numbers: by our server in compiled code, by the rooms, and by
`fastws.app.counters` for the rest and for other servers. Each worker has its own figures.

The first scrape loads prometheus-client.
"""

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from fastws.app.counters import Counters
from fastws.app.http import Response
from fastws.extras import MissingPackage, need
from fastws.rooms import Rooms

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

# Of the two that prometheus-client may say, the one that every Prometheus reads.
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """The metrics of an `App`.

    Args:
        rooms: those of the app.

    Attributes:
        counters: what the connections of the app count.
    """

    def __init__(self, rooms: Rooms) -> None:
        self.counters = Counters()
        self.rooms = rooms

    @cached_property
    def registry(self) -> "CollectorRegistry":
        """What a scrape is answered with; an app may register metrics of its own here.

        A `prometheus_client.ProcessCollector` has to be registered, too: it lists all file
        descriptors for each scrape.

        Raises:
            MissingPackage: prometheus-client is not installed.
        """
        need("metrics", "/metrics")
        from fastws.app.prometheus import registry_of

        return registry_of(self.counters, self.rooms)

    def respond(self, extensions: Mapping[str, Any]) -> Response:
        """Answer a scrape; with 501 if prometheus-client is not installed.

        Args:
            extensions: those of the request's scope. Our server's counters are there even
                before there has been a WebSocket.
        """
        try:
            registry = self.registry
        except MissingPackage as missing:
            return Response(f"{missing}\n".encode(), status=501)
        from prometheus_client import generate_latest

        if "fastws" in extensions:
            self.counters.server = extensions["fastws"]["counters"]
        return Response(generate_latest(registry), CONTENT_TYPE)
