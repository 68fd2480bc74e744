"""The blocking client: against our own server, and against one that does what a test says."""

from collections.abc import Callable
from pathlib import Path
from time import monotonic

import gevent
import pytest
import trustme
from gevent import socket
from gevent import ssl as tls

from fastws.errors import Disconnected, HandshakeError
from fastws.testing.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    MASK,
    PING,
    PONG,
    TEXT,
    frame,
    masked,
)
from loadtest.client import READ_SIZE, connect
from tests.loadtest.conftest import Play
from tests.processes import PATIENCE, Server

MESSAGES: list[str | bytes] = ["", b"", "text", b"bytes", "gr\xfc\xdfe \U0001f600"]
MESSAGES += ["ab" * 1000, bytes(1 << 20)]


def read_frame(peer: socket.socket) -> tuple[int, bytes]:
    """Reads a client's frame; gives its opcode and its payload."""
    first, second = read(peer, 2)
    size = second & 0x7F
    assert second & 0x80
    if size > 125:
        size = int.from_bytes(read(peer, 2 if size == 126 else 8), "big")
    key = read(peer, 4)
    return first & 0x0F, masked(read(peer, size), key)


def read(peer: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        more = peer.recv(size - len(data))
        assert more
        data += more
    return bytes(data)


def send(peer: socket.socket, opcode: int, payload: bytes = b"", *, fin: bool = True) -> None:
    """Sends a frame as servers do."""
    peer.sendall(frame(opcode, payload, fin=fin, mask=None))


# Opening.


@pytest.mark.parametrize("compression", [False, True])
def test_every_kind_of_message_comes_back(server: Server, compression: bool) -> None:
    with connect(server.url("/echo"), compression=compression) as ws:
        assert (ws.agreement.params is not None) is compression
        for message in MESSAGES:
            ws.send(message)
            assert ws.recv(PATIENCE) == message


def test_headers_are_sent(server: Server) -> None:
    with connect(server.url("/request?a=b"), headers={"x-load": "heavy"}) as ws:
        said = ws.recv(PATIENCE)
    assert isinstance(said, str)
    assert said.startswith("ws a=b\n")
    assert "x-load: heavy" in said.splitlines()


def test_a_refused_handshake(server: Server) -> None:
    with pytest.raises(HandshakeError) as caught:
        connect(server.url("/refuse?size=100"))
    assert (caught.value.status, caught.value.body) == (401, b"x" * 100)
    assert dict(caught.value.headers)[b"www-authenticate"] == b"Basic"


def test_a_handshake_that_is_not_answered(server: Server) -> None:
    with pytest.raises(TimeoutError):
        connect(server.url("/hold"), timeout=0.05)


def test_nobody_listens(free_port: int) -> None:
    with pytest.raises(ConnectionRefusedError):
        connect(f"ws://127.0.0.1:{free_port}/")


def test_an_end_instead_of_an_answer() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def hang_up() -> None:
            peer, _ = listener.accept()
            peer.recv(65536)
            peer.close()

        hanging_up = gevent.spawn(hang_up)
        with pytest.raises(Disconnected, match="1006"):
            connect("ws://{}:{}/".format(*listener.getsockname()))
        hanging_up.get()


def test_a_unix_socket(serve: Callable[..., Server], socket_path: Path) -> None:
    serve("tests.client.app:app", "--uds", str(socket_path))
    with connect("ws://localhost/echo", uds=str(socket_path)) as ws:
        ws.send("over a file")
        assert ws.recv(PATIENCE) == "over a file"


def test_tls(serve: Callable[..., Server], tmp_path: Path) -> None:
    authority = trustme.CA()
    pem = tmp_path / "server.pem"
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(pem))
    context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    server = serve("tests.client.app:app", "--ssl-certfile", str(pem))
    with connect(f"wss://localhost:{server.port}/echo", ssl=context) as ws:
        for message in MESSAGES:
            ws.send(message)
            assert ws.recv(PATIENCE) == message


# Receiving.


def test_a_message_in_fragments_with_a_ping_between(play: Play) -> None:
    def script(peer: socket.socket) -> None:
        send(peer, TEXT, b"one ", fin=False)
        send(peer, PING, b"are you there")
        send(peer, CONTINUATION, b"message")
        assert read_frame(peer) == (PONG, b"are you there")
        assert read_frame(peer) == (CLOSE, b"\x03\xe8")
        send(peer, CLOSE, b"\x03\xe8")

    with connect(play(script)) as ws:
        assert ws.recv(PATIENCE) == "one message"


def test_many_messages_of_one_read(play: Play) -> None:
    def script(peer: socket.socket) -> None:
        peer.sendall(b"".join(frame(TEXT, b"%d" % n, mask=None) for n in range(1000)))
        send(peer, CLOSE, b"\x0f\xa0bye")
        assert read_frame(peer) == (CLOSE, b"\x0f\xa0")

    with connect(play(script)) as ws:
        assert list(ws) == [str(n) for n in range(1000)]
    assert ws.close_code == 4000


def test_what_times_out_is_received_later(server: Server) -> None:
    with connect(server.url("/echo")) as ws:
        for timeout in (0.01, 0):
            with pytest.raises(TimeoutError):
                ws.recv(timeout)
        ws.send("here")
        assert ws.recv(PATIENCE) == "here"


def test_every_wait_has_the_whole_timeout(server: Server) -> None:
    begin = monotonic()
    with connect(server.url("/echo")) as ws:
        while monotonic() < begin + 2.5:
            ws.send("again")
            assert ws.recv(timeout=2) == "again"


def test_others_are_served_while_one_has_much_to_read(play: Play) -> None:
    turns = 0

    def script(peer: socket.socket) -> None:
        for _ in range(32):
            send(peer, BINARY, bytes(READ_SIZE))
        sent.set()
        assert read_frame(peer) == (CLOSE, b"\x03\xe8")
        send(peer, CLOSE, b"\x03\xe8")

    def count() -> None:
        nonlocal turns
        while True:
            gevent.sleep(0)
            turns += 1

    sent = gevent.event.Event()
    with connect(play(script)) as ws:
        sent.wait()
        counting = gevent.spawn(count)
        for _ in range(32):
            ws.recv(PATIENCE)
        counting.kill()
    assert turns >= 32


# Sending.


def test_a_pong_does_not_come_into_a_frame_that_another_greenlet_sends(play: Play) -> None:
    big = bytes(16 << 20)  # more than the kernel's buffers of both sides hold

    def script(peer: socket.socket) -> None:
        begun.wait()
        send(peer, PING, b"now")
        send(peer, TEXT, b"ping sent")
        received.wait()
        assert read_frame(peer) == (BINARY, big)
        assert read_frame(peer) == (PONG, b"now")
        assert read_frame(peer) == (CLOSE, b"\x03\xe8")
        send(peer, CLOSE, b"\x03\xe8")

    begun, received = gevent.event.Event(), gevent.event.Event()
    with connect(play(script)) as ws:
        sending = gevent.spawn(ws.send, big)
        gevent.sleep(0)
        begun.set()
        assert ws.recv(PATIENCE) == "ping sent"
        assert not sending.ready()
        received.set()
        sending.get()


@pytest.mark.parametrize("end", ["close", "drop"])
def test_sending_after_the_end(server: Server, end: str) -> None:
    ws = connect(server.url("/echo"))
    getattr(ws, end)()
    with pytest.raises(Disconnected):
        ws.send("too late")


def test_a_send_that_is_cut_off_ends_the_connection(play: Play) -> None:
    def script(peer: socket.socket) -> None:
        cut.wait()
        assert len(peer.recv(1 << 20)) > 0

    cut = gevent.event.Event()
    ws = connect(play(script))
    with pytest.raises(TimeoutError), gevent.Timeout(0.05, TimeoutError):
        ws.send(bytes(16 << 20))
    cut.set()
    assert ws.close_code == 1006


# The end.


def test_the_client_closes(play: Play) -> None:
    def script(peer: socket.socket) -> None:
        assert read_frame(peer) == (CLOSE, b"\x0f\xa1done")
        send(peer, TEXT, b"a message that comes too late")
        send(peer, CLOSE, b"\x0f\xa1")

    ws = connect(play(script))
    assert ws.close_code is None
    ws.close(4001, "done")
    assert ws.close_code == 4001
    ws.close()  # nothing happens


def test_the_server_closes(server: Server) -> None:
    with connect(server.url("/close?code=4000&reason=bye")) as ws:
        assert ws.recv(PATIENCE) == "last"
        with pytest.raises(Disconnected) as caught:
            ws.recv(PATIENCE)
    assert (caught.value.code, caught.value.reason, caught.value.clean) == (4000, "bye", True)
    assert ws.close_code == 4000


def test_the_server_vanishes(server: Server) -> None:
    with connect(server.url("/vanish")) as ws, pytest.raises(Disconnected) as caught:
        ws.recv(PATIENCE)
    assert (caught.value.code, caught.value.clean) == (1006, False)


def test_the_server_breaks_the_protocol(play: Play) -> None:
    def script(peer: socket.socket) -> None:
        peer.sendall(frame(TEXT, b"masked", mask=MASK))
        opcode, payload = read_frame(peer)
        assert (opcode, payload[:2]) == (CLOSE, b"\x03\xea")

    with connect(play(script)) as ws, pytest.raises(Disconnected, match="1002"):
        ws.recv(PATIENCE)


@pytest.mark.parametrize("end", ["drop", "reset"])
def test_an_end_without_a_close_frame(play: Play, end: str) -> None:
    def script(peer: socket.socket) -> None:
        try:
            assert peer.recv(1) == b""
            seen.append("drop")
        except ConnectionResetError:
            seen.append("reset")

    seen: list[str] = []
    ws = connect(play(script))
    getattr(ws, end)()
    assert ws.close_code == 1006
    with pytest.raises(Disconnected):
        ws.recv(PATIENCE)
    while not seen:
        gevent.sleep(0.001)
    assert seen == [end]


def test_one_drops_the_connection_while_another_waits(server: Server) -> None:
    ws = connect(server.url("/echo"))
    waiting = gevent.spawn(ws.recv, PATIENCE)
    gevent.sleep(0)
    ws.drop()
    for _ in range(3):
        gevent.sleep(0)
    assert waiting.ready()
    with pytest.raises(Disconnected, match="1006"):
        waiting.get()


def test_who_is_killed_in_the_block_does_not_wait(play: Play) -> None:
    def script(peer: socket.socket) -> None:
        assert peer.recv(1) == b""

    def stay() -> None:
        with connect(url) as ws:
            opened.set()
            ws.recv()

    opened, url = gevent.event.Event(), play(script)
    staying = gevent.spawn(stay)
    opened.wait()
    staying.kill()
