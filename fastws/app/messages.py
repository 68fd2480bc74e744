"""Messages as typed structs, and the formats in which they travel."""

from collections.abc import Callable
from typing import Any, ClassVar, dataclass_transform

import msgspec
from msgspec import inspect

from fastws.app.faults import MAX_DETAIL, MAX_PATH, explain, paths, printable, walk
from fastws.closing import CloseCode
from fastws.rooms import RoomPosition

# The name of a field, in MessagePack.
POSITION = msgspec.msgpack.encode("position")


# For type checkers: subclasses are frozen, too, without saying so.
@dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
class Message(msgspec.Struct, frozen=True, gc=False, tag=True, tag_field="type"):
    """The base of messages: a struct whose class name goes along, in the field ``type``.

        class Chat(Message):
            content: str

        Chat("hi")  # {"type": "Chat", "content": "hi"}

    Frozen, since a message to a whole room is one object. Not seen by the garbage collector, which
    saves a quarter of the time to decode a small one: a message can only leak if it is put into
    a list or dict that it holds itself.

    Fields that a class does not know are ignored, so that old servers understand new clients; a
    class with ``forbid_unknown_fields=True`` refuses them. If a JSON object has a name twice, the
    last one counts, as in browsers. Where only one type of message is taken, its tag may be
    missing.

    For checks of its own a class has ``__post_init__``: a `ValueError` there tells the peer
    only that the value is not allowed, a `BadMessage` tells what it says.
    """


class Error(Message):
    """The answer to a message that cannot be read.

    Attributes:
        code: what is wrong, for programs; see `fastws.app.faults.Fault`.
        detail: the same for people; without anything that the peer sent.
        path: where in the message, such as ``$.content``.
    """

    code: str
    detail: str
    path: str = "$"


class BadMessage(Exception):
    """A message that cannot be read.

    Attributes:
        code: what is wrong, for programs; see `fastws.app.faults.Fault`.
        detail: the same for people, at most 200 printable characters.
        path: where in the message, such as ``$.content``; at most 200 characters, too.
        close_code: for a connection that is closed for it.
    """

    close_code: ClassVar[CloseCode] = CloseCode.BAD_MESSAGE

    def __init__(self, code: str, detail: str, path: str = "$") -> None:
        self.code = code
        self.detail = printable(detail, MAX_DETAIL)
        self.path = printable(path, MAX_PATH)
        super().__init__(f"{self.code} at {self.path}: {self.detail}")

    def reply(self) -> Error:
        """Gives the message that tells the peer."""
        return Error(self.code, self.detail, self.path)


class Codec:
    """A set of messages in one format.

    Attributes:
        subprotocol: how clients ask for the format, in ``Sec-WebSocket-Protocol``.
        binary: whether its messages are binary or text.
        encode_bytes: like `encode`, but gives bytes in any case: what goes on the wire.
    """

    __slots__ = ("_paths", "decode_raw", "encode_bytes")

    subprotocol: ClassVar[str]
    binary: ClassVar[bool]
    # Whether all dicts of a value of type Any have strings as keys.
    _any_is_safe: ClassVar[bool]

    encode_bytes: Callable[[Any], bytes]
    decode_raw: Callable[[str | bytes], Any]

    def __init__(self, messages: Any, decode: Callable[..., Any]) -> None:
        self.decode_raw = decode
        self._paths = paths(messages)
        for name, node in walk(messages):
            if not self._is_safe(node):
                raise TypeError(
                    f"{name or messages} has a dict, a set or an Any to which peers can send keys "
                    f"that all collide: 1 MiB of them blocks the server for ten seconds. Safe are "
                    f"keys of str, bytes, bool, an enum or a Literal"
                )

    def decode(self, payload: str | bytes) -> Any:
        """Reads a message, in one pass.

        Args:
            payload: of one WebSocket message. What of it no field asks for is not checked, not
                even for being UTF-8, if it comes as bytes.

        Raises:
            BadMessage: it is none of the messages. No part of the payload is in the exception.
        """
        try:
            return self.decode_raw(payload)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            bad = BadMessage(*explain(error, self._paths))
        except TypeError:
            if not (self.binary and isinstance(payload, str)):
                raise
            bad = BadMessage("malformed", f"{self.subprotocol} is binary, and this is text")
        try:
            # Out here the exception has no context, and so no reference to the payload.
            raise bad
        finally:
            # It is in its own traceback, with all the frames, until somebody collects that.
            del bad

    def encode(self, message: Any) -> str | bytes:
        """Writes a message as the payload of an ASGI event: text as str, binary as bytes."""
        data = self.encode_bytes(message)
        return data if self.binary else data.decode()

    def add_position(self, payload: str | bytes, position: RoomPosition) -> str | bytes:
        """Gives what `encode` has given, with one more field, ``position``.

        What is no object, such as a list, remains as it is.
        """
        raise NotImplementedError

    @classmethod
    def _is_safe(cls, node: inspect.Type | inspect.Field) -> bool:
        """Tells whether a peer cannot make a lookup in such a dict or set slow.

        The hashes of strings and bytes are secret (PEP 456); those of numbers, and of all that is
        made of them, are known, and n keys of the same hash take n * n steps to insert.
        """
        if isinstance(node, inspect.DictType) and not isinstance(node.key_type, inspect.AnyType):
            return _has_secret_hash(node.key_type)
        if isinstance(node, inspect.SetType | inspect.FrozenSetType):
            return _has_secret_hash(node.item_type)
        return cls._any_is_safe or not isinstance(node, inspect.AnyType)


def _has_secret_hash(node: inspect.Type) -> bool:
    if isinstance(node, inspect.UnionType):
        return all(map(_has_secret_hash, node.types))
    if isinstance(node, inspect.Metadata):
        return _has_secret_hash(node.type)
    # Of the last four there are only a few values.
    few = inspect.BoolType | inspect.NoneType | inspect.EnumType | inspect.LiteralType
    return isinstance(node, inspect.StrType | inspect.BytesType | few)


class JsonCodec(Codec):
    """Messages as JSON text.

    NaN and infinity are no JSON: they are refused, and sent as ``null``. Integers may be long,
    those that are sent must fit into 64 bits.

    Args:
        messages: a `Message`, or a union of several; anything that msgspec can read.

    Raises:
        TypeError: msgspec cannot tell the types apart, or a peer could make decoding slow.
    """

    __slots__ = ()

    subprotocol = "json"
    binary = False
    _any_is_safe = True

    def __init__(self, messages: Any) -> None:
        super().__init__(messages, msgspec.json.Decoder(messages).decode)
        self.encode_bytes = msgspec.json.Encoder().encode

    def add_position(self, payload: str | bytes, position: RoomPosition) -> str | bytes:
        """See `Codec.add_position`."""
        assert isinstance(payload, str)
        if not payload.endswith("}"):
            return payload
        comma = "" if payload.startswith("{}") else ","
        return f'{payload[:-1]}{comma}"position":{self.encode_bytes(position).decode()}}}'


class MessagePackCodec(Codec):
    """Messages as binary MessagePack, with the same structs.

    NaN and infinity pass, unless the field has bounds (`msgspec.Meta`).

    Args:
        messages: a `Message`, or a union of several; anything that msgspec can read, but no Any.

    Raises:
        TypeError: msgspec cannot tell the types apart, or a peer could make decoding slow.
    """

    __slots__ = ()

    subprotocol = "msgpack"
    binary = True
    _any_is_safe = False

    def __init__(self, messages: Any) -> None:
        super().__init__(messages, msgspec.msgpack.Decoder(messages).decode)
        self.encode_bytes = msgspec.msgpack.Encoder().encode

    def add_position(self, payload: str | bytes, position: RoomPosition) -> str | bytes:
        """See `Codec.add_position`."""
        assert isinstance(payload, bytes)
        # MessagePack: 0x80 to 0x8f are maps of so many entries, 0xde is followed by their number.
        if payload.startswith(b"\xde"):
            count, start = int.from_bytes(payload[1:3], "big"), 3
        elif 0x80 <= payload[0] <= 0x8F:
            count, start = payload[0] - 0x80, 1
        else:
            return payload
        head = bytes([0x80 + count + 1]) if count < 15 else b"\xde" + (count + 1).to_bytes(2, "big")
        return b"%b%b%b%b" % (head, payload[start:], POSITION, self.encode_bytes(position))
