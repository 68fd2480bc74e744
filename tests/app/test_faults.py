"""What of an error's text may reach a peer."""

import msgspec
import pytest

from fastws.app.faults import Fault, explain, paths, printable, walk


class Inner(msgspec.Struct, tag=True, rename={"b": "b.c[d]`"}):
    a: int = 0
    b: int = 0
    inner: "Inner | None" = None


class Outer(msgspec.Struct):
    items: list[Inner] = []
    plain: str = ""


PATHS = paths(Outer)


def told(text: str) -> Fault:
    return explain(msgspec.ValidationError(text), PATHS)


def test_all_types_and_fields_are_seen_once_also_in_a_circle() -> None:
    names = [name for name, node in walk(Outer) if isinstance(node, msgspec.inspect.Field)]
    assert sorted(names) == ["Inner.a", "Inner.b", "Inner.inner", "Outer.items", "Outer.plain"]


@pytest.mark.parametrize(
    "path",
    [
        "$",
        "$.items[12].a",
        "$.items[...].inner.inner.type",
        "$.items[0].b.c[d]`",
        "`key` in `$.items",
    ],
)
def test_a_path_of_our_own_names_passes(path: str) -> None:
    quoted = path if path.startswith("`") else f"`{path}"
    fault = told(f"Expected `int`, got `str` - at {quoted}`")
    assert fault == Fault(
        "wrong_type", "Expected `int`, got `str`", path.removeprefix("`key` in `")
    )


@pytest.mark.parametrize(
    "path",
    ["$.quokka", "$.items[quokka]", "$.items[0].a.", "$.a\n", "$.A", "$x", "", "$.items[0]` - "],
)
def test_a_path_of_other_names_does_not(path: str) -> None:
    fault = told(f"Object contains unknown field `x - at `{path}`")
    assert fault == Fault("unknown_field", "an object has an unknown field", "$")


def test_a_path_and_a_detail_are_cut() -> None:
    path = "$.items[0]" + ".inner" * 100
    assert told(f"Expected `int` <= 5 - at `{path}`").path == path[:197] + "..."
    assert told(f"Object missing required field `a` - at `{path}`").path == path[:197] + "..."
    assert len(told(f"Expected `str` matching regex '{'x' * 1000}'").detail) == 200


@pytest.mark.parametrize(
    "text",
    [
        "quokka",
        "Invalid quokka",
        "Invalid UUID 'quokka'",
        "Number out of range: <quokka>",
        "Object missing required field `a` quokka",
        "",
    ],
)
def test_a_text_that_is_not_known_does_not_pass(text: str) -> None:
    assert told(text).code == "invalid_value"
    assert "quokka" not in told(text).detail


@pytest.mark.parametrize("text", ["quokka", "JSON is malformed: <quokka> (byte 3)"])
def test_neither_does_one_about_syntax(text: str) -> None:
    error = msgspec.DecodeError(text)
    assert explain(error, PATHS) == Fault("malformed", "the payload is malformed")


def test_a_large_quotation_takes_linear_time() -> None:
    told("Invalid value '" + " - at `$.items[0].a" * 100_000 + "' - at `$.items[0].type`")


@pytest.mark.parametrize(
    ("text", "size", "expected"),
    [
        ("plain", 5, "plain"),
        ("longer", 5, "lo..."),
        ("a\x00\x1b\x7f\x85\u2028\u202e\ud800b", 20, "a???????b"),
        ("gr\u00fc\u00df \U0001f600", 20, "gr\u00fc\u00df \U0001f600"),
    ],
)
def test_printable(text: str, size: int, expected: str) -> None:
    assert printable(text, size) == expected
