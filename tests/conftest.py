"""Fixtures that any test may use, and the fastws that is tested: the installed one.

Tests that are coroutines run through anyio's plugin (``anyio_mode = "auto"``), on uvloop and, where
`deep` tests are wanted, on asyncio, since the server promises both. It was chosen over
pytest-asyncio because it needs one fixture for that, and because an exception in a callback of the
loop (where all of a protocol's code runs) fails the test instead of being logged.
"""

import gc
import logging
import os
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

import fastws
from tests import IN_PLACE, ROOT
from tests.processes import Process, Server

IN_CI = os.environ.get("CI") == "true"


def pytest_configure() -> None:
    """Refuse to test the sources of a checkout instead of what is installed."""
    if not IN_PLACE and Path(fastws.__file__).parent == ROOT / "fastws":
        pytest.exit(
            f"fastws is imported from the checkout, {ROOT}, not from where it is installed: use "
            "`make test`, or `make quick` for what is compiled in place",
            returncode=pytest.ExitCode.USAGE_ERROR,
        )


def pytest_report_header() -> str:
    """Return the line that says which fastws is tested."""
    return f"fastws: {Path(fastws.__file__).parent}"


@pytest.fixture(scope="session", autouse=True)
def path_of_processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let processes import the tests from anywhere, and the fastws that is installed."""
    if IN_PLACE:
        yield
        return
    links = tmp_path_factory.mktemp("path")
    for name in ("tests", "benchmarks", "loadtest"):
        (links / name).symlink_to(ROOT / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(links), prepend=os.pathsep)
        patch.setenv("PYTHONSAFEPATH", "1")
        yield


@pytest.fixture(params=["uvloop", pytest.param("asyncio", marks=pytest.mark.deep)])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """The event loops on which every ``async def test_*`` runs."""
    return "asyncio", {"use_uvloop": request.param == "uvloop"}


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """Undoes what `uvicorn.Config` does to the loggers, so that ``caplog`` goes on seeing them."""
    yield
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(logging.NOTSET)


@pytest.fixture
def no_gc() -> Iterator[None]:
    """Leave everything to reference counts."""
    # What is there already, such as ten thousand collected tests, is not looked at any more.
    gc.collect()
    gc.freeze()
    gc.disable()
    # pytest keeps log records, and with them the traceback of an app that raises.
    logging.disable()
    yield
    logging.disable(logging.NOTSET)
    gc.enable()


@pytest.fixture
def free_port() -> int:
    """A port that was free a moment ago, for programs that cannot choose one themselves."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
        return port


@pytest.fixture
def socket_path() -> Iterator[Path]:
    """A path for a unix socket; short, since the kernel allows 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="fastws") as directory:
        yield Path(directory) / "sock"


@pytest.fixture
def spawn() -> Iterator[Callable[..., Process]]:
    """Starts processes, ``spawn("redis-server", "--port", "0", env={})``, and ends them."""
    with ExitStack() as ends:

        def start(*argv: str, **options: Any) -> Process:
            process = Process(*argv, **options)
            ends.callback(process.kill)
            return process

        yield start


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """Serves an app in a process of its own until the test is over.

    ``serve("fastws.examples.echo:app", "--no-compression", env={})`` is `fastws run` on a free
    port; ``uvicorn=True`` makes it uvicorn with its own classes, as the control.
    """
    with ExitStack() as ends:

        def start(app: str, *options: str, uvicorn: bool = False, **process: Any) -> Server:
            command = ["uvicorn"] if uvicorn else ["fastws", "run"]
            argv = [sys.executable, "-m", *command, app, "--port", "0", *options]
            server = Server(*argv, **process)
            ends.callback(server.kill)
            return server

        yield start


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Lets the run fail for a skipped test where everything should be installed."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if IN_CI and reporter is not None and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says so below the list of the skipped tests."""
    if IN_CI and terminalreporter.stats.get("skipped"):
        terminalreporter.write_line("CI=true: a skipped test is a failure", red=True)
