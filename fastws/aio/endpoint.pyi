from asyncio import BaseTransport, BufferedProtocol, Future

from fastws.aio.writer import Writer

def finish_sending(transport: BaseTransport) -> None:
    """Sends FIN behind what was sent, and can still read; TLS has no such thing, and is closed."""

class Endpoint(Writer, BufferedProtocol):
    """One WebSocket over one asyncio transport, in either role."""

    rtt: float

    def data_received(self, data: bytes | bytearray) -> None:
        """Takes bytes from where they cannot be read into our buffer."""
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
