"""What is bound, for whom, and what stays of it."""

import socket
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from fastws.server import Config
from fastws.server.listeners import Listeners

Bind = Callable[..., Listeners]


@pytest.fixture
def bind() -> Iterator[Bind]:
    with ExitStack() as stack:

        def start(**options: Any) -> Listeners:
            config = Config("app:app", log_config=None, **{"port": 0, **options})
            return stack.enter_context(Listeners.bind(config, {}))

        yield start


def names(listeners: Listeners) -> list[list[Any]]:
    return [[sock.getsockname() for sock in sockets] for sockets in listeners.of_workers]


def test_one_worker_has_a_port(bind: Bind) -> None:
    listeners = bind()
    ((address,),) = names(listeners)
    assert listeners.urls == ["http://{}:{}".format(*address)]


def test_workers_have_a_socket_each_for_one_port(bind: Bind) -> None:
    listeners = bind(workers=3)
    found = names(listeners)
    assert found == [found[0]] * 3
    assert len({sock.fileno() for (sock,) in listeners.of_workers}) == 3
    assert len(listeners.urls) == 1


def test_all_addresses_of_a_host_have_the_same_port(bind: Bind) -> None:
    # An empty name stands for all, of either family.
    (addresses,) = names(bind(host=""))
    assert len({address[1] for address in addresses}) == 1


@pytest.mark.parametrize("workers", [1, 2])
def test_a_port_is_not_shared_with_strangers(bind: Bind, workers: int) -> None:
    with socket.socket() as other:
        # It would let others in.
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(OSError, match=rf"^cannot listen on 127.0.0.1:{port}: Address already"):
            bind(port=port, workers=workers)


def test_unix_sockets_by_a_pattern(bind: Bind, socket_path: Path) -> None:
    listeners = bind(uds=f"{socket_path}-{{worker}}", workers=2)
    assert names(listeners) == [[f"{socket_path}-1"], [f"{socket_path}-2"]]
    assert listeners.urls == [f"unix socket {socket_path}-1", f"unix socket {socket_path}-2"]


def test_workers_share_a_unix_socket_without_a_pattern(bind: Bind, socket_path: Path) -> None:
    first, second = bind(uds=str(socket_path), workers=2).of_workers
    assert first == second


def test_a_unix_socket_is_everybodys_and_goes_with_the_server(
    bind: Bind, socket_path: Path
) -> None:
    with bind(uds=str(socket_path)):
        assert stat.S_IMODE(socket_path.stat().st_mode) == 0o666
    assert not socket_path.exists()


def test_a_unix_socket_of_who_comes_next_stays(bind: Bind, socket_path: Path) -> None:
    with bind(uds=str(socket_path)) as first:
        # A file that is still somewhere keeps its number.
        socket_path.with_name("first").hardlink_to(socket_path)
        first.close()
        bind(uds=str(socket_path)).of_workers[0][0].listen()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(socket_path))


def test_a_deserted_unix_socket_is_taken_over_with_its_mode(bind: Bind, socket_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(socket_path))
    socket_path.chmod(0o660)
    bind(uds=str(socket_path))
    assert stat.S_IMODE(socket_path.stat().st_mode) == 0o660


def test_a_unix_socket_of_somebody_else_is_left_alone(bind: Bind, socket_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(socket_path))
        other.listen()
        with pytest.raises(OSError, match=rf"^cannot listen on {socket_path}: Address already in"):
            bind(uds=str(socket_path))
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(socket_path))


def test_a_file_that_is_no_socket_is_left_alone(bind: Bind, socket_path: Path) -> None:
    socket_path.write_text("mine")
    with pytest.raises(OSError, match=rf"^cannot listen on {socket_path}: Address already in use"):
        bind(uds=str(socket_path))
    assert socket_path.read_text() == "mine"


def test_a_descriptor(bind: Bind) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        address = sock.getsockname()
        listeners = bind(fd=sock.detach(), workers=2)
    assert names(listeners) == [[address], [address]]
