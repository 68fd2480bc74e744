from asyncio import Transport
from collections.abc import Callable

from fastws.aio.awaitables import Receivable
from fastws.wire.connection import Connection

class Writer(Receivable):
    """Frames to the socket, or to where they wait for it; the sending half of an `Endpoint`.

    Attributes:
        blocked: the peer has to read before more is sent.
        on_writable: called once, when that is no longer so, or nothing will be sent any more.
    """

    blocked: bool
    on_writable: Callable[[], object] | None
    transport: Transport | None
    connection: Connection | None

    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...
    @property
    def write_buffer_size(self) -> int:
        """Bytes that are unsent, on our side of the kernel."""
