"""`JWKS`: how it comes by its keys, and how they stay fresh."""

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from fastws.app.auth import JWT
from fastws.app.keys import JWKS, MAX_SET_SIZE
from tests.app.issuer import Issuer
from tests.app.test_keys import UNKNOWN, auth_with, reason, token
from tests.app.tokens import SECRET, Claims, jwk
from tests.processes import PATIENCE

Start = Callable[..., Issuer]
HOUR = 3600.0
ONCE: dict[str, Any] = {"refresh_interval": HOUR, "cooldown": HOUR}
EAGER: dict[str, Any] = {"refresh_interval": HOUR, "cooldown": 0.0}


@pytest.fixture
def issuer() -> Iterator[Start]:
    """Starts issuers, ``issuer([key, ...], context)``, until the test is over."""
    started: list[Issuer] = []

    def start(keys: list[Any], context: ssl.SSLContext | None = None) -> Issuer:
        started.append(Issuer(keys, context))
        return started[-1]

    yield start
    for each in started:
        each.close()


@pytest.fixture(autouse=True)
def no_threads_left() -> Iterator[None]:
    """Every thread that was started ends when it is told to."""
    yield
    for thread in threading.enumerate():
        if thread.name == "fastws-jwks":
            thread.join(PATIENCE)
            assert not thread.is_alive()


async def wait_for(issuer: Issuer, count: int) -> None:
    await asyncio.to_thread(issuer.wait_for, count)


async def test_keys_come_by_http_and_change(issuer: Start) -> None:
    server = issuer([jwk("Ed25519", kid="1")])
    auth = auth_with(JWKS(server.url, **EAGER), "EdDSA", "RS256")
    async with auth:
        assert auth.verify(token("Ed25519", "EdDSA", kid="1"), Claims).subject == "ada"
        server.publish([jwk("RSA", kid="2")])
        new = token("RSA", "RS256", kid="2")
        assert reason(auth, new) == UNKNOWN
        await wait_for(server, 2)
        reason(auth, token("Ed25519", "EdDSA", kid="3"))
        await wait_for(server, 3)  # so the answer before it has been read
        assert auth.verify(new, Claims).subject == "ada"
        # A key that is taken out of the set is good for nothing from then on.
        assert reason(auth, token("Ed25519", "EdDSA", kid="1")) == UNKNOWN
    assert set(server.requests) == {"/keys"}
    assert set(server.agents) == {"fastws"}
    assert auth.verify(new, Claims).subject == "ada"


async def test_keys_are_refreshed_without_being_asked_for(issuer: Start) -> None:
    server = issuer([jwk("Ed25519", kid="1")])
    async with JWKS(server.url, refresh_interval=0.01, cooldown=0.0):
        await wait_for(server, 3)


async def test_unknown_keys_do_not_make_us_a_flood(issuer: Start) -> None:
    server, other, third = (issuer([jwk("Ed25519", kid="1")]) for _ in range(3))
    calm = auth_with(JWKS(server.url, **ONCE))
    eager, once = (auth_with(JWKS(each.url, **EAGER)) for each in (other, third))
    async with calm, eager, once:
        for number in range(100):
            assert reason(calm, token("Ed25519", "EdDSA", kid=f"x{number}")) == UNKNOWN
        assert reason(once, token("Ed25519", "EdDSA", kid="x")) == UNKNOWN
        await wait_for(third, 2)
        # The other one shows that a request would have been made by now.
        for count in range(2, 6):
            assert reason(eager, token("Ed25519", "EdDSA", kid="x")) == UNKNOWN
            await wait_for(other, count)
    assert (len(server.requests), len(third.requests)) == (1, 2)


BAD_ANSWERS: dict[str, tuple[bytes, int, dict[str, str]]] = {
    "HTTP 503": (b"", 503, {}),
    "HTTP 404": (b"\x1b[2J", 404, {}),
    "HTTP 302": (b"", 302, {"location": "http://127.0.0.1:9/"}),
    "it is not a JWK Set": (b"<html>", 200, {}),
    "it has no usable public key": (b'{"keys": []}', 200, {}),
    "it is larger than 1048576 bytes": (b" " * (MAX_SET_SIZE + 1), 200, {}),
    "BadStatusLine": (b"\x1b[2J\r\n\r\n", 0, {}),
}


@pytest.mark.parametrize("cause", BAD_ANSWERS)
async def test_a_failed_refresh_keeps_the_keys_and_logs_a_line(
    issuer: Start, cause: str, caplog: pytest.LogCaptureFixture
) -> None:
    server = issuer([jwk("Ed25519", kid="1")])
    auth = auth_with(JWKS(server.url, **EAGER))
    async with auth:
        server.answer(*BAD_ANSWERS[cause])
        reason(auth, token("Ed25519", "EdDSA", kid="x"))
        await wait_for(server, 3)  # after a failure it tries again by itself
        assert auth.verify(token("Ed25519", "EdDSA", kid="1"), Claims).subject == "ada"
    said = f"no keys from {server.url}: {cause}; the keys from before stay in use"
    assert set(caplog.messages) == {said}
    assert {record.levelname for record in caplog.records} == {"WARNING"}
    assert not any(record.exc_info for record in caplog.records)


async def test_without_keys_there_is_no_start(issuer: Start, tmp_path: Path) -> None:
    server = issuer([])
    server.answer(*BAD_ANSWERS["HTTP 503"])
    with pytest.raises(OSError, match=f"no keys from {server.url}: HTTP 503"):
        await auth_with(JWKS(server.url)).__aenter__()
    with pytest.raises(OSError, match="No such file"):
        await auth_with(JWKS(tmp_path / "none")).__aenter__()
    server.publish(["key"])
    with pytest.raises(ValueError, match="no usable public key"):
        await auth_with(JWKS(server.url)).__aenter__()


async def test_nobody_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(OSError, match="timed out"):
            await JWKS(f"http://127.0.0.1:{port}/", timeout=0.05).__aenter__()
    with pytest.raises(OSError, match="refused"):
        await JWKS(f"http://127.0.0.1:{port}/").__aenter__()


async def test_an_answer_that_never_ends(issuer: Start) -> None:
    server = issuer([])
    server.drip()
    with pytest.raises(OSError, match="timed out"):
        await JWKS(server.url, timeout=0.2).__aenter__()


async def test_a_set_can_be_entered_again(issuer: Start) -> None:
    server = issuer([jwk("Ed25519", kid="1")])
    jwks = JWKS(server.url, **EAGER)
    for count in 1, 3, 5:
        async with jwks as entered:
            assert entered is jwks
            await wait_for(server, count)
            assert jwks.find("x", "EdDSA") is None
            await wait_for(server, count + 1)


async def test_a_start_that_is_cancelled(issuer: Start) -> None:
    """Its thread ends, too: see `no_threads_left`."""
    server = issuer([jwk("Ed25519", kid="1")])
    async with asyncio.timeout(PATIENCE):
        starting = asyncio.create_task(JWKS(server.url).__aenter__())
        await asyncio.sleep(0)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
    await wait_for(server, 1)


async def test_a_jwt_with_one_key_can_be_entered_too() -> None:
    async with JWT(SECRET, algorithms=["HS256"]) as auth:
        assert isinstance(auth, JWT)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def serving(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context


async def test_keys_come_by_https(issuer: Start, authority: trustme.CA) -> None:
    server = issuer([jwk("Ed25519", kid="1")], serving(authority, "127.0.0.1"))
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    async with auth_with(JWKS(server.url, ssl=trusting)) as auth:
        assert auth.verify(token("Ed25519", "EdDSA", kid="1"), Claims).subject == "ada"


async def test_a_certificate_that_is_not_trusted(issuer: Start, authority: trustme.CA) -> None:
    server = issuer([jwk("Ed25519", kid="1")], serving(authority, "127.0.0.1"))
    with pytest.raises(OSError, match="certificate verify failed"):
        await JWKS(server.url).__aenter__()


async def test_a_certificate_for_somebody_else(issuer: Start, authority: trustme.CA) -> None:
    server = issuer([jwk("Ed25519", kid="1")], serving(authority, "login.example"))
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    with pytest.raises(OSError, match="certificate verify failed"):
        await JWKS(server.url, ssl=trusting).__aenter__()


async def test_a_redirect_is_not_followed(issuer: Start, authority: trustme.CA) -> None:
    """From https to http, it would hand the choice of keys to the network."""
    plain = issuer([jwk("Ed25519", kid="1")])
    server = issuer([], serving(authority, "127.0.0.1"))
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    for status in 301, 302, 303, 307, 308:
        server.answer(b"", status, {"location": plain.url})
        with pytest.raises(OSError, match=f"HTTP {status}"):
            await JWKS(server.url, ssl=trusting).__aenter__()
    assert plain.requests == []


async def test_a_proxy_is_not_asked_for_what_is_here(
    issuer: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, proxy = issuer([jwk("Ed25519", kid="1")]), issuer([jwk("RSA", kid="2")])
    monkeypatch.setenv("http_proxy", proxy.url)
    async with JWKS(server.url):
        assert server.requests == ["/keys"]
    assert proxy.requests == []
