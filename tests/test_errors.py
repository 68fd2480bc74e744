import pytest

from fastws.errors import ClientDisconnected, Disconnected, HandshakeError, ProtocolError


def test_disconnected_is_what_asgi_wants_from_send() -> None:
    with pytest.raises(OSError, match=r"^1006$"):
        raise ClientDisconnected


def test_disconnected_carries_how_it_ended() -> None:
    error = Disconnected(1000, "bye", clean=True)
    assert (error.code, error.reason, error.clean) == (1000, "bye", True)
    assert str(error) == "1000 bye"


@pytest.mark.parametrize(
    ("reason", "seconds"),
    [
        ("restarting retry_ms=417", 0.417),
        ("retry_ms=0", 0.0),
        ("bye; retry_ms=60000.", 60.0),
        ("restarting", None),
        ("no_retry_ms=5", None),
        ("retry_ms=" + "9" * 100, None),
        ("retry_ms=\u0663", None),
    ],
)
def test_disconnected_knows_when_to_come_back(reason: str, seconds: float | None) -> None:
    assert Disconnected(1012, reason).retry_after == seconds


def test_a_protocol_error_carries_what_the_peer_gets() -> None:
    error = ProtocolError(1009, "message too big")
    assert (error.code, error.reason, str(error)) == (
        1009,
        "message too big",
        "1009 message too big",
    )


def test_a_handshake_error_carries_the_refusal() -> None:
    error = HandshakeError(426, "version", ((b"sec-websocket-version", b"13"),), b"body")
    assert (error.status, error.reason, error.body) == (426, "version", b"body")
    assert error.headers == ((b"sec-websocket-version", b"13"),)
    assert str(error) == "HTTP 426: version"


@pytest.mark.parametrize("kind", [Disconnected, ClientDisconnected, ProtocolError, HandshakeError])
def test_a_reason_forges_no_line_of_a_log(kind: type[Exception]) -> None:
    reason = "\x1b[31m\r\nERROR: forged\u2028\ud800 \u00e9"
    error = kind(400, reason)
    assert str(error).isprintable()
    assert "\\r\\nERROR: forged\\u2028" in str(error)
    assert error.reason == reason  # type: ignore[attr-defined]
    assert str(kind(400, "\u00e9 \U0001f600")).endswith(" \u00e9 \U0001f600")
