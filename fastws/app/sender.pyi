from collections.abc import Awaitable, Callable
from typing import Any

class Sender:
    """Sends what most messages are in the fewest steps; a subclass sends the rest."""

    _direct: bool
    _send_text: Callable[[Any], Awaitable[None]]
    _send_encoded: Callable[[Any], Awaitable[None]]
    _encode: Callable[[Any], bytes]

    def send(self, message: Any, /) -> Awaitable[None]:
        """Sends a str as text, bytes as binary, and anything else in the format of the messages.

        Waits while the client does not read.

        Raises:
            Disconnected: the connection is over.
        """
