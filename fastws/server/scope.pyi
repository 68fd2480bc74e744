"""The ASGI scope of a WebSocket, field for field as uvicorn makes it, and what a log line has."""

def describe_request(client: tuple[str, int] | None, target: bytes) -> tuple[str, str]:
    """Gives client and path of a request that is refused, for a log line.

    Without the query, which may hold a token, and without control characters, which could forge
    another line.
    """

def find_target(head: bytes) -> bytes:
    """Gives the request target of a head that is not known to have one."""
