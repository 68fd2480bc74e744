from asyncio import Transport

from fastws.aio.awaitables import Receivable
from fastws.wire.connection import Connection

class Writer(Receivable):
    """Frames to the socket, or to where they wait for it; the sending half of an `Endpoint`."""

    transport: Transport | None
    connection: Connection | None

    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...
    @property
    def write_buffer_size(self) -> int:
        """Bytes that are unsent, on our side of the kernel."""
