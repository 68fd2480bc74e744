"""An issuer's server of keys: real HTTP or HTTPS, on a free port, with answers to choose."""

import json
import ssl
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.processes import PATIENCE


class Issuer:
    """Serves a JWK Set, or what a test wants in its place.

    Attributes:
        url: the address of the keys.
        requests: the paths that were asked for.
        agents: who asked for them.
    """

    def __init__(self, keys: list[Any], context: ssl.SSLContext | None = None) -> None:
        self.requests: list[str] = []
        self.agents: list[str] = []
        self._news = threading.Condition()
        self._over = threading.Event()
        self.publish(keys)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        if context:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        scheme = "https" if context else "http"
        self.url = f"{scheme}://127.0.0.1:{self._server.server_port}/keys"
        # Without its poll, an end of the server would wait for half a second.
        serve = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        serve.start()

    def publish(self, keys: list[Any]) -> None:
        """Answers with these keys from now on."""
        self.answer(json.dumps({"keys": keys}).encode())

    def answer(
        self, body: bytes, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> None:
        """Answers so from now on; with status 0, the body is all that is sent."""
        self._answer = (status, headers or {}, body)

    def drip(self) -> None:
        """Answers with a byte now and then, for ever."""
        self._answer = (200, {"content-length": "100000"}, None)

    def wait_for(self, count: int) -> None:
        """Waits until so many requests have been answered."""
        with self._news:
            assert self._news.wait_for(lambda: len(self.requests) >= count, PATIENCE)

    def close(self) -> None:
        """Ends the server."""
        self._over.set()
        self._server.shutdown()
        self._server.server_close()

    _answer: tuple[int, Mapping[str, str], bytes | None]

    def _handler(issuer) -> type[BaseHTTPRequestHandler]:  # noqa: N805 - self is the handler's
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, headers, body = issuer._answer
                if status:
                    self.send_response(status)
                    for name, value in headers.items():
                        self.send_header(name, value)
                    self.end_headers()
                if body is None:
                    while not issuer._over.wait(0.02):
                        self.wfile.write(b" ")
                else:
                    self.wfile.write(body)
                self.wfile.flush()
                with issuer._news:
                    issuer.requests.append(self.path)
                    issuer.agents.append(self.headers["user-agent"])
                    issuer._news.notify_all()

            def log_message(self, *_: object) -> None:
                pass

        return Handler
