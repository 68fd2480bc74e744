"""Other people's clients, each behind the same few calls."""

import ssl
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Target:
    """What to connect to, and how.

    Attributes:
        url: address; of a unix socket only its path counts.
        uds: the unix socket, if it is one.
        authority: the file with the certificate to trust, if it is TLS.
        compression: whether to offer permessage-deflate.
        subprotocols: which to offer.
        pongs: whether `Peer.ping` will be called; a client may have to be told.
    """

    url: str
    uds: Path | None = None
    authority: Path | None = None
    compression: bool = False
    subprotocols: tuple[str, ...] = ()
    pongs: bool = False

    @property
    def tls(self) -> ssl.SSLContext | None:
        """The context that trusts the authority."""
        return ssl.create_default_context(cafile=self.authority) if self.authority else None

    @property
    def path(self) -> str:
        """Path and query of the address."""
        return "/" + self.url.split("/", 3)[3]


class Peer(Protocol):
    """An open connection.

    Attributes:
        subprotocol: which the server chose.
        compressed: whether permessage-deflate is in use.
    """

    subprotocol: str | None
    compressed: bool

    async def send(self, data: str | bytes) -> None: ...
    async def receive(self) -> str | bytes: ...
    async def ping(self) -> None: ...  # returns with the pong
    async def close(self, code: int, reason: str) -> None: ...
    async def closed(self) -> tuple[int, str]: ...  # the server's code and reason


Connect = Callable[[Target], AbstractAsyncContextManager[Peer]]


@dataclass(frozen=True)
class Client:
    """One client: the function of ``module`` that connects, and what it cannot do."""

    module: str
    function: str = "connect"
    cannot: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """What its tests are called."""
        return f"{self.module}-{self.function}" if self.function != "connect" else self.module

    def connect(self, target: Target) -> AbstractAsyncContextManager[Peer]:
        """Connects."""
        connect: Connect = getattr(import_module(f"{__name__}.{self.module}"), self.function)
        return connect(target)


CLIENTS = [
    Client("websockets"),
    Client("websockets", "connect_sync"),
    Client("aiohttp"),
    # It sets TCP_NODELAY on every socket, so it cannot use a unix socket.
    Client("picows", cannot=frozenset({"uds"})),
    Client("wsproto"),
    Client("node"),
    # A page can neither ping, nor leave out permessage-deflate, nor open a unix socket.
    Client("chromium", cannot=frozenset({"ping", "plain", "uds"})),
]
