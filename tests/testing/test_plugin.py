"""The plugin for pytest, under each of the plugins that run tests which are coroutines."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

# What is set, and what a test module begins with.
RUNNERS = {
    "anyio": ("", "pytestmark = pytest.mark.anyio\nfixture = pytest.fixture"),
    "anyio, auto": ("anyio_mode = auto", "fixture = pytest.fixture"),
    "pytest-asyncio": (
        "",
        "import pytest_asyncio\npytestmark = pytest.mark.asyncio\nfixture = pytest_asyncio.fixture",
    ),
    "pytest-asyncio, auto": ("asyncio_mode = auto", "fixture = pytest.fixture"),
}
CONFTEST = """
import pytest

pytest_plugins = ["fastws.testing.plugin"]

@pytest.fixture
def anyio_backend():
    return "asyncio"
"""
TESTS = """
import asyncio
import pytest
from fastws.testing import PING, PONG, TEXT, Frame
from fastws.testing.waiting import settle
from tests.testing.apps import accepting, echo

ends = []

async def waiting(receive, send):
    while (event := await receive())["type"] != "websocket.disconnect":
        pass
    ends.append(event["code"])

async def crashing(receive, send):
    await receive()
    raise ZeroDivisionError

async def test_what_is_connected_is_closed(connect):
    one, two = await connect(echo, "/ws"), await connect(accepting(waiting), client=None)
    await one.send("x")
    assert await one.recv() == "x"
    await two.expect_nothing()

async def test_after_it():
    assert ends == [1000]

async def test_a_server(serve):
    server = await serve(echo)
    async with server.peer() as peer:
        await peer.send_frame(PING, b"x")
        assert await peer.recv_frame() == Frame(PONG, b"x")

async def test_a_clock(clock):
    loop = asyncio.get_running_loop()
    now = loop.time()
    await asyncio.to_thread(int)
    assert loop.time() == now
    await clock.advance(100)
    assert loop.time() == now + 100

async def ticking(receive, send):
    leaving = asyncio.create_task(receive())
    while not (await asyncio.wait([leaving], timeout=1))[0]:
        await send({"type": "websocket.send", "text": "tick"})

async def test_all_of_them(clock, connect, serve):
    server = await serve(echo)
    ws = await connect(accepting(ticking), timeout=1)
    await ws.expect_nothing()
    await clock.advance(1)
    assert await ws.recv() == "tick"
    await ws.expect_nothing()

class TestInAClass:
    @pytest.mark.parametrize("text", ["x", "y"])
    async def test_echo(self, connect, text):
        ws = await connect(echo)
        await ws.send(text)
        assert await ws.recv() == text

@fixture
async def ws(connect):
    return await connect(echo)

async def test_a_fixture(ws):
    await ws.send("x")
    assert await ws.recv() == "x"

# Those that fail.

async def test_bad_app_crashes(connect):
    ws = await connect(accepting(crashing))
    await ws.send("x")

async def test_bad_app_hangs(connect):
    await connect(accepting(lambda receive, send: asyncio.Event().wait()), timeout=0.3)

async def test_bad_test(connect):
    ws = await connect(accepting(crashing))
    await ws.send("x")
    await settle()
    assert not "the test's own"
"""


@pytest.mark.parametrize("runner", RUNNERS)
def test_fixtures(runner: str, tmp_path: Path) -> None:
    options, beginning = RUNNERS[runner]
    argv = ["-q", "-rf", "--tb=short", "--color=no", "."]
    if "pytest-asyncio" in runner:
        pytest.importorskip("pytest_asyncio")
        options += "\nasyncio_default_fixture_loop_scope = function"
    else:
        argv += ["-p", "no:asyncio"]
    (tmp_path / "pytest.ini").write_text(f"[pytest]\nfilterwarnings = error\n{options}\n")
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_it.py").write_text(f"import pytest\n{beginning}\n{TESTS}")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *argv],
        check=False,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert re.search(r"^3 failed, 8 passed in", run.stdout, re.MULTILINE), run.stdout
    failed = dict(re.findall(r"^FAILED test_it\.py::(\w+) - (.{,30})", run.stdout, re.MULTILINE))
    assert failed == {
        "test_bad_app_crashes": "ZeroDivisionError",
        "test_bad_app_hangs": "TimeoutError: the app did not ",
        "test_bad_test": 'assert not "the test\'s own"',
    }, run.stdout
    assert "Meanwhile, at /:" in run.stdout


def test_the_kit_does_without_pytest() -> None:
    code = "import sys, fastws.testing; print('pytest' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "False\n"
