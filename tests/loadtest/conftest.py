"""Servers for the blocking client: our own, and one that does what a test says.

Both the client and the scripted server are greenlets of the test's process; gevent patches nothing.
"""

import re
import sys
from collections.abc import Callable, Iterator

import gevent
import pytest
from gevent import socket

from fastws.wire.handshake import accept_response
from tests.processes import PATIENCE, Server

Script = Callable[[socket.socket], None]
Play = Callable[[Script], str]


@pytest.fixture(scope="package")
def server() -> Iterator[Server]:
    """Our server with `tests.client.app`, for all tests of this folder."""
    server = Server(sys.executable, "-m", "fastws", "run", "tests.client.app:app", "--port=0")
    yield server
    server.kill()


@pytest.fixture
def play() -> Iterator[Play]:
    """Serves the next connection with a script, behind the handshake; gives its address.

    The test fails if a script does, or if it does not come to its end.
    """
    scripts: list[gevent.Greenlet[..., None]] = []

    def start(script: Script) -> str:
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def run() -> None:
            peer, _ = listener.accept()
            with listener, peer:
                head = b""
                while not head.endswith(b"\r\n\r\n"):
                    head += peer.recv(1)
                found = re.search(rb"(?i)sec-websocket-key: (\S+)", head)
                assert found is not None
                peer.sendall(accept_response(found[1], ()))
                script(peer)

        scripts.append(gevent.spawn(run))
        return "ws://{}:{}/".format(*listener.getsockname())

    yield start
    with gevent.Timeout(PATIENCE, AssertionError("a script has not come to its end")):
        gevent.joinall(scripts, raise_error=True)
