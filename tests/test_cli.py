import http.client
import re
import socket
import sys
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.sync.client import connect, unix_connect

from fastws.limits import Limits
from tests.processes import Process, Server

ECHO = "fastws.examples.echo:app"
APP = """
import os

async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": os.environ.get("ANSWER", "none").encode()})

def make():
    return app

class inside:
    member = app
"""

Serve = Callable[..., Server]
Run = Callable[..., Process]


@pytest.fixture
def run(spawn: Callable[..., Process]) -> Run:
    """Runs `fastws run`, which is expected to come to nothing."""

    def start(*options: str, **process: Any) -> Process:
        return spawn(sys.executable, "-m", "fastws", "run", *options, **process)

    return start


@pytest.fixture
def apps(tmp_path: Path) -> Path:
    """A directory with a module `shop` that has apps."""
    (tmp_path / "shop.py").write_text(APP)
    return tmp_path


def get(server: Server, path: str = "/") -> str:
    with urllib.request.urlopen(server.http(path)) as response:
        return str(response.read().decode())


def test_help_explains_every_limit(run: Run) -> None:
    process = run("--help")
    assert process.wait() == 0
    for name in Limits.__struct_fields__:
        explained = rf"^  --{name.replace('_', '-')} (N|SECONDS)\s+\w[^-]+\((off|[\d.]+)\)"
        assert re.search(explained, process.output, re.MULTILINE), name


@pytest.mark.parametrize(
    ("app", "line"),
    [
        ("nowhere:app", "there is no module 'nowhere' (looking from '.')"),
        ("fastws.nowhere:app", "there is no module 'fastws.nowhere' (looking from '.')"),
        ("fastws.examples.echo:ap", "module 'fastws.examples.echo' has no 'ap'"),
        ("fastws.examples.echo:app.x", "module 'fastws.examples.echo' has no 'app.x'"),
        ("echo", "'echo' does not name an app: it has to look like module:app"),
        (":app", "':app' does not name an app: it has to look like module:app"),
        ("echo:", "'echo:' does not name an app: it has to look like module:app"),
    ],
)
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_wrong_name_is_one_line(run: Run, app: str, line: str, workers: str) -> None:
    process = run(app, "--workers", workers, "--port", "0")
    assert process.wait() == 1
    assert process.output == f"fastws: {line}\n"


def test_a_fault_of_the_app_itself_has_its_traceback(run: Run, apps: Path) -> None:
    (apps / "broken.py").write_text("def f():\n    import nowhere\n\nf()\n")
    process = run("broken:app", "--app-dir", str(apps))
    assert process.wait() == 1
    assert 'broken.py", line 2, in f' in process.output
    assert "No module named 'nowhere'" in process.output


def test_a_port_in_use_is_one_line(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        process = run(ECHO, "--port", str(port))
        assert process.wait() == 1
    assert process.output == f"fastws: cannot listen on 127.0.0.1:{port}: Address already in use\n"


def test_a_port_that_cannot_be_is_one_line(run: Run) -> None:
    process = run(ECHO, "--port", "65536")
    assert process.wait() == 1
    assert process.output.startswith("fastws: cannot listen on 127.0.0.1:65536: ")
    assert process.output.count("\n") == 1


@pytest.mark.parametrize(
    ("value", "why"),
    [("1MB", "Expected `int"), ("-1", "must be a finite number from 0 on, but is -1")],
)
def test_a_wrong_limit_names_its_option(run: Run, value: str, why: str) -> None:
    process = run(ECHO, "--max-message-size", value)
    assert process.wait() == 2
    assert re.search(f"error: argument --max-message-size: .*{re.escape(why)}", process.output)


def test_a_limit_that_has_to_be_cannot_be_off(run: Run) -> None:
    process = run(ECHO, "--max-queue-size", "off")
    assert process.wait() == 2
    assert "argument --max-queue-size: Expected `int`" in process.output


def test_a_wrong_limit_in_the_environment_is_one_line(run: Run) -> None:
    process = run(ECHO, env={"FASTWS_MAX_PING_RATE": "many"})
    assert process.wait() == 1
    assert process.output.startswith("fastws: FASTWS_MAX_PING_RATE='many': ")
    assert process.output.count("\n") == 1


def test_an_environment_file_that_is_not_there_is_one_line(run: Run) -> None:
    process = run(ECHO, "--env-file", "nowhere.env")
    assert process.wait() == 1
    assert process.output == "fastws: --env-file: nothing to read in nowhere.env\n"


def test_the_echo_app_echoes_and_has_a_page(serve: Serve) -> None:
    server = serve(ECHO)
    assert get(server) == files("fastws.examples").joinpath("echo.html").read_text()
    with connect(server.url("/ws")) as ws:
        for message in ("text \N{SNOWMAN}", b"bytes \x00\xff", ""):
            ws.send(message)
            assert ws.recv() == message


def test_the_echo_app_has_nothing_elsewhere(serve: Serve) -> None:
    server = serve(ECHO)
    with pytest.raises(urllib.error.HTTPError, match="404"):
        get(server, "/nowhere")
    with pytest.raises(InvalidStatus) as refused, connect(server.url("/nowhere")):
        pass
    assert refused.value.response.status_code == 404
    assert b"no such WebSocket" in refused.value.response.body


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_sigterm_ends_it(serve: Serve, loop: str) -> None:
    server = serve(ECHO, "--loop", loop)
    assert server.stop() == -15
    assert "Application shutdown complete" in server.output


def test_a_unix_socket(serve: Serve, socket_path: Path) -> None:
    serve(ECHO, "--uds", str(socket_path))
    with unix_connect(str(socket_path), "ws://localhost/ws") as ws:
        ws.send("hi")
        assert ws.recv() == "hi"


@pytest.mark.parametrize(
    ("target", "options"),
    [("shop:app", []), ("shop:inside.member", []), ("shop:make", ["--factory"])],
)
def test_an_app_in_another_directory(
    serve: Serve, apps: Path, target: str, options: list[str]
) -> None:
    assert get(serve(target, "--app-dir", str(apps), *options)) == "none"


def test_an_environment_file(serve: Serve, apps: Path) -> None:
    (apps / "env").write_text("ANSWER=42\n")
    server = serve("shop:app", "--app-dir", str(apps), "--env-file", str(apps / "env"))
    assert get(server) == "42"


def test_reload_waits_for_a_broken_app_to_be_mended(run: Run, apps: Path) -> None:
    (apps / "broken.py").write_text("import nowhere\n")
    process = run("broken:app", "--app-dir", str(apps), "--reload", "--port", "0")
    process.wait_for("No module named 'nowhere'")
    assert process.stop() == 0
    assert "Stopping reloader process" in process.output


def answer(server: Server, size: int) -> str | bytes | int | None:
    """Gives the echo of a message of that size, or the close code that came instead."""
    with connect(server.url("/ws"), compression=None) as ws:
        ws.send(b"x" * size)
        with suppress(ConnectionClosedError):
            return ws.recv()
        return ws.close_code


@pytest.mark.parametrize(
    ("options", "env", "passes"),
    [
        ([], {}, True),
        (["--max-message-size", "10"], {}, False),
        ([], {"FASTWS_MAX_MESSAGE_SIZE": "10"}, False),
        (["--max-message-size", "off"], {"FASTWS_MAX_MESSAGE_SIZE": "10"}, True),
    ],
)
@pytest.mark.parametrize("processes", [[], ["--workers", "2"], ["--reload"]], ids=str)
def test_limits_by_option_and_environment_hold_in_every_process(
    serve: Serve, options: list[str], env: dict[str, str], passes: bool, processes: list[str]
) -> None:
    server = serve("tests.server.apps:app", *processes, *options, env=env)
    assert answer(server, 10) == b"x" * 10
    assert answer(server, 11) == (b"x" * 11 if passes else 1009)


def test_compression_can_be_off(serve: Serve) -> None:
    for options, extensions in (([], ["permessage-deflate"]), (["--no-compression"], [])):
        with connect(serve(ECHO, *options).url("/ws")) as ws:
            assert [extension.name for extension in ws.protocol.extensions] == extensions


def test_it_is_our_own_server(serve: Serve) -> None:
    server = serve(ECHO, "--log-level", "trace")
    connection = http.client.HTTPConnection(server.host, server.port)
    # RFC 6455 section 4.4; uvicorn's own classes answer 400.
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "12",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    }
    connection.request("GET", "/ws", headers=upgrade)
    response = connection.getresponse()
    assert (response.status, response.headers["Sec-WebSocket-Version"]) == (426, "13")
    connection.close()


def test_without_an_app_it_serves_the_chat(run: Run) -> None:
    process = run("--port", "0")
    port = int(process.wait_for(r"running on http://127.0.0.1:(\d+)")[1])
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as answer:
        assert b"<title>" in answer.read()


@pytest.fixture
def chats(tmp_path: Path) -> Path:
    """A directory with a module `chats` that has an app with rooms, and one that needs none."""
    lines = ["from fastws import App", "from fastws.rooms.brokers import MemoryBroker"]
    lines += ["app = App()", "alone = App(broker=MemoryBroker())"]
    (tmp_path / "chats.py").write_text("\n".join(lines))
    return tmp_path


@pytest.mark.parametrize(
    ("options", "env"),
    [
        (["--workers", "2"], {}),
        (["--workers", "2", "--broker", "memory://"], {}),
        ([], {"WEB_CONCURRENCY": "3", "FASTWS_BROKER": "memory://"}),
    ],
)
def test_several_workers_need_a_broker(
    run: Run, chats: Path, options: list[str], env: dict[str, str]
) -> None:
    process = run("chats:app", "--app-dir", str(chats), "--port", "0", *options, env=env)
    assert process.wait() == 1
    assert re.fullmatch(
        r"fastws: with [23] workers a room needs a broker, .*: choose --broker redis://HOST or "
        r"nats://HOST, or --workers 1 \(an app without rooms says so by .*\)\n",
        process.output,
    )


@pytest.mark.parametrize(
    ("app", "options"),
    [
        ("chats:alone", []),
        ("chats:app", ["--broker", "unix:///nowhere/redis"]),
    ],
)
def test_several_workers_that_have_one(
    serve: Serve, chats: Path, app: str, options: list[str]
) -> None:
    server = serve(app, "--app-dir", str(chats), "--workers", "2", *options)
    assert get(server, "/healthz") == "ok\n"


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("carrier://pigeon", "carrier:// is no broker; there are memory://, redis://"),
        ("nats://", "nats:// needs a host"),
    ],
)
def test_a_broker_that_cannot_be_is_one_line(run: Run, url: str, why: str) -> None:
    process = run("--broker", url)
    assert process.wait() == 1
    assert process.output.startswith(f"fastws: the broker: {why}")
    assert process.output.count("\n") == 1
