"""Plain HTTP, as much as a WebSocket app needs: pages, health, metrics."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec

from fastws.app.answer import Header, checked_headers
from fastws.app.headers import Headers
from fastws.app.portable import Scope, Send
from fastws.app.query import parse_query
from fastws.errors import HandshakeError

T = TypeVar("T", bound=msgspec.Struct)

TEXT = "text/plain; charset=utf-8"
HTML = "text/html; charset=utf-8"
JSON = "application/json"


class Request:
    """A GET request.

    Attributes:
        scope: the ASGI scope.
        path_params: what the path of the route matched.
    """

    def __init__(self, scope: Scope, path_params: dict[str, str]) -> None:
        self.scope = scope
        self.path_params = path_params

    @property
    def headers(self) -> Headers:
        """The headers of the request."""
        return Headers(self.scope["headers"])

    def query(self, kind: type[T]) -> T:
        """Reads the query string into a msgspec struct.

        Raises:
            HandshakeError: 400; its reason names the parameter that is missing or wrong.
        """
        return parse_query(self.scope["query_string"], kind)


class Response(msgspec.Struct, frozen=True):
    """What a page answers with.

    Attributes:
        body: the bytes.
        content_type: what they are.
        status: the HTTP status.
        headers: more headers.

    Raises:
        ValueError: a header is none.
    """

    body: bytes
    content_type: str = TEXT
    status: int = 200
    headers: tuple[Header, ...] = ()

    def __post_init__(self) -> None:
        checked_headers(self.headers)

    async def send(self, send: Send, with_body: bool) -> None:
        """Sends it; to a HEAD request without the body."""
        headers = [
            (b"content-type", self.content_type.encode("latin-1")),
            (b"content-length", b"%d" % len(self.body)),
            *self.headers,
        ]
        start = {"type": "http.response.start", "status": self.status, "headers": headers}
        await send(start)
        await send({"type": "http.response.body", "body": self.body if with_body else b""})


Page = Callable[[Request], Awaitable[Any]]


def respond(answer: Any) -> Response:
    """Makes a response of what a page returns: HTML of a str, JSON of most other things."""
    if isinstance(answer, Response):
        return answer
    if isinstance(answer, str):
        return Response(answer.encode(), HTML)
    if isinstance(answer, bytes):
        return Response(answer, "application/octet-stream")
    return Response(msgspec.json.encode(answer), JSON)


def refusal(error: HandshakeError) -> Response:
    """Makes a response of an error, with the JSON body that a refused WebSocket gets."""
    body = {"status": error.status, "detail": error.reason, **error.fields}
    return Response(msgspec.json.encode(body), JSON, error.status, error.headers)
