"""HTTP pages of an app, fetched without a server."""

from typing import NamedTuple

from fastws.app.headers import Headers
from fastws.testing.call import App, Call, Event, Scope
from fastws.testing.scopes import CLIENT, Address, http_scope
from fastws.testing.waiting import PATIENCE
from fastws.wire.opening import Headers as AnyHeaders


class Response(NamedTuple):
    """A response to an HTTP request.

    Attributes:
        status: its status code.
        headers: its headers; names in any case.
        body: its body.
    """

    status: int
    headers: Headers
    body: bytes


class HttpCall(Call):
    """An app that has been called for an HTTP request.

    Attributes:
        response: what the app has sent; None until it is complete.
    """

    def __init__(self, app: App, scope: Scope, timeout: float) -> None:
        self.response: Response | None = None
        self._start: Event | None = None
        self._body = bytearray()
        super().__init__(app, scope, timeout)
        self.tell({"type": "http.request", "body": b"", "more_body": False})

    async def on_event(self, event: Event) -> None:
        """Takes a part of the response."""
        started, complete = self._start is not None, self.response is not None
        match event["type"]:
            case "http.response.start" if not started:
                self._start = event
            case "http.response.body" if started and not complete:
                self._body += event.get("body", b"")
                if not event.get("more_body", False):
                    self._finish()
            case kind:
                self.blame(f"the app sent {kind!r} out of its order")

    def _finish(self) -> None:
        assert self._start is not None
        pairs = self._start.get("headers") or ()
        headers = Headers((bytes(name), bytes(value)) for name, value in pairs)
        self.response = Response(self._start["status"], headers, bytes(self._body))
        self.end = {"type": "http.disconnect"}
        self.wake()


async def get(
    app: App,
    target: str = "/",
    *,
    headers: AnyHeaders | None = None,
    client: Address | None = CLIENT,
    timeout: float = PATIENCE,
) -> Response:
    """Fetches a page of an app.

        page = await get(app, "/healthz")
        assert (page.status, page.body) == (200, b"ok")
        assert page.headers["content-type"] == "text/plain"

    Args:
        app: any ASGI app.
        target: path and query, percent-encoded as they would be on the wire.
        headers: more headers for the request; a Host header replaces ``localhost``.
        client: address and port that the app sees.
        timeout: seconds for the app to answer, and then to end.

    Raises:
        TimeoutError: the app did not answer, or did not end; says where it is.
        Exception: what the app raised.
        AssertionError: the app returned without a response, or sent something else.
    """
    call = HttpCall(app, http_scope(target, headers, client), timeout)
    try:
        await call.until(lambda: call.response, "a response")
    except BaseException:
        await call.cancel()
        raise
    await call.finish()
    assert call.response is not None
    return call.response
