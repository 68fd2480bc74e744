"""The client without a socket: what comes, what does not, and what is said about it."""

import asyncio
import traceback
from types import MappingProxyType
from typing import Any

import msgspec
import pytest

from fastws.errors import ClientDisconnected, Disconnected, HandshakeError
from fastws.testing import connect
from fastws.testing.call import App, Event, Receive, Scope, Send
from tests.testing.apps import ACCEPT, Chat, Said, accepting, echo, sending, text

CLOSE: Event = {"type": "websocket.close"}


async def test_messages_go_there_and_back() -> None:
    async with connect(echo) as ws:
        for message in ["text", "", "gr\xfc\xdfe", b"bytes", b""]:
            await ws.send(message)
            assert await ws.recv() == message
        await ws.send(memoryview(b"view"))
        assert await ws.recv() == b"view"
        assert ws.closed is None
    assert ws.closed == (1000, "")


async def test_structs_are_json_in_text() -> None:
    async with connect(echo) as ws:
        await ws.send(Chat("hi"))
        assert await ws.recv() == '{"type":"Chat","content":"hi"}'
        await ws.send({"type": "Said", "user": "Ada", "content": "hi"})
        assert await ws.expect(Said) == Said("Ada", "hi")


async def test_structs_are_messagepack_in_binary_with_that_subprotocol() -> None:
    async with connect(sending(subprotocol="msgpack"), subprotocols=["msgpack"]) as ws:
        assert ws.subprotocol == "msgpack"

    async def answer(receive: Receive, send: Send) -> None:
        chat = msgspec.msgpack.decode((await receive())["bytes"], type=Chat)
        said = msgspec.msgpack.encode(Said("Ada", chat.content))
        await send({"type": "websocket.send", "bytes": said})
        await send(CLOSE)

    app = accepting(answer, subprotocol="msgpack")
    async with connect(app, subprotocols=["json", "msgpack"]) as ws:
        await ws.send(Chat("hi"))
        assert await ws.expect(Said) == Said("Ada", "hi")


async def test_one_of_several_types() -> None:
    async with connect(echo) as ws:
        await ws.send(Chat("hi"))
        either: Any = Said | Chat
        assert await ws.expect(either) == Chat("hi")


async def test_what_the_app_is_called_with() -> None:
    scopes: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append(scope)
        await echo(scope, receive, send)

    async with connect(
        app,
        "/r%C3%A4ume/a?room=1",
        headers={"Origin": "https://a.example", "Host": "b.example"},
        subprotocols=["b", "a"],
        client=("1.2.3.4", 5),
    ) as ws:
        (scope,) = scopes
        assert ws.scope == scope
    headers = dict(scope.pop("headers"))
    assert headers[b"origin"] == b"https://a.example"
    assert headers[b"host"] == b"b.example"
    assert headers[b"sec-websocket-protocol"] == b"b, a"
    assert headers[b"upgrade"] == b"websocket"
    assert scope == {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "scheme": "ws",
        "path": "/r\xe4ume/a",
        "raw_path": b"/r%C3%A4ume/a",
        "query_string": b"room=1",
        "root_path": "",
        "client": ("1.2.3.4", 5),
        "server": ("127.0.0.1", 80),
        "subprotocols": ["b", "a"],
        "state": {},
        "extensions": {"websocket.http.response": {}},
    }


@pytest.mark.parametrize(
    ("target", "options", "fault"),
    [
        ("chat", {}, "'chat' is no path"),
        ("/a b", {}, "percent-encoded"),
        ("/", {"headers": {"Upgrade": "h2c"}}, "does not take a header"),
        ("/", {"headers": {"X": "a\r\nb"}}, "control character"),
        ("/", {"subprotocols": ["a b"]}, "not a token"),
    ],
)
async def test_a_request_that_no_client_could_send(target: str, options: Any, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        async with connect(echo, target, **options):
            pass


# The handshake.


async def test_an_accept_with_headers() -> None:
    async with connect(sending(headers=[(b"X-Answer", b"42")])) as ws:
        assert dict(ws.response_headers) == {"x-answer": "42"}


async def test_a_refusal() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(
            {
                "type": "websocket.http.response.start",
                "status": 401,
                "headers": [(b"WWW-Authenticate", b"Bearer")],
            }
        )
        await send({"type": "websocket.http.response.body", "body": b"who", "more_body": True})
        await send({"type": "websocket.http.response.body", "body": b" are you"})
        assert (await receive())["type"] == "websocket.disconnect"

    with pytest.raises(HandshakeError) as caught:
        async with connect(app):
            pass
    error = caught.value
    assert (error.status, error.reason, error.body) == (401, "Unauthorized", b"who are you")
    assert error.headers == ((b"www-authenticate", b"Bearer"),)


async def test_a_close_instead_of_an_accept() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(CLOSE)

    with pytest.raises(HandshakeError, match="HTTP 403: Forbidden"):
        async with connect(app):
            pass


async def test_an_accept_and_a_close_in_one_go() -> None:
    async with connect(sending(text("bye"), {**CLOSE, "code": 4000, "reason": "no"})) as ws:
        assert await ws.recv() == "bye"
        assert await ws.expect_close() == ws.closed == (4000, "no")
        with pytest.raises(Disconnected) as caught:
            await ws.recv()
        assert (caught.value.code, caught.value.reason, caught.value.clean) == (4000, "no", True)
        with pytest.raises(Disconnected):
            await ws.send("too late")


# The client's end.


@pytest.mark.parametrize(
    ("code", "reason", "clean"), [(1000, "", True), (4001, "why", True), (1006, "", False)]
)
async def test_the_client_leaves(code: int, reason: str, clean: bool) -> None:
    ends: list[Any] = []

    async def act(receive: Receive, send: Send) -> None:
        ends.append(await receive())
        ends.append(await receive())
        with pytest.raises(ClientDisconnected) as caught:
            await send(text("too late"))
        ends.append((caught.value.code, caught.value.reason, caught.value.clean))
        await send(CLOSE)

    async with connect(accepting(act)) as ws:
        await ws.close(code, reason)
        assert ws.closed == (code, reason)
        await ws.close()
        with pytest.raises(Disconnected):
            await ws.recv()
    event = {"type": "websocket.disconnect", "code": code, "reason": reason}
    assert ends == [event, event, (code, reason, clean)]


async def test_what_came_before_the_end_is_received_after_it() -> None:
    async with connect(sending(text("one"), text("two"))) as ws:
        await ws.close()
        assert [await ws.recv(), await ws.recv()] == ["one", "two"]


@pytest.mark.parametrize(("code", "reason"), [(999, ""), (1004, ""), (1000, "x" * 124)])
async def test_a_close_that_cannot_be_sent(code: int, reason: str) -> None:
    async with connect(echo) as ws:
        with pytest.raises(ValueError, match=r"code|reason"):
            await ws.close(code, reason)


async def test_an_app_may_let_out_that_the_client_has_gone() -> None:
    async def act(receive: Receive, send: Send) -> None:
        while True:
            await asyncio.sleep(0)
            await send(text("still there?"))

    async with connect(accepting(act)):
        pass


# What does not come.


async def wait_for_ever(receive: Receive, send: Send) -> None:
    await asyncio.Event().wait()


async def test_a_message_that_does_not_come() -> None:
    async with connect(accepting(lambda receive, send: receive())) as ws:
        with pytest.raises(TimeoutError) as caught:
            await ws.recv(timeout=0.01)
        found = str(caught.value)
        assert found.startswith("a message did not come; the app waits at ")
        assert "tests/testing/apps.py:" in found
        assert found.endswith("in accepting.<locals>.app (waited 0.01 s)")
        with pytest.raises(TimeoutError, match="Said did not come"):
            await ws.expect(Said, timeout=0.01)
        with pytest.raises(TimeoutError, match="the end did not come"):
            await ws.expect_close(timeout=0.01)


async def test_an_app_that_does_not_answer() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await wait_for_ever(receive, send)

    with pytest.raises(TimeoutError, match=r"answer to the handshake .* in wait_for_ever"):
        async with connect(app, timeout=0.01):
            pass


async def test_an_app_that_does_not_end() -> None:
    ended = []

    async def act(receive: Receive, send: Send) -> None:
        try:
            await wait_for_ever(receive, send)
        finally:
            ended.append(True)

    with pytest.raises(TimeoutError, match=r"the app did not end; .* in wait_for_ever"):
        async with connect(accepting(act), timeout=0.2):
            pass
    assert ended == [True]


async def test_another_message_than_expected() -> None:
    async with connect(echo) as ws:
        await ws.send(Chat("hi"))
        with pytest.raises(AssertionError, match=r"expected Said, got '.*\"Chat\".*': Invalid val"):
            await ws.expect(Said)
        await ws.send("no JSON")
        with pytest.raises(AssertionError, match="expected Said, got 'no JSON': "):
            await ws.expect(Said)
        await ws.send("one")
        await ws.send("two")
        with pytest.raises(AssertionError, match="expected the end, got 'one'"):
            await ws.expect_close()


async def test_an_end_instead_of_a_message() -> None:
    async with connect(sending({**CLOSE, "code": 1008, "reason": "slow"})) as ws:
        with pytest.raises(
            AssertionError, match="expected Said, but the app closed with 1008 slow"
        ):
            await ws.expect(Said)


async def test_a_wait_that_is_cancelled_takes_no_message() -> None:
    async with connect(echo) as ws:
        waiting = asyncio.create_task(ws.recv())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await ws.send("x")
        assert await ws.recv() == "x"


# What goes wrong in the app.


class BugError(Exception):
    pass


async def bug(receive: Receive, send: Send) -> None:
    await send(text("before"))
    await receive()
    raise BugError


async def test_an_exception_of_the_app_is_the_tests() -> None:
    async def run() -> None:
        async with connect(accepting(bug)) as ws:
            assert await ws.recv() == "before"
            await ws.send("go")
            await ws.recv()

    with pytest.raises(BugError) as caught:
        await run()
    assert "bug" in [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]


@pytest.mark.parametrize("wait", ["expect_nothing", "expect_close", "close"])
async def test_whatever_the_test_waits_for(wait: str) -> None:
    async def run() -> None:
        async with connect(accepting(bug)) as ws:
            await ws.recv()
            await ws.send("go")
            await getattr(ws, wait)()

    with pytest.raises(BugError):
        await run()


async def test_an_exception_that_nobody_waits_for() -> None:
    async def run() -> None:
        async with connect(accepting(bug)) as ws:
            await ws.send("go")

    with pytest.raises(BugError):
        await run()


async def test_a_timeout_of_the_app_is_not_one_of_the_test() -> None:
    async def act(receive: Receive, send: Send) -> None:
        raise TimeoutError("its own")

    with pytest.raises(TimeoutError, match=r"\Aits own\Z"):
        async with connect(accepting(act)) as ws:
            await ws.recv()


async def test_an_exception_before_the_accept() -> None:
    def app(scope: Scope, receive: Receive, send: Send) -> Any:
        raise BugError

    with pytest.raises(BugError):
        async with connect(app):
            pass


async def test_a_failed_test_tells_what_went_wrong_in_an_app() -> None:
    async def run() -> None:
        async with connect(accepting(bug), "/bug") as ws:
            await ws.send("go")
            async with connect(echo) as other:
                await other.recv(timeout=0.01)

    with pytest.raises(TimeoutError) as caught:
        await run()
    (note,) = caught.value.__notes__
    assert note.startswith("Meanwhile, at /bug:\nTraceback")
    assert "BugError" in note


async def test_an_app_that_was_cancelled() -> None:
    async def act(receive: Receive, send: Send) -> None:
        raise asyncio.CancelledError

    with pytest.raises(AssertionError, match="the app was cancelled"):
        async with connect(accepting(act)):
            pass


def returning(*events: Event, result: Any = None) -> App:
    async def app(scope: Scope, receive: Receive, send: Send) -> Any:
        await receive()
        for event in events:
            await send(event)
        return result

    return app


START: Event = {"type": "websocket.http.response.start", "status": 403}
WRONG: dict[str, tuple[App, str]] = {
    "no answer": (returning(), "returned and left the connection connecting"),
    "half an answer": (returning(START), "returned and left the connection denying"),
    "no close": (returning(ACCEPT), "returned and left the connection open"),
    "a result": (returning(ACCEPT, CLOSE, result=1), "the app returned 1"),
    "a send before the accept": (
        returning(text("x")),
        "sent 'websocket.send', but may send 'websocket.accept', 'websocket.close' or",
    ),
    "two accepts": (returning(ACCEPT, ACCEPT), "sent 'websocket.accept', but may send 'websocket."),
    "a denial after the accept": (returning(ACCEPT, START), "'websocket.http.response.start', but"),
    "an accept after the denial": (returning(START, ACCEPT), "may send 'websocket.http.response.b"),
    "a send after the close": (
        returning(ACCEPT, CLOSE, text("x")),
        "sent 'websocket.send', but may send nothing after it has closed the connection",
    ),
    "two closes": (returning(ACCEPT, CLOSE, CLOSE), "sent 'websocket.close', but may send nothing"),
    "another protocol": (returning({"type": "http.response.start"}), "'http.response.start', but"),
    "no type": (returning({"text": "x"}), "an event is a dict with a type"),
    "no event": (returning("x"), "sent 'x'; an event is"),  # type: ignore[arg-type]
    "no message": (returning(ACCEPT, {"type": "websocket.send"}), "needs a text"),
    "text that is bytes": (returning(ACCEPT, {**text(""), "text": b"x"}), "needs a text"),
    "bytes that are text": (returning(ACCEPT, {"type": "websocket.send", "bytes": "x"}), "needs"),
    "a code": (returning(ACCEPT, {**CLOSE, "code": 1006}), "cannot close with 1006"),
    "a reason": (returning(ACCEPT, {**CLOSE, "reason": "x" * 124}), "more than 123 bytes"),
    "a status": (returning({**START, "status": 101}), "HTTP status 101"),
    "a header": (returning({**ACCEPT, "headers": [(b"x", b"a\r\nb")]}), "cannot be sent"),
    "a header that is text": (returning({**ACCEPT, "headers": [("x", "y")]}), "cannot be sent"),
    "a subprotocol": (returning({**ACCEPT, "subprotocol": "b"}), "did not offer .* 'b'"),
}


@pytest.mark.parametrize("name", WRONG)
async def test_what_no_server_puts_up_with(name: str) -> None:
    app, fault = WRONG[name]

    async def run() -> None:
        async with connect(app, subprotocols=["a"]) as ws:
            await ws.recv()

    with pytest.raises((AssertionError, Disconnected), match=fault) as caught:
        await run()
    assert caught.type is AssertionError


async def test_an_app_that_leaves_it_open_is_told_so_in_the_end() -> None:
    with pytest.raises(AssertionError, match="returned and left the connection open"):
        async with connect(returning(ACCEPT)):
            pass


async def test_an_exception_after_a_refusal() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(CLOSE)
        await asyncio.sleep(0)
        raise BugError

    with pytest.raises(BugError):
        async with connect(app):
            pass


async def test_a_fault_that_the_app_hides() -> None:
    async def act(receive: Receive, send: Send) -> None:
        with pytest.raises(AssertionError):
            await send(ACCEPT)
        await receive()

    with pytest.raises(AssertionError, match=r"sent 'websocket\.accept'"):
        async with connect(accepting(act)):
            pass


async def test_an_app_that_does_not_look_at_what_it_receives() -> None:
    async def act(receive: Receive, send: Send) -> None:
        while True:
            await receive()

    with pytest.raises(AssertionError, match=r"again and again after 'websocket\.disconnect'"):
        async with connect(accepting(act)):
            pass


async def test_events_need_not_be_dicts() -> None:
    async def act(receive: Receive, send: Send) -> None:
        await send(MappingProxyType(text("x")))  # type: ignore[arg-type]
        await receive()

    async with connect(accepting(act)) as ws:
        assert await ws.recv() == "x"


async def test_an_app_that_sends_for_ever_waits_for_the_client() -> None:
    sent = []

    async def act(receive: Receive, send: Send) -> None:
        while True:
            await send(text("x" * 1000))
            sent.append(True)

    async with connect(accepting(act)) as ws:
        await ws.recv()
        before = len(sent)
        assert 50 < before < 100
        for _ in range(100):
            await ws.recv()
        assert before < len(sent) < 200
