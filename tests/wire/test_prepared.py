"""A prepared message is the message that `send_text` or `send_binary` would send."""

from typing import Any

import pytest

from fastws.wire import Opcode, PreparedMessage


@pytest.mark.parametrize(
    ("message", "opcode", "payload"),
    [
        ("héllo", Opcode.TEXT, "héllo".encode()),
        ("", Opcode.TEXT, b""),
        (b"\x00\xff", Opcode.BINARY, b"\x00\xff"),
        (bytearray(b"ab"), Opcode.BINARY, b"ab"),
        (memoryview(b"abcd")[1:3], Opcode.BINARY, b"bc"),
    ],
)
def test_what_it_holds(message: Any, opcode: Opcode, payload: bytes) -> None:
    prepared = PreparedMessage(message)
    assert (prepared.opcode, prepared.payload) == (opcode, payload)


@pytest.mark.parametrize("message", [None, 5, ["a"]])
def test_only_text_and_bytes(message: Any) -> None:
    with pytest.raises(TypeError):
        PreparedMessage(message)


def test_it_keeps_its_own_copy() -> None:
    data = bytearray(b"before")
    prepared = PreparedMessage(data)
    data[:] = b"after!"
    assert prepared.payload == b"before"
