from asyncio import BufferedProtocol, Future, Transport

from fastws.aio.awaitables import Receivable
from fastws.limits import Limits
from fastws.wire.connection import Connection

class Bounds:
    """The limits that an endpoint looks at, as C numbers; one for all with the same Limits."""

    limits: Limits

class Endpoint(Receivable, BufferedProtocol):
    """One WebSocket over one asyncio transport, in either role."""

    transport: Transport | None
    connection: Connection | None
    rtt: float

    def data_received(self, data: bytes | bytearray) -> None:
        """Takes bytes from where they cannot be read into our buffer."""
    def on_deadline(self) -> None: ...
    @property
    def write_buffer_size(self) -> int:
        """Bytes that are unsent, on our side of the kernel."""
    def abort(self) -> None:
        """Ends TCP at once; the peer gets no close frame."""
    def closing(self) -> tuple[int, str, bool]:
        """Tells how the connection ended: the code, the reason, whether by the handshake."""
    def ping(self) -> Future[float]:
        """Sends a ping.

        Returns:
            A future of the round-trip time in seconds; it raises `Disconnected` if the
            connection ends before the pong.
        """
