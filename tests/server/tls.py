"""TLS for peers that do as they are told: its records are made here, and sent over a socket."""

import asyncio
import atexit
import functools
import ssl
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import trustme

from tests.processes import PATIENCE
from tests.server.peer import Address, Peer


@functools.cache
def authority() -> trustme.CA:
    """Gives who signs the certificates of all tests."""
    return trustme.CA()


@functools.cache
def server_options() -> dict[str, Any]:
    """Gives the options of a server with a certificate for 127.0.0.1."""
    with tempfile.NamedTemporaryFile(suffix=".pem", delete=False) as file:
        atexit.register(Path(file.name).unlink)
        file.write(authority().issue_cert("127.0.0.1").private_key_and_cert_chain_pem.bytes())
    return {"ssl_certfile": file.name}


@functools.cache
def client_context() -> ssl.SSLContext:
    """Gives a context that trusts that server."""
    context = ssl.create_default_context()
    authority().configure_trust(context)
    return context


class TlsPeer(Peer):
    """A peer whose bytes go through TLS.

    Attributes:
        on_send: called with what is to go over the socket; gives what is really sent.
    """

    incoming: ssl.MemoryBIO
    outgoing: ssl.MemoryBIO
    tls: ssl.SSLObject
    on_send: Callable[[bytes], bytes]

    @classmethod
    async def connect(cls, address: Address, *, receive_buffer: int | None = None) -> Self:
        """Opens a TCP connection; TLS begins with the first `send`."""
        peer = await super().connect(address, receive_buffer=receive_buffer)
        peer.incoming, peer.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        peer.tls = client_context().wrap_bio(
            peer.incoming, peer.outgoing, server_hostname="127.0.0.1"
        )
        peer.on_send = bytes
        return peer

    async def handshake(self) -> None:
        """Does the handshake of TLS, if that is still to be done."""
        while True:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush()
                if not await self._receive():
                    raise EOFError("TCP ended inside the handshake of TLS") from None
            else:
                await self._flush()
                return

    async def send_bytes(self, *chunks: bytes) -> None:
        """Sends bytes, those of one call in one go."""
        await self.handshake()
        self.tls.write(b"".join(chunks))
        await self._flush()

    async def fill(self, awaited: str = "anything", timeout: float | None = None) -> bool:  # noqa: ASYNC109
        """Receives something; False at the end of TLS, or of TCP."""
        while True:
            try:
                data = self.tls.read(1 << 16)
            except ssl.SSLWantReadError:
                if not await self._receive():
                    return False
            except ssl.SSLZeroReturnError:
                return False
            else:
                self.buffer += data
                return bool(data)

    async def _receive(self) -> bool:
        async with asyncio.timeout(PATIENCE):
            data = await self.loop.sock_recv(self.socket, 1 << 16)
        self.incoming.write(data)
        return bool(data)

    async def _flush(self) -> None:
        if data := self.on_send(self.outgoing.read()):
            async with asyncio.timeout(PATIENCE):
                await self.loop.sock_sendall(self.socket, data)
