"""What a server is set up with: uvicorn's configuration, our classes, and the limits.

A limit comes from, in this order: the ``limits`` of our `Config`; the environment, one
``FASTWS_*`` variable per field of `Limits`; the options of uvicorn that mean the same.
"""

import math
import os
from typing import Any

import uvicorn

from fastws.limits import Limits, from_environment
from fastws.wire import Deflate

# What `Config` and `fastws run` change in uvicorn's defaults. Its loop, "auto", is uvloop
# already; its ws_max_size of 16 MiB remains where an app runs under plain uvicorn.
DEFAULTS: dict[str, Any] = {
    "http": "fastws.server.http:HttpProtocol",
    "ws": "fastws.server.protocol:WebSocketProtocol",
    "ws_max_size": Limits().max_message_size,
    # A worker's event loop has to turn now and then; uvicorn asks a thread, which always can.
    "timeout_worker_healthcheck": 15,
}


class Config(uvicorn.Config):
    """`uvicorn.Config` with our protocol classes, our limits and our compression.

    Attributes:
        limits: what one connection may cost; complete, so it leaves nothing to the environment.
        deflate: how messages are compressed, where ``ws_per_message_deflate`` is on.
    """

    def __init__(
        self,
        app: Any,
        *,
        limits: Limits | None = None,
        deflate: Deflate | None = None,
        **options: Any,
    ) -> None:
        super().__init__(app, **{**DEFAULTS, **options})
        self.limits = limits or _find_limits(self)
        self.deflate = deflate or _find_deflate()
        if self.timeout_graceful_shutdown is None:
            self.timeout_graceful_shutdown = graceful_timeout(self.limits)


def limits_for(config: uvicorn.Config) -> Limits:
    """Gives the limits that hold for a server, and remembers them on its configuration."""
    limits: Limits | None = getattr(config, "limits", None)
    if limits is None:
        limits = _find_limits(config)
        config.limits = limits  # type: ignore[attr-defined]
    return limits


def deflate_for(config: uvicorn.Config) -> Deflate | None:
    """Gives how a server compresses, None for not at all; remembered on its configuration."""
    if not config.ws_per_message_deflate:
        return None
    deflate: Deflate | None = getattr(config, "deflate", None)
    if deflate is None:
        deflate = _find_deflate()
        config.deflate = deflate  # type: ignore[attr-defined]
    return deflate


def graceful_timeout(limits: Limits) -> int:
    """Gives the seconds after which a shutdown leaves no peer and no app a chance."""
    return math.ceil(limits.drain_window + limits.close_timeout + 1)


def _find_limits(config: uvicorn.Config) -> Limits:
    interval = config.ws_ping_interval
    return Limits.read(
        os.environ,
        max_message_size=config.ws_max_size,
        max_queue_messages=config.ws_max_queue,
        ping_interval=interval if interval is not None and interval > 0 else None,
        ping_timeout=config.ws_ping_timeout,
    )


def _find_deflate() -> Deflate:
    return Deflate(**from_environment(Deflate, os.environ, "FASTWS_DEFLATE_"))
