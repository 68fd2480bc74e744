"""The exceptions; each carries what the peer gets: a close code, or an HTTP status."""

import re
from collections.abc import Mapping

_RETRY = re.compile(r"\bretry_ms=([0-9]{1,9})\b")


class Disconnected(OSError):
    """The peer has gone; nothing more can be sent to it or received from it.

    An `OSError`, as ASGI 2.4 asks of what `send` raises on a closed connection.

    Attributes:
        code: the close code; 1005 if the peer gave none, 1006 if it vanished.
        reason: the reason that came with the code.
        clean: whether the closing handshake took place.
    """

    def __init__(self, code: int = 1006, reason: str = "", clean: bool = False) -> None:
        super().__init__(f"{code} {_printable(reason)}".rstrip())
        self.code = code
        self.reason = reason
        self.clean = clean

    @property
    def retry_after(self) -> float | None:
        """Seconds after which the peer asks to come back; None if it does not say."""
        found = _RETRY.search(self.reason)
        return int(found[1]) / 1000 if found else None


class ClientDisconnected(Disconnected):
    """What an ASGI app's `send` raises after the client has gone."""


class ProtocolError(Exception):
    """The peer broke RFC 6455 or RFC 7692, or exceeded a limit.

    Attributes:
        code: the close code that the peer gets.
        reason: the reason that the peer gets, at most 123 bytes of UTF-8.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code} {_printable(reason)}")
        self.code = code
        self.reason = reason


class BrokerUnavailable(OSError):
    """The engine behind the rooms is out of reach, or does not keep up with what is published.

    It is not known whether anybody got the message.

    Attributes:
        code: the close code for a connection whose handler does not catch it.
        status: the HTTP status, before the accept.
    """

    code = 1013
    status = 503


class HandshakeError(Exception):
    """An opening handshake that is refused, on our side or on the peer's.

    Attributes:
        status: the HTTP status of the refusal.
        reason: one sentence for the body, without anything that the peer sent.
        headers: headers that the status requires, such as the versions with 426.
        body: the body of a refusal that a client received, its first 64 KiB.
        fields: more about it for programs, such as the name of a parameter: members of the JSON
            object that an `App` answers with.
    """

    def __init__(
        self,
        status: int,
        reason: str,
        headers: tuple[tuple[bytes, bytes], ...] = (),
        body: bytes = b"",
        fields: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(f"HTTP {status}: {_printable(reason)}")
        self.status = status
        self.reason = reason
        self.headers = headers
        self.body = body
        self.fields = dict(fields or {})


def _printable(text: str) -> str:
    """Escapes what could forge a line of a log, where an exception's text ends up."""
    return text if text.isprintable() else text.encode("unicode_escape").decode("ascii")
