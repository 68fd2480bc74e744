from typing import TypeVar

from fastws.aio.endpoint import Endpoint
from fastws.wire.prepared import PreparedMessage

_Member = TypeVar("_Member")

def publish(
    members: dict[Endpoint, _Member], message: PreparedMessage, exclude: Endpoint | None = None
) -> list[_Member]:
    """Sends a message to many connections, without waiting for any.

    What one of them gets goes out at the end of the loop's turn, in one system call.

    Args:
        members: connections, in the order in which they get it, and what is given back of them.
        message: what is sent.
        exclude: a connection that does not get it.

    Returns:
        The members of connections that did not get it: those whose peer has not read what it
        was sent, those that are to call ``on_writable``, and those that are lost. Connections
        that are closing are left out.
    """
