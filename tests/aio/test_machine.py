"""A server's connection over a real socket, and everything that may happen to it, in any order."""

import asyncio
import gc
import socket
import struct
import weakref
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from time import monotonic
from typing import Any

import uvicorn
import uvloop
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from fastws.errors import ClientDisconnected
from fastws.limits import Limits
from fastws.server import Config, HttpProtocol
from tests.server.peer import upgrade
from tests.server.serving import ACCEPT, Event, Receive, Scope, Send
from tests.wire.reference import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    RSV1,
    TAIL,
    TEXT,
    Frame,
    close_frame,
    frame,
    frames,
    header,
)
from tests.wire.streams import EXAMPLES, PROFILE

SIZES = st.sampled_from([0, 1, 5, 126, 300, 2000, 70_000])
LIMITS = (
    Limits(close_timeout=0.05, drain_window=0.0, ping_interval=None),
    Limits(
        close_timeout=0.05,
        drain_window=0.0,
        ping_interval=None,
        max_queue_messages=1,
        max_queue_size=100,
        max_write_buffer=1000,
    ),
)
PATIENCE = 10.0


class Meeting(RuleBasedStateMachine):
    """An app and a peer, and the connection between them.

    What the peer has been sent must be frames, those of the app's messages in their order, and
    nothing behind a close frame; what the app receives the peer's messages in their order, and
    nothing but disconnects behind the first one. In the end nothing of it is left.
    """

    new_loop: Callable[[], asyncio.AbstractEventLoop]

    # The stage.

    @initialize(limits=st.sampled_from(LIMITS), deflate=st.booleans(), listens=st.booleans())
    def begin(self, limits: Limits, deflate: bool, listens: bool) -> None:
        gc.collect()
        gc.disable()
        self.errors: list[dict[str, Any]] = []
        self.loop = type(self).new_loop()
        self.loop.set_exception_handler(lambda _, context: self.errors.append(context))
        self.listens = listens  # in the task of the app, not in one for each message
        self.gate, self.may_return = asyncio.Event(), asyncio.Event()
        self.events: list[Event] = []  # that the app has received
        self.receiving: list[asyncio.Task[None]] = []
        self.sending: list[tuple[int, bytes, asyncio.Task[None]]] = []
        self.unsent = b""  # by the peer, since TCP takes no more
        self.messages: list[tuple[int, bytes]] = []  # that the peer has sent, up to its end
        self.pings: list[bytes] = []
        self.peer_ended = self.faulty = self.vanished = False
        self.app_ended = False
        self.output = b""  # what has come to the peer
        self.at_end = False  # so has the end of TCP
        config = Config(
            self.app,
            limits=limits,
            interface="asgi3",
            lifespan="off",
            log_config=None,
            ws_per_message_deflate=deflate,
        )
        config.load()
        self.server = uvicorn.Server(config)
        self.connect(config)
        offer = [(b"sec-websocket-extensions", b"permessage-deflate")]
        self.write(upgrade("/", offer))
        self.turns(8)
        head, _, self.output = self.output.partition(b"\r\n\r\n")
        assert b" 101 " in head
        assert (b"permessage-deflate" in head) == deflate

    def connect(self, config: Config) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.peer = socket.create_connection(listener.getsockname())
            ours, _ = listener.accept()
        for sock in (self.peer, ours):
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        protocol = HttpProtocol(config, self.server.server_state, {}, self.loop)
        self.left: Any = weakref.ref(protocol)
        self.loop.run_until_complete(self.loop.connect_accepted_socket(lambda: protocol, ours))

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.receive, self.send = receive, send
        await receive()
        await send(ACCEPT)
        try:
            while self.listens:
                await self.gate.wait()
                if await self.take():
                    break
            await self.may_return.wait()
        except BaseException as error:
            self.errors.append({"of the app": error})

    async def say(self, event: Event) -> None:
        await self.send(event)

    async def take(self) -> bool:
        event = await self.receive()
        self.events.append(event)
        return bool(event["type"] == "websocket.disconnect")

    def turns(self, count: int = 4) -> None:
        """Lets everybody act."""

        async def pass_by() -> None:
            for _ in range(count):
                await asyncio.sleep(0)

        self.flush()
        self.loop.run_until_complete(pass_by())
        if self.output == b"" and not self.at_end:
            self.read_some(1 << 20)  # the head of the response

    # The peer.

    def write(self, data: bytes) -> None:
        self.unsent += data
        self.flush()

    def flush(self) -> None:
        while self.unsent and not self.vanished:
            try:
                sent = self.peer.send(self.unsent)
            except BlockingIOError:
                return
            except OSError:
                self.unsent = b""
                return
            self.unsent = self.unsent[sent:]

    def read_some(self, size: int) -> None:
        if self.vanished:
            return
        try:
            data = self.peer.recv(size)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self.output += data
        self.at_end = self.at_end or not data

    @precondition(lambda self: not self.peer_ended)
    @rule(opcode=st.sampled_from([TEXT, BINARY]), sizes=st.lists(SIZES, min_size=1, max_size=3))
    def peer_sends(self, opcode: int, sizes: list[int]) -> None:
        number = b"%d," % len(self.messages)
        parts = [number, *(b"x" * size for size in sizes)]
        data = frame(opcode, parts[0], fin=False)
        data += b"".join(frame(CONTINUATION, part, fin=False) for part in parts[1:])
        self.messages.append((opcode, b"".join(parts)))
        self.write(data + frame(CONTINUATION))
        self.turns()

    @precondition(lambda self: not self.peer_ended)
    @rule(count=st.integers(1, 20))
    def peer_sends_many(self, count: int) -> None:
        for _ in range(count):
            self.messages.append((TEXT, b"%d" % len(self.messages)))
            self.unsent += frame(*self.messages[-1])
        self.turns()

    @precondition(lambda self: not self.peer_ended)
    @rule(size=st.integers(0, 121))
    def peer_pings(self, size: int) -> None:
        self.pings.append(b"%4d" % len(self.pings) + b"p" * size)
        self.write(frame(PING, self.pings[-1]))
        self.turns()

    @precondition(lambda self: not self.peer_ended)
    @rule(code=st.sampled_from([None, 1000, 3000]))
    def peer_closes(self, code: int | None) -> None:
        self.write(close_frame(code))
        self.peer_ended = True
        self.turns()

    @precondition(lambda self: not self.peer_ended)
    @rule(data=st.sampled_from([frame(7), frame(TEXT, b"\xff"), frame(TEXT, key=None)]))
    def peer_breaks_a_rule(self, data: bytes) -> None:
        self.write(data)
        self.peer_ended = self.faulty = True
        self.turns()

    @precondition(lambda self: not self.vanished)
    @rule()
    def peer_finishes(self) -> None:
        """With FIN, perhaps inside a frame that TCP has not taken as a whole."""
        if self.unsent:
            self.faulty = True
        self.unsent, self.peer_ended = b"", True
        with suppress(OSError):
            self.peer.shutdown(socket.SHUT_WR)
        self.turns()

    @precondition(lambda self: not self.vanished)
    @rule(reset=st.booleans())
    def peer_vanishes(self, reset: bool) -> None:
        self.vanish(reset=reset)
        self.turns()

    def vanish(self, *, reset: bool) -> None:
        self.vanished = self.peer_ended = True
        if reset:
            self.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.peer.close()

    @rule(size=st.sampled_from([10, 5000, 1 << 20]))
    def peer_reads(self, size: int) -> None:
        self.read_some(size)
        self.turns()

    # The app.

    @rule()
    def app_opens_its_ears(self) -> None:
        self.gate.set()
        self.turns()

    @rule()
    def app_shuts_its_ears(self) -> None:
        self.gate.clear()
        self.turns()

    @precondition(lambda self: not self.listens)
    @rule(count=st.integers(1, 5))
    def app_receives(self, count: int) -> None:
        for _ in range(count):
            if sum(event["type"] == "websocket.disconnect" for event in self.events) < 50:
                self.receiving.append(self.loop.create_task(self.take()))  # type: ignore[arg-type]
        self.turns()

    @rule(data=st.data())
    def app_cancels(self, data: st.DataObject) -> None:
        tasks = [task for _, _, task in self.sending] + self.receiving
        waiting = [task for task in tasks if not task.done()]
        if waiting:
            data.draw(st.sampled_from(waiting)).cancel()
        self.turns()

    @rule(opcode=st.sampled_from([TEXT, BINARY]), size=SIZES, count=st.integers(1, 3))
    def app_sends(self, opcode: int, size: int, count: int) -> None:
        for _ in range(count):
            payload = b"%d," % len(self.sending) + b"y" * size
            field = {"text": payload.decode()} if opcode == TEXT else {"bytes": payload}
            sending = self.loop.create_task(self.say({"type": "websocket.send", **field}))
            self.sending.append((opcode, payload, sending))
        self.turns()

    @rule(code=st.sampled_from([1000, 4000]))
    def app_closes(self, code: int) -> None:
        with suppress(RuntimeError):
            self.loop.run_until_complete(self.say({"type": "websocket.close", "code": code}))
        self.app_ended = True
        self.turns()

    @rule()
    def app_returns(self) -> None:
        self.may_return.set()
        self.turns()
        self.app_ended = self.app_ended or not self.server.server_state.tasks

    @rule()
    def app_aborts(self) -> None:
        if self.server.server_state.connections:
            self.loop.call_soon(self.left().abort)
        self.app_ended = self.faulty = True
        self.turns()

    @rule()
    def server_shuts_down(self) -> None:
        for connection in self.server.server_state.connections:
            self.loop.call_soon(connection.shutdown)
        self.app_ended = True
        self.turns()

    # What always holds.

    def frames(self) -> Iterator[Frame]:
        """Gives the frames that have come to the peer as a whole."""
        at = 0
        while (head := header(self.output, at)) is not None:
            end = at + head.size + head.length
            if end > len(self.output):
                return
            yield from frames(self.output[at:end])
            at = end

    def sent(self) -> list[tuple[int, bytes]]:
        """Gives the messages of the app that went out, as far as it knows."""
        return [
            (opcode, payload)
            for opcode, payload, task in self.sending
            if task.done() and not task.cancelled() and task.exception() is None
        ]

    @invariant()
    def the_peer_gets_what_was_sent(self) -> None:
        if not hasattr(self, "output"):
            return
        found = list(self.frames())
        assert all(found.fin and found.key is None for found in found)
        opcodes = [found.opcode for found in found]
        assert CLOSE not in opcodes[:-1]
        messages = [(found.opcode, inflated(found)) for found in found if found.opcode < CLOSE]
        assert messages == self.sent()[: len(messages)]
        pings = iter(self.pings)
        assert all(found.payload in pings for found in found if found.opcode == PONG)

    @invariant()
    def the_app_gets_what_was_sent(self) -> None:
        if not hasattr(self, "output"):
            return
        received = [event for event in self.events if event["type"] == "websocket.receive"]
        assert self.events[: len(received)] == received
        payloads = [contents(event) for event in received]
        assert payloads == [payload for _, payload in self.messages[: len(payloads)]]
        rest = self.events[len(received) :]
        assert all(event == rest[0] for event in rest)
        if self.listens:
            assert len(rest) < 2

    @invariant()
    def nothing_went_wrong(self) -> None:
        assert getattr(self, "errors", []) == []

    # The end.

    def teardown(self) -> None:
        if not hasattr(self, "output"):
            return
        try:
            self.end()
            self.the_peer_gets_what_was_sent()
            self.the_app_gets_what_was_sent()
            self.nothing_is_missing()
            self.nothing_is_left()
        finally:
            self.peer.close()
            self.loop.close()
            gc.enable()

    def end(self) -> None:
        """Lets the peer read all, the app receive all, and then both leave."""
        self.clean = not self.vanished
        self.gate.set()
        if not self.listens:
            for _ in range(len(self.messages) + 1):
                self.receiving.append(self.loop.create_task(self.take()))  # type: ignore[arg-type]
        self.settle(lambda: not self.unsent)
        if not self.peer_ended:
            self.write(close_frame(1000))
        self.settle(lambda: self.at_end or self.vanished)
        self.peer.close()
        self.vanished = True
        self.may_return.set()
        state = self.server.server_state
        self.settle(lambda: not state.connections and not state.tasks)
        self.settle(lambda: all(task.done() for _, _, task in self.sending))
        for task in self.receiving:
            task.cancel()
        self.turns()

    def settle(self, condition: Callable[[], bool]) -> None:
        deadline = monotonic() + PATIENCE
        while not condition():
            assert monotonic() < deadline
            self.read_some(1 << 20)
            self.turns(1)

    def nothing_is_missing(self) -> None:
        for _, _, task in self.sending:
            if not task.cancelled() and (error := task.exception()) is not None:
                assert isinstance(error, ClientDisconnected | RuntimeError)
        if not self.app_ended and not self.faulty and self.clean:
            received = [event for event in self.events if event["type"] == "websocket.receive"]
            assert len(received) == len(self.messages)
        codes = [found for found in self.frames() if found.opcode == CLOSE]
        if codes and not self.faulty:
            messages = [found for found in self.frames() if found.opcode < CLOSE]
            assert len(messages) == len(self.sent())

    def nothing_is_left(self) -> None:
        del self.receive, self.send
        self.receiving.clear()
        self.sending.clear()
        # A timer may hold on to it for a moment.
        self.settle(lambda: self.left() is None)


def contents(event: Event) -> bytes:
    """Gives the payload of a message that was received."""
    payload: bytes = event["bytes"] if event.get("text") is None else event["text"].encode()
    return payload


def inflated(found: Frame) -> bytes:
    """Gives the payload of a message that was sent."""
    if found.rsv != RSV1:
        return found.payload
    return zlib.decompressobj(wbits=-15).decompress(found.payload + TAIL)


class OnUvloop(Meeting):
    new_loop = uvloop.new_event_loop


class OnAsyncio(Meeting):
    new_loop = asyncio.SelectorEventLoop


# Each takes as long as a close may, so there are fewer of them.
PROFILE_HERE = settings(PROFILE, max_examples=EXAMPLES // 4, stateful_step_count=30)
TestOnUvloop = OnUvloop.TestCase
TestOnUvloop.settings = PROFILE_HERE
TestOnAsyncio = OnAsyncio.TestCase
TestOnAsyncio.settings = PROFILE_HERE
