"""deploy/nginx.conf in a real nginx, in front of two real workers with a socket each."""

import json
import re
import socket
import ssl
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import monotonic, sleep

import pytest
import trustme
from websockets.exceptions import ConnectionClosedError
from websockets.sync.client import ClientConnection, connect

from tests.nginx import NGINX, running
from tests.processes import PATIENCE, Process

pytestmark = pytest.mark.skipif(NGINX is None, reason="no nginx")

SITE = Path(__file__).resolve().parents[2] / "deploy" / "nginx.conf"
APP = """
import os
from fastws import App, WebSocket

app = App()

@app.websocket("/ws")
async def talk(ws: WebSocket) -> None:
    await ws.accept()
    await ws.send_json({"worker": os.getpid(), "client": ws.client, "scheme": ws.scope["scheme"]})
    async for message in ws:
        await ws.send(message)
"""


class Site:
    """The site and its two workers.

    Attributes:
        ports: for plain HTTP, and for TLS.
        workers: their processes.
        log: the access log.
    """

    def __init__(self, ports: list[int], workers: list[Process], log: Path) -> None:
        self.ports = ports
        self.workers = workers
        self.log = log
        self.authority = trustme.CA()

    def connect(self, path: str = "/ws") -> ClientConnection:
        """Opens a WebSocket over TLS."""
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        sock = socket.create_connection(("127.0.0.1", self.ports[1]))
        return connect(
            f"wss://example.com{path}", sock=sock, ssl=context, server_hostname="example.com"
        )


def placed(site: str, directory: Path, plain: int, tls: int) -> str:
    """Gives the site with what is here in the place of what is there; all is replaced once."""
    for pattern, text in {
        r"listen 80;": f"listen 127.0.0.1:{plain};",
        r"listen 443 ssl;": f"listen 127.0.0.1:{tls} ssl;",
        r"/run/fastws/1\.sock": str(directory / "1.sock"),
        r"/run/fastws/2\.sock": str(directory / "2.sock"),
        r"/etc/ssl/certs/example\.com\.pem": str(directory / "example.pem"),
        r"/etc/ssl/private/example\.com\.key": str(directory / "example.key"),
        r"/var/log/nginx/fastws\.log": str(directory / "access.log"),
    }.items():
        site, count = re.subn(pattern, text, site)
        assert count == 1, pattern
    return site


@pytest.fixture
def directory(socket_path: Path) -> Path:
    return socket_path.parent


@contextmanager
def deployed(directory: Path, spawn: Callable[..., Process]) -> Iterator[Site]:
    (directory / "shop.py").write_text(APP)
    command = [sys.executable, "-m", "fastws", "run", "shop:app", "--app-dir", str(directory)]
    command += ["--forwarded-allow-ips", "*", "--drain-window", "0.1", "--close-timeout", "0.5"]
    workers = [spawn(*command, "--uds", str(directory / f"{i}.sock")) for i in (1, 2)]
    for worker in workers:
        worker.wait_for("running on unix socket")
    with ExitStack() as stack:
        listeners = [
            stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in ("plain", "tls")
        ]
        ports = [listener.getsockname()[1] for listener in listeners]
        site = Site(ports, workers, directory / "access.log")
        certificate = site.authority.issue_cert("example.com")
        certificate.private_key_pem.write_to_path(directory / "example.key")
        for blob in certificate.cert_chain_pems:
            blob.write_to_path(directory / "example.pem", append=True)
        inside = placed(SITE.read_text(), directory, *ports)
        stack.enter_context(running(inside, directory, *listeners))
        yield site


@pytest.fixture
def site(directory: Path, spawn: Callable[..., Process]) -> Iterator[Site]:
    with deployed(directory, spawn) as site:
        yield site


def greeting(client: ClientConnection) -> dict[str, object]:
    said: dict[str, object] = json.loads(client.recv(timeout=10))
    return said


def test_an_echo_over_tls_that_knows_who_it_is_for(site: Site) -> None:
    with site.connect() as client:
        said = greeting(client)
        assert said["scheme"] == "wss"
        assert isinstance(said["client"], list)
        assert said["client"][0] == "127.0.0.1"
        client.send("hello" * 10_000)
        assert client.recv(timeout=10) == "hello" * 10_000


def test_connections_go_to_who_has_fewest(site: Site) -> None:
    with ExitStack() as stack:
        clients = [stack.enter_context(site.connect()) for _ in range(10)]
        served = [greeting(client)["worker"] for client in clients]
        assert sorted(served.count(worker.pid) for worker in site.workers) == [5, 5]


def test_while_a_worker_is_replaced_the_other_has_all(site: Site) -> None:
    with ExitStack() as stack:
        clients = [stack.enter_context(site.connect()) for _ in range(4)]
        served = [greeting(client)["worker"] for client in clients]
        gone = site.workers[0]
        gone.stop()
        left = clients[served.index(gone.pid)]
        with pytest.raises(ConnectionClosedError) as end:
            left.recv(timeout=10)
        assert end.value.rcvd is not None
        assert end.value.rcvd.code == 1012
        for _ in range(4):
            client = stack.enter_context(site.connect())
            assert greeting(client)["worker"] == site.workers[1].pid


def test_what_is_in_a_query_is_in_no_log(site: Site, directory: Path) -> None:
    with site.connect("/ws?token=secret") as client:
        greeting(client)
    deadline = monotonic() + PATIENCE
    # It is written when nginx has seen the end of the connection.
    while "GET /ws" not in (log := site.log.read_text()):
        assert monotonic() < deadline
        sleep(0.01)
    assert "secret" not in log
    assert "secret" not in (directory / "nginx.log").read_text()


def test_plain_http_is_sent_to_tls(site: Site) -> None:
    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_: object) -> None:
            return None

    url = f"http://127.0.0.1:{site.ports[0]}/x?y"
    request = urllib.request.Request(url, headers={"Host": "example.com"})
    with pytest.raises(urllib.error.HTTPError) as raised:
        urllib.request.build_opener(Stay).open(request)
    with raised.value as answer:
        assert answer.code == 301
        assert answer.headers["Location"] == "https://example.com/x?y"
