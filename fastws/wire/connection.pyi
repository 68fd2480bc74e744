from enum import IntEnum
from typing import Literal

from fastws.wire.frames import Opcode
from fastws.wire.reader import MessageReader

Buffer = bytes | bytearray | memoryview

class Role(IntEnum):
    """Which side of the connection we are; decides who masks (RFC 6455 section 5.1)."""

    SERVER = 0
    CLIENT = 1

class State(IntEnum):
    """How far the closing handshake is (RFC 6455 section 7.1)."""

    OPEN = 0
    CLOSE_SENT = 1
    CLOSE_RECEIVED = 2
    FAILED = 3
    CLOSED = 4

class Connection(MessageReader):
    """One WebSocket connection, without its I/O (RFC 6455 sections 5.4 to 7).

    After `receive_data`, call `next_event` until it gives None, then send `data_to_send`.
    A fault of the peer never raises: it ends in a CLOSE event and a close frame to send.

    Attributes:
        limits: what the peer is held to.
        state: how far the closing handshake is.
        raw: deliver text as the bytes of its UTF-8, validated, instead of str.
        observe_control: deliver pings and pongs, too; pings are answered either way.
        close_code: how the connection ended, once it has: the peer's code, or ours.
        close_reason: the reason that came or went with it.
        close_received: whether the peer sent a close frame.
        controls: pings and pongs received so far.
        inbox: the messages that wait.
    """

    observe_control: bool
    close_received: bool
    controls: int

    @property
    def state(self) -> State: ...
    def receive_data(self, data: Buffer) -> None:
        """Parses bytes from the peer; then call `next_event` until it gives None."""
    def next_event(
        self,
    ) -> (
        tuple[Literal[Opcode.TEXT, Opcode.BINARY, Opcode.PING, Opcode.PONG], str | bytes]
        | tuple[Literal[Opcode.CLOSE], tuple[int, str]]
        | None
    ):
        """Gives the next (opcode, payload), or None if there is none.

        The payload of CLOSE is a (code, reason) pair; it comes once, after all messages, and
        by then the close frame that is due is among the data to send.
        """
    def send_text(self, text: str, compress: bool = True) -> None:
        """Sends a text message.

        Raises:
            Disconnected: our close frame is out.
        """
    def send_binary(self, data: Buffer, compress: bool = True) -> None:
        """Sends a binary message.

        Raises:
            Disconnected: our close frame is out.
        """
    def send_ping(self, data: Buffer = b"") -> None:
        """Sends a ping of at most 125 bytes."""
    def send_pong(self, data: Buffer = b"") -> None:
        """Sends a pong of at most 125 bytes that answers no ping."""
    def send_close(self, code: int = 1000, reason: str = "") -> None:
        """Begins the closing handshake, or ends it if the peer has begun it.

        A reason of more than 123 bytes is cut. Code 1005 sends a close frame without a code.

        Raises:
            ValueError: the code may not be sent (RFC 6455 section 7.4).
        """
    def data_to_send(self) -> bytes:
        """Takes the bytes that are to be sent to the peer."""
