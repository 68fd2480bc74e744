"""Query parameters, from the raw bytes to a struct or a 400."""

import math
from datetime import date
from enum import Enum, IntEnum
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastws.app.query import MAX_PARAMETERS, parse_query
from fastws.errors import HandshakeError


class Connect(msgspec.Struct):
    user_id: int
    name: str = "nobody"


class Color(Enum):
    RED = "red"


class Level(IntEnum):
    LOW = 1


class Many(msgspec.Struct, rename="camel"):
    f: float = 0.5
    b: bool = False
    color: Color = Color.RED
    level: Level = Level.LOW
    literal: Literal["a", "b"] = "a"
    number: Literal[1, 2] = 1
    age: Annotated[int, msgspec.Meta(ge=0, le=150)] | None = None
    nick_name: Annotated[str, msgspec.Meta(max_length=5, title="what to call you")] | None = None
    day: date | None = None
    tags: list[str] = []
    ids: tuple[int, ...] = ()
    pair: tuple[int, float] | None = None
    colors: Annotated[set[Color], msgspec.Meta(max_length=2)] = set()
    top: float = math.inf


class Strict(msgspec.Struct, forbid_unknown_fields=True):
    a: int = 0


class Range(msgspec.Struct):
    low: int
    high: int

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError(f"quokka: {self.low} > {self.high}")


def refusal(query: bytes, kind: type[msgspec.Struct]) -> HandshakeError:
    with pytest.raises(HandshakeError) as caught:
        parse_query(query, kind)
    error = caught.value
    assert error.status == 400
    assert error.__context__ is None
    assert "quokka" not in str(error)
    assert error.reason.isprintable()
    return error


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (b"user_id=7&name=Ada", Connect(7, "Ada")),
        (b"name=Ada&user_id=7", Connect(7, "Ada")),
        (b"user_id=-7", Connect(-7)),
        (b"user_id=7&name=", Connect(7, "")),
        (b"user_id=7&name", Connect(7, "")),
        (b"user_id=7&name=a%20b+c%2Bd", Connect(7, "a b c+d")),
        (b"user_id=7&name=%C3%A9%f0%9f%98%80", Connect(7, "\u00e9\U0001f600")),
        (b"user_id=7&name=\xc3\xa9", Connect(7, "\u00e9")),
        (b"user%5Fid=7&na%6de=x", Connect(7, "x")),
        (b"user_id=7&name=a=b=c", Connect(7, "a=b=c")),
        (b"user_id=7&name=a;user_id=8", Connect(7, "a;user_id=8")),
        (b"&&user_id=7&&", Connect(7)),
        (b"user_id=7&unknown=%zz&unknown=1&%zz=1", Connect(7)),
        (b"user_id=7&name=null", Connect(7, "null")),
        (b"", Many()),
        (b"f=1e3", Many(f=1000.0)),
        (b"b=true", Many(b=True)),
        (b"b=TRUE", Many(b=True)),
        (b"b=1", Many(b=True)),
        (b"b=0", Many(b=False)),
        (b"color=red", Many(color=Color.RED)),
        (b"level=1", Many(level=Level.LOW)),
        (b"literal=b&number=2", Many(literal="b", number=2)),
        (b"age=150", Many(age=150)),
        (b"age=null", Many(age=None)),
        (b"nickName=Ada", Many(nick_name="Ada")),
        (b"nick_name=Ada", Many()),
        (b"day=2026-01-02", Many(day=date(2026, 1, 2))),
        (b"tags=a", Many(tags=["a"])),
        (b"tags=b&f=1&tags=a&tags=b", Many(f=1.0, tags=["b", "a", "b"])),
        (b"ids=1&ids=2", Many(ids=(1, 2))),
        (b"pair=1&pair=0.5", Many(pair=(1, 0.5))),
        (b"colors=red&colors=red", Many(colors={Color.RED})),
        (b"&a=1&", Strict(1)),
        (b"low=1&high=2", Range(1, 2)),
    ],
)
def test_a_query_becomes_a_struct(query: bytes, expected: msgspec.Struct) -> None:
    assert parse_query(query, type(expected)) == expected


@pytest.mark.parametrize(
    ("query", "kind", "parameter"),
    [
        (b"", Connect, "user_id"),
        (b"name=Ada", Connect, "user_id"),
        (b"user_id", Connect, "user_id"),
        (b"user_id=", Connect, "user_id"),
        (b"user_id=quokka", Connect, "user_id"),
        (b"user_id=1.5", Connect, "user_id"),
        (b"user_id=+7", Connect, "user_id"),
        (b"user_id=0x7", Connect, "user_id"),
        (b"user_id=1_000", Connect, "user_id"),
        (b"user_id=%D9%A3", Connect, "user_id"),
        (b"user_id=7%00", Connect, "user_id"),
        (b"user_id=" + b"7" * 5000, Connect, "user_id"),
        (b"user_id=7&user_id=7", Connect, "user_id"),
        (b"user_id=7&name=%zz", Connect, "name"),
        (b"user_id=7&name=quokka%", Connect, "name"),
        (b"user_id=7&name=quokka%2", Connect, "name"),
        (b"user_id=7&name=%ff", Connect, "name"),
        (b"user_id=7&name=\xff", Connect, "name"),
        (b"user_id=7&name=%ed%a0%80", Connect, "name"),
        (b"f=nan", Many, "f"),
        (b"f=-Infinity", Many, "f"),
        (b"f=1e999", Many, "f"),
        (b"top=inf", Many, "top"),
        (b"pair=1&pair=nan", Many, "pair"),
        (b"b=on", Many, "b"),
        (b"b=", Many, "b"),
        (b"color=quokka", Many, "color"),
        (b"level=2", Many, "level"),
        (b"literal=quokka", Many, "literal"),
        (b"number=3", Many, "number"),
        (b"age=151", Many, "age"),
        (b"age=1&age=2", Many, "age"),
        (b"nickName=quokka", Many, "nickName"),
        (b"day=quokka", Many, "day"),
        (b"tags=a&tags=%ff", Many, "tags"),
        (b"ids=1&ids=quokka", Many, "ids"),
        (b"pair=1", Many, "pair"),
    ],
)
def test_a_fault_is_refused_by_the_name_of_its_parameter(
    query: bytes, kind: type[msgspec.Struct], parameter: str
) -> None:
    error = refusal(query, kind)
    assert error.fields == {"parameter": parameter}
    assert f"parameter {parameter} " in error.reason


def test_what_is_wrong_is_said() -> None:
    for query, reason in (
        (b"name=Ada", "user_id is missing"),
        (b"user_id=7&user_id=7", "user_id is there more than once"),
        (b"user_id=%ff", "user_id is not percent-encoded UTF-8"),
        (b"user_id=x", "user_id is not valid: Expected `int`, got `str`"),
    ):
        assert refusal(query, Connect).reason == f"the query parameter {reason}"


class Few(msgspec.Struct):
    ids: Annotated[list[int], msgspec.Meta(max_length=2)]


def test_a_list_may_have_bounds() -> None:
    assert parse_query(b"ids=1&ids=2", Few).ids == [1, 2]
    assert refusal(b"ids=1&ids=2&ids=3", Few).fields == {"parameter": "ids"}


@pytest.mark.parametrize("query", [b"b=1", b"a=1&quokka=2", b"quokka", b"%zz=1", b"a%00=1"])
def test_unknown_parameters_may_be_forbidden(query: bytes) -> None:
    assert refusal(query, Strict).fields == {}


def test_a_struct_may_look_at_all_parameters() -> None:
    assert refusal(b"low=2&high=1", Range).fields == {}


def test_the_number_of_parameters_is_bounded() -> None:
    query = b"&".join([b"tags=a"] * MAX_PARAMETERS)
    assert parse_query(query, Many).tags == ["a"] * MAX_PARAMETERS
    assert "more than" in refusal(query + b"&", Many).reason
    assert "more than" in refusal(b"&" * 10_000_000, Many).reason


class Nested(msgspec.Struct):
    inner: Strict | None = None


class Matrix(msgspec.Struct):
    rows: list[list[int]] = []


class Pair(msgspec.Struct):
    rows: tuple[int, list[int]] = (0, [])


class Mapped(msgspec.Struct):
    data: dict[str, int] = {}


class Objects(msgspec.Struct):
    data: list[Strict] = []


class Array(msgspec.Struct, array_like=True):
    a: int = 0


@pytest.mark.parametrize("kind", [Nested, Matrix, Pair, Mapped, Objects, Array, dict, int])
def test_what_a_query_cannot_hold_is_a_bug_of_ours(kind: Any) -> None:
    with pytest.raises(TypeError):
        parse_query(b"", kind)


@given(st.integers(), st.text(), st.lists(st.text()))
def test_what_is_encoded_is_read(number: int, name: str, tags: list[str]) -> None:
    query = urlencode([("user_id", number), ("name", name)]).encode()
    assert parse_query(query, Connect) == Connect(number, name)
    tags = tags[:MAX_PARAMETERS]
    query = urlencode({"tags": tags}, doseq=True).encode()
    assert parse_query(query, Many) == Many(tags=tags)


PIECES = st.sampled_from(
    [b"user_id", b"name", b"=", b"&", b"%", b"%2", b"%41", b"%ff", b"+", b"7", b"quokka", b"\xff"]
)


@given(st.lists(PIECES).map(b"".join) | st.binary())
def test_any_bytes_are_parameters_or_a_400(query: bytes) -> None:
    try:
        parse_query(query, Connect)
    except HandshakeError as error:
        refusal = error
    else:
        return
    assert refusal.status == 400
    assert "quokka" not in str(refusal)
