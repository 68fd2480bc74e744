"""Messages in JSON and MessagePack; what peers send instead, and what they are told."""

import json
import struct
import tracemalloc
from datetime import datetime
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastws.app.messages import BadMessage, Codec, Error, JsonCodec, Message, MessagePackCodec
from fastws.closing import CloseCode
from fastws.rooms import RoomPosition

CANARY = "qu\x1b[31m\r\nokka"


class Color(Enum):
    RED = "red"


class Chat(Message):
    content: str


class Join(Message):
    room: Annotated[str, msgspec.Meta(max_length=8, pattern="^[a-z]+$")]


class Strict(Message, forbid_unknown_fields=True):
    x: int = 0
    inner: "Strict | None" = None


class Checked(Message):
    name: str

    def __post_init__(self) -> None:
        if self.name == "taken":
            raise BadMessage("taken", "somebody else has this name", "$.name")
        if self.name == "a bug":
            raise KeyError(self.name)
        if self.name == "like msgspec":
            raise TypeError("Expected `quokka` - at `$.name`")
        if self.name != "ok":
            raise ValueError(f"{self.name!r} is no name")


class Rich(Message):
    i: int = 0
    f: float = 0.0
    bounded: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0
    color: Color = Color.RED
    literal: Literal["a", "b"] = "a"
    when: datetime | None = None
    uuid: UUID | None = None
    decimal: Decimal | None = None
    data: bytes = b""
    scores: dict[str, int] = {}
    pair: tuple[int, str] = (0, "")
    children: "list[Rich]" = []


class Loose(Message):
    anything: Any = None


Union = Chat | Join | Strict | Checked | Rich
JSON = JsonCodec(Union | Loose)
MSGPACK = MessagePackCodec(Union)
pack = msgspec.msgpack.Encoder().encode


def fault(payload: bytes | str, codec: Codec = JSON) -> tuple[str, str]:
    """Gives code and path of what is wrong, after a look at what no fault may have."""
    with pytest.raises(BadMessage) as caught:
        codec.decode(payload)
    bad = caught.value
    assert bad.__context__ is None
    assert "okka" not in str(bad)
    assert bad.detail.isprintable()
    assert bad.path.isprintable()
    assert len(bad.detail) <= 200
    assert len(bad.path) <= 200
    return bad.code, bad.path


def rich(**fields: Any) -> bytes:
    return json.dumps({"type": "Rich", **fields}).encode()


# What messages are.


def test_the_class_name_is_the_tag() -> None:
    assert JSON.encode(Chat("hi")) == '{"type":"Chat","content":"hi"}'
    assert JSON.encode_bytes(Chat("hi")) == b'{"type":"Chat","content":"hi"}'
    packed = MSGPACK.encode_bytes(Chat("hi"))
    assert msgspec.msgpack.decode(packed) == {"type": "Chat", "content": "hi"}
    assert MSGPACK.encode(Chat("hi")) == packed


@pytest.mark.parametrize("codec", [JSON, MSGPACK])
def test_what_is_encoded_is_decoded(codec: JsonCodec | MessagePackCodec) -> None:
    for message in (
        Chat("h\u00ef \U0001f600 \x00"),
        Join("abc"),
        Rich(when=datetime(2026, 1, 2), uuid=UUID(int=7), data=b"\xff", children=[Rich(f=0.5)]),
    ):
        assert codec.decode(codec.encode(message)) == message
        assert codec.decode(codec.encode_bytes(message)) == message


def test_a_message_is_matched_by_its_class_and_does_not_change() -> None:
    match JSON.decode('{"content": "hi", "type": "Chat"}'):
        case Chat(content):
            assert content == "hi"
        case _:
            pytest.fail("no match")
    with pytest.raises(AttributeError):
        Chat("hi").content = "ho"  # type: ignore[misc]


def test_anything_else_can_be_encoded() -> None:
    assert JSON.encode({"a": [1, None]}) == '{"a":[1,null]}'
    assert JSON.encode(float("nan")) == "null"


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_a_payload_may_be_any_bytes(kind: Any) -> None:
    assert JSON.decode(kind(b'{"type":"Chat","content":"hi"}')) == Chat("hi")
    assert MSGPACK.decode(kind(pack({"type": "Chat", "content": "hi"}))) == Chat("hi")


@pytest.mark.parametrize("codec", [JSON, MSGPACK])
def test_what_is_no_payload_is_a_bug_of_ours(codec: Codec) -> None:
    with pytest.raises(TypeError):
        codec.decode(None)  # type: ignore[arg-type]


def test_types_that_cannot_be_told_apart_are_refused() -> None:
    with pytest.raises(TypeError):
        JsonCodec(Chat | dict[str, int])


def test_formats_have_the_names_of_the_field() -> None:
    assert (JSON.subprotocol, JSON.binary) == ("json", False)
    assert (MSGPACK.subprotocol, MSGPACK.binary) == ("msgpack", True)


def test_the_reply_to_a_bad_message() -> None:
    with pytest.raises(BadMessage) as caught:
        JSON.decode(b'{"type":"Chat","content":1}')
    assert caught.value.close_code is CloseCode.BAD_MESSAGE
    assert json.loads(JSON.encode(caught.value.reply())) == {
        "type": "Error",
        "code": "wrong_type",
        "detail": "Expected `str`, got `int`",
        "path": "$.content",
    }
    assert JsonCodec(Error).decode(JSON.encode(caught.value.reply())) == caught.value.reply()


# What is ignored, and what is not.


def test_unknown_fields_are_ignored_unless_the_struct_forbids_them() -> None:
    assert JSON.decode(b'{"type":"Chat","content":"a","new":{"x":[1]}}') == Chat("a")
    assert fault(b'{"type":"Strict","qu\\u001bokka":1}') == ("unknown_field", "$")
    assert fault(b'{"type":"Strict","inner":{"type":"Strict","quokka":1}}') == (
        "unknown_field",
        "$.inner",
    )


def test_of_a_name_that_is_there_twice_the_last_counts() -> None:
    assert JSON.decode(b'{"type":"Chat","content":"a","content":"b"}') == Chat("b")
    assert fault(b'{"type":"Chat","content":1,"content":"b"}') == ("wrong_type", "$.content")


def test_a_second_tag_does_not_change_the_type() -> None:
    assert JSON.decode(b'{"type":"Chat","type":"Chat","content":"a"}') == Chat("a")
    assert fault(b'{"type":"Chat","type":"Join","room":"a"}') == ("unknown_type", "$.type")


def test_a_single_type_needs_no_tag_but_accepts_no_other() -> None:
    codec = JsonCodec(Chat)
    assert codec.decode(b'{"content":"a"}') == Chat("a")
    assert fault(b'{"type":"Join","content":"a"}', codec) == ("unknown_type", "$.type")


# What is wrong in JSON.


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b" ",
        b"{",
        b'{"type":"Chat","content":"quokka',
        b'{"type":"Chat",}',
        b'{"type":"Chat" "content":"a"}',
        b"{'type':'Chat'}",
        b'{"type":"Chat","content":"a"} quokka',
        b'{"type":"Chat","content":"a"}\x00',
        b'\xef\xbb\xbf{"type":"Chat","content":"a"}',  # RFC 8259 section 8.1: no BOM
        b'{"type":"Chat","content":"a\nb"}',
        b'{"type":"Chat","content":"\\x41"}',
        b'{"type":"Chat","content":"\\ud800"}',
        b'{"type":"Chat","content":"\\ud800quokka"}',
        b'{"type":"Chat","content":"\\udc00"}',
        b'{"type":"Chat","content":"\xff"}',
        b'{"type":"Chat","content":"\xed\xa0\x80"}',
        b'{"type":"\xff"}',
        b"\xff",
        b"quokka",
        b'{"type":"Rich","f":NaN}',
        b'{"type":"Rich","f":-Infinity}',
        b'{"type":"Rich","i":01}',
        b'{"type":"Rich","i":0x1}',
        '{"type":"Chat","content":"\udfff"}',
        pack({"type": "Chat", "content": "a"}),
    ],
)
def test_what_is_no_json_is_malformed(payload: bytes | str) -> None:
    assert fault(payload) == ("malformed", "$")


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b"null", ("wrong_type", "$")),
        (b"[]", ("wrong_type", "$")),
        (b'"quokka"', ("wrong_type", "$")),
        (b"{}", ("missing_field", "$.type")),
        (b'{"content":"quokka"}', ("missing_field", "$.type")),
        (b'{"type":null}', ("wrong_type", "$.type")),
        (b'{"type":"qu\\u001bokka"}', ("unknown_type", "$.type")),
        (b'{"type":"chat","content":"a"}', ("unknown_type", "$.type")),
        (b'{"type":"Message"}', ("unknown_type", "$.type")),
        (b'{"type":"Error"}', ("unknown_type", "$.type")),
        (b'{"type":"Chat"}', ("missing_field", "$.content")),
        (b'{"type":"Chat","content":["quokka"]}', ("wrong_type", "$.content")),
        (b'{"type":"Join","room":"QUOKKA"}', ("invalid_value", "$.room")),
        (b'{"type":"Join","room":"quokkaquokka"}', ("invalid_value", "$.room")),
        (rich(color=CANARY), ("invalid_value", "$.color")),
        (rich(literal=CANARY), ("invalid_value", "$.literal")),
        (rich(when=CANARY), ("invalid_value", "$.when")),
        (rich(uuid=CANARY), ("invalid_value", "$.uuid")),
        (rich(decimal=CANARY), ("invalid_value", "$.decimal")),
        (rich(data=CANARY), ("invalid_value", "$.data")),
        (rich(bounded=-1), ("invalid_value", "$.bounded")),
        (rich(pair=[1]), ("invalid_value", "$.pair")),
        (rich(pair=[1, 2]), ("wrong_type", "$.pair[1]")),
        (rich(scores={CANARY: CANARY}), ("wrong_type", "$.scores[...]")),
        (rich(i=True), ("wrong_type", "$.i")),
        (rich(i=1.5), ("wrong_type", "$.i")),
        (rich(children=[{"type": "Rich"}, 5]), ("wrong_type", "$.children[1]")),
        (rich(children=[{"type": CANARY}]), ("unknown_type", "$.children[0].type")),
        (
            rich(children=[{"type": "Rich", "children": [{"type": "Rich", "i": CANARY}]}]),
            ("wrong_type", "$.children[0].children[0].i"),
        ),
    ],
)
def test_what_fits_no_message_is_told_with_its_path(
    payload: bytes, expected: tuple[str, str]
) -> None:
    assert fault(payload) == expected


# What costs more than it says.


def nested(inner: bytes) -> bytes:
    return b'{"type":"Loose","anything":' + inner + b"}"


@pytest.mark.parametrize(
    "payload",
    [
        nested(b"[" * 100_000),
        nested(b"[" * 100_000 + b"]" * 100_000),
        nested(b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
        b'{"type":"Chat","content":"a","unknown":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"a":' * 100_000,
        b'{"type":"Rich","children":[' * 100_000,
    ],
    ids=["open", "closed", "objects", "in what is ignored", "before the tag", "typed"],
)
def test_deep_nesting_is_told(payload: bytes) -> None:
    assert fault(payload) == ("too_deep", "$")


def test_the_path_to_a_deep_fault_is_cut() -> None:
    payload = b'{"type":"Rich","children":[' * 100 + b"1"
    code, path = fault(payload)
    assert code == "wrong_type"
    assert path.startswith("$.children[0].children[0].")
    assert path.endswith("...")


def test_long_integers_are_read_up_to_the_limit_of_python() -> None:
    assert JSON.decode(rich(i=10**4000)) == Rich(i=10**4000)
    for field in (b"i", b"f"):
        payload = b'{"type":"Rich","%b":%b}' % (field, b"9" * 5000)
        assert fault(payload) == ("invalid_value", f"$.{field.decode()}")
    assert fault(nested(b"9" * 5000)) == ("invalid_value", "$.anything")
    assert fault(b'{"type":"Rich","f":1e999}') == ("invalid_value", "$.f")


def test_a_million_keys_are_read() -> None:
    scores = b",".join(b'"%d":1' % key for key in range(1_000_000))
    message = JSON.decode(b'{"type":"Rich","scores":{%b}}' % scores)
    assert isinstance(message, Rich)
    assert len(message.scores) == 1_000_000


class IntKeys(Message):
    scores: dict[int, str]


class UuidSet(Message):
    seen: set[UUID]


class Nested(Message):
    inner: list[IntKeys | Chat]


class AnySet(Message):
    seen: frozenset[Any]


class BareSet(Message):
    seen: set  # type: ignore[type-arg]


class BareDict(Message):
    data: dict  # type: ignore[type-arg]


class Level(IntEnum):
    LOW = 1


class SafeKeys(Message):
    a: dict[str, int] = {}
    b: dict[Color, int] = {}
    c: set[Literal[1, 2]] = set()
    d: dict[Level, int] = {}
    e: frozenset[str | None] = frozenset()
    f: dict[Annotated[str, msgspec.Meta(max_length=3, title="key")], int] = {}
    g: set[bool] = set()


@pytest.mark.parametrize("codec", [JsonCodec, MessagePackCodec])
@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (IntKeys, "IntKeys.scores"),
        (Chat | IntKeys, "IntKeys.scores"),
        (Nested, "IntKeys.scores"),
        (UuidSet, "UuidSet.seen"),
        (AnySet, "AnySet.seen"),
        (BareSet, "BareSet.seen"),
        (dict[float, int], "dict"),
        (set[tuple[int, int]], "set"),
    ],
)
def test_a_type_whose_keys_could_be_made_to_collide_is_refused(
    codec: type[JsonCodec | MessagePackCodec], kind: Any, name: str
) -> None:
    with pytest.raises(TypeError, match=rf"^{name}.* collide"):
        codec(kind)


@pytest.mark.parametrize("kind", [Loose, BareDict, Any])
def test_any_may_have_such_keys_in_messagepack_only(kind: Any) -> None:
    JsonCodec(kind)
    with pytest.raises(TypeError, match="collide"):
        MessagePackCodec(kind)


@pytest.mark.parametrize("codec", [JsonCodec, MessagePackCodec])
def test_keys_with_secret_hashes_are_taken(codec: type[JsonCodec | MessagePackCodec]) -> None:
    payload = codec(SafeKeys).encode(
        {"a": {"x": 1}, "b": {"red": 1}, "c": [1], "d": {1: 2}, "e": ["y", None]}
    )
    assert codec(SafeKeys).decode(payload) == SafeKeys(
        a={"x": 1}, b={Color.RED: 1}, c={1}, d={Level.LOW: 2}, e=frozenset({"y", None})
    )


# What is wrong in MessagePack.


def rich_pack(field: str, value: bytes) -> bytes:
    return b"\x82" + pack("type") + pack("Rich") + pack(field) + value


CHAT = b"\x82" + pack("type") + pack("Chat") + pack("content")


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b"", ("malformed", "$")),
        (b"\xc1", ("malformed", "$")),
        (CHAT, ("malformed", "$")),
        (CHAT + b"\xa1\xff", ("malformed", "$")),
        (CHAT + pack("a") + b"quokka", ("malformed", "$")),
        (b'{"type":"Chat","content":"a"}', ("wrong_type", "$")),
        (b"\x81" + pack("type") + pack(CANARY), ("unknown_type", "$.type")),
        (b"\x81" + pack("type") + pack(b"Chat"), ("wrong_type", "$.type")),
        (b"\x81" + pack(7) + pack(1), ("wrong_type", "$")),
        (CHAT + pack(1), ("wrong_type", "$.content")),
        (CHAT + b"\xd4\x05\x01", ("wrong_type", "$.content")),
        (rich_pack("when", b"\xd4\x05\x01"), ("wrong_type", "$.when")),
        (rich_pack("when", b"\xd7\xff" + b"\xff" * 8), ("invalid_value", "$.when")),
        (rich_pack("when", b"\xc7\x0c\xff" + b"\xff" * 12), ("invalid_value", "$.when")),
        (rich_pack("bounded", pack(float("nan"))), ("invalid_value", "$.bounded")),
        (rich_pack("i", pack(float("nan"))), ("wrong_type", "$.i")),
        (rich_pack("unknown", b"\x91" * 100_000 + b"\xc0"), ("too_deep", "$")),
        (rich_pack("children", b"\x91" * 100_000), ("wrong_type", "$.children[0]")),
        (b"\x91" * 100_000, ("wrong_type", "$")),
    ],
)
def test_what_is_wrong_in_messagepack(payload: bytes, expected: tuple[str, str]) -> None:
    assert fault(payload, MSGPACK) == expected


def test_text_is_no_messagepack() -> None:
    assert fault('{"type":"Chat","content":"quokka"}', MSGPACK) == ("malformed", "$")


def test_nan_passes_in_messagepack_where_no_bounds_are() -> None:
    message = MSGPACK.decode(rich_pack("f", pack(float("inf"))))
    assert message == Rich(f=float("inf"))


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\xdd", list[int]),
        (b"\xdd", set[str]),
        (b"\xdd", tuple[int, ...]),
        (b"\xdf", dict[str, int]),
        (b"\xdb", str),
        (b"\xc6", bytes),
        (b"\xc9", msgspec.msgpack.Ext),
        (b"\xdd", msgspec.Raw),
    ],
    ids=str,
)
def test_a_length_that_is_a_lie_allocates_nothing(head: bytes, kind: Any) -> None:
    codec = MessagePackCodec(kind)
    payload = head + struct.pack(">I", 2**32 - 1)
    tracemalloc.start()
    try:
        assert fault(payload, codec) == ("malformed", "$")
        assert tracemalloc.get_traced_memory()[1] < 64 * 1024
    finally:
        tracemalloc.stop()


# What classes check themselves.


def test_a_class_may_refuse_and_quotes_only_in_a_bad_message() -> None:
    assert JSON.decode(b'{"type":"Checked","name":"ok"}') == Checked("ok")
    assert fault(b'{"type":"Checked","name":"quokka"}') == ("invalid_value", "$")
    assert fault(b'{"type":"Checked","name":"like msgspec"}')[0] == "invalid_value"
    assert fault(b'{"type":"Checked","name":"taken"}') == ("taken", "$.name")


def test_a_bug_in_a_class_is_not_the_fault_of_the_peer() -> None:
    with pytest.raises(KeyError):
        JSON.decode(b'{"type":"Checked","name":"a bug"}')


def test_a_bad_message_is_short_and_printable() -> None:
    bad = BadMessage("code", "\x1b[31m\r\n\u2028" + "x" * 1000, "$.\x00" + "x" * 1000)
    assert len(bad.detail) == len(bad.path) == 200
    assert bad.detail.startswith("?[31m???xx")
    assert bad.path.startswith("$.?xx")
    assert str(bad) == f"code at {bad.path}: {bad.detail}"


# What can be sent at all.

TEXTS = st.sampled_from(
    ["quokka", CANARY, "type", "Rich", "Strict", "x", "quokka - at `$.x", "quokka` - at `$.x", ""]
)
FIELDS = st.sampled_from([*Rich.__struct_fields__, "inner", "content", "room", "name"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS | TEXTS, inner, max_size=4),
    max_leaves=10,
)
TYPES = st.sampled_from(["Chat", "Join", "Strict", "Checked", "Rich", "Loose", CANARY])
MESSAGES = st.builds(
    lambda kind, fields: {"type": kind, **fields}, TYPES, st.dictionaries(FIELDS | TEXTS, VALUES)
)


def never_quotes(payload: bytes, codec: Codec) -> None:
    try:
        codec.decode(payload)
    except BadMessage as error:
        text = str(error)
    else:
        return
    assert "okka" not in text
    assert text.isprintable()


@given(MESSAGES | VALUES)
def test_no_fault_quotes_what_was_sent(value: object) -> None:
    never_quotes(json.dumps(value).encode(), JSON)
    try:
        packed = pack(value)
    except OverflowError:  # an integer beyond 64 bits
        return
    never_quotes(packed, MSGPACK)


@given(st.binary())
def test_any_bytes_are_a_message_or_a_fault(payload: bytes) -> None:
    never_quotes(payload, JSON)
    never_quotes(payload, MSGPACK)
    never_quotes(CHAT + payload, MSGPACK)
    never_quotes(b'{"type":"Rich",' + payload, JSON)


@pytest.mark.parametrize("count", [0, 1, 14, 15, 16, 300])
@pytest.mark.parametrize("codec", [JsonCodec(dict[str, int]), MessagePackCodec(dict[str, int])])
def test_a_position_is_one_more_field(codec: Codec, count: int) -> None:
    message = {str(i): i for i in range(count)}
    position = RoomPosition('a"}', "epoch", 17)
    decode: Any = msgspec.msgpack.decode if codec.binary else msgspec.json.decode
    payload = codec.add_position(codec.encode(message), position)
    assert isinstance(payload, bytes if codec.binary else str)
    assert decode(payload) == message | {"position": msgspec.to_builtins(position)}


@pytest.mark.parametrize("codec", [JsonCodec(str), MessagePackCodec(str)])
@pytest.mark.parametrize("message", [[], [{}], 1, "x", "}", None, list(range(20))])
def test_what_is_no_object_has_no_position(codec: Codec, message: object) -> None:
    payload = codec.encode(message)
    assert codec.add_position(payload, RoomPosition("a", "b", 1)) == payload
