from fastws.limits import Limits
from fastws.wire.deflate import Compression
from fastws.wire.inbox import Inbox

class MessageReader:
    """Frames to messages, within limits; the receiving half of a `Connection`."""

    limits: Limits
    compression: Compression | None
    raw: bool
    close_code: int
    close_reason: str
    inbox: Inbox

    def __init__(
        self, role: int, limits: Limits, compression: Compression | None = None
    ) -> None: ...
    def set_limits(self, limits: Limits) -> None:
        """Takes over other limits, from the next frame on."""
