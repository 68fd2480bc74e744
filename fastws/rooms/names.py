"""What a room may be called."""

from fastws.closing import CloseCode
from fastws.errors import ProtocolError
from fastws.rooms.brokers.history import INTERNAL

# Enough for a path or two identifiers, and what NATS and Redis take without a second thought.
MAX_NAME = 200


def check_name(room: str) -> None:
    """Checks the name of a room.

    Raises:
        ProtocolError: it is empty, has more than `MAX_NAME` bytes, begins with U+0000, or is no
            UTF-8.
        TypeError: it is no str.
    """
    if not isinstance(room, str):
        raise TypeError(f"the name of a room is a str, not {type(room).__name__}")
    try:
        size = len(room) if room.isascii() else len(room.encode())
    except UnicodeEncodeError:
        size = 0
    if not 0 < size <= MAX_NAME:
        raise ProtocolError(
            CloseCode.POLICY_VIOLATION, f"the name of a room has 1 to {MAX_NAME} bytes of UTF-8"
        )
    if room[0] == INTERNAL:
        raise ProtocolError(CloseCode.POLICY_VIOLATION, "no room has a name that begins with NUL")
