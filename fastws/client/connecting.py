"""`connect`: from a URI to an open WebSocket."""

import asyncio
import os
import ssl as tls
from collections.abc import Callable, Coroutine, Generator, Sequence
from functools import cache, partial
from types import TracebackType

from fastws.client.connection import ClientConnection
from fastws.limits import Limits
from fastws.wire.deflate import Deflate
from fastws.wire.opening import Address, Headers, Opening, parse_uri


def connect(
    uri: str,
    *,
    headers: Headers | None = None,
    subprotocols: Sequence[str] = (),
    compression: bool | Deflate = True,
    ssl: tls.SSLContext | None = None,
    uds: str | os.PathLike[str] | None = None,
    limits: Limits = Limits(),  # noqa: B008 - frozen
    open_timeout: float | None = 10.0,
) -> "Connecting":
    """Opens a WebSocket.

        async with fastws.connect("ws://localhost:8080/ws") as ws:
            await ws.send("hello")
            async for message in ws:
                print(message)

    Leaving the block closes the connection: with 1000, or with 1011 for an exception, or with
    1001 for a cancellation. ``ws = await fastws.connect(...)`` leaves that to the caller.

    Redirects are not followed, and proxies are not used.

    Args:
        uri: ``ws://`` or ``wss://``; without a user, which goes into an Authorization header.
        headers: more headers for the request; a Host header replaces the one from the URI.
        subprotocols: what to offer, in the order of preference.
        compression: whether to offer permessage-deflate, and with what options.
        ssl: for ``wss://``, the context to use instead of the system's certificates.
        uds: the path of a unix socket to connect to instead of the URI's host.
        limits: what the connection may cost; see `Limits`.
        open_timeout: seconds for all of it: DNS, TCP, TLS and the handshake.

    Returns:
        What to await, or to enter with ``async with``, for a `ClientConnection`; each time for
        another one.

    Raises:
        ValueError: the URI, a header or a subprotocol cannot be used.
        OSError: no connection came about, or (`Disconnected`) it ended before the response.
        TimeoutError: the server took longer than `open_timeout`.
        HandshakeError: the server refused; with status 502, its answer breaks RFC 6455.
    """
    address = parse_uri(uri)
    if ssl is not None and not address.secure:
        raise ValueError("ssl is for wss://")
    deflate = compression if isinstance(compression, Deflate) else Deflate()
    offered = deflate if compression else None
    prepare = partial(Opening, address, headers, subprotocols, offered, limits)
    return Connecting(partial(_open, address, prepare, ssl, uds, open_timeout))


class Connecting:
    """What `connect` returns: an awaitable, and an asynchronous context manager."""

    def __init__(self, start: Callable[[], Coroutine[None, None, ClientConnection]]) -> None:
        self._start = start

    def __await__(self) -> Generator[None, None, ClientConnection]:
        return self._start().__await__()

    async def __aenter__(self) -> ClientConnection:
        self._connection = await self._start()
        return self._connection

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            await self._connection.close(1000)
        else:
            await self._connection.close(1011 if issubclass(kind, Exception) else 1001)


async def _open(
    address: Address,
    prepare: Callable[[], Opening],
    ssl: tls.SSLContext | None,
    uds: str | os.PathLike[str] | None,
    open_timeout: float | None,
) -> ClientConnection:
    loop = asyncio.get_running_loop()
    opening = prepare()
    opened: asyncio.Future[None] = loop.create_future()
    connection = ClientConnection(opening, opened, loop)
    context = ssl or _default_context() if address.secure else None
    name = address.host if address.secure else None
    try:
        async with asyncio.timeout(open_timeout):
            if uds is None:
                await loop.create_connection(
                    lambda: connection,
                    address.host,
                    address.port,
                    ssl=context,
                    server_hostname=name,
                )
            else:
                await loop.create_unix_connection(
                    lambda: connection, os.fspath(uds), ssl=context, server_hostname=name
                )
            await opened
    except BaseException as error:
        opened.cancel()
        if connection.transport is not None:
            connection.abort()
        refusal = opening.refusal()
        if isinstance(error, TimeoutError) and refusal is not None:
            # Only the end of its body is missing.
            raise refusal from None
        raise
    return connection


@cache
def _default_context() -> tls.SSLContext:
    # Once: to read the system's certificates takes longer than all the rest.
    return tls.create_default_context()
