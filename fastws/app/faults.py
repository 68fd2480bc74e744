"""What is wrong with input that a peer sent, in words that hold nothing of the input.

msgspec's errors are good, and some of them quote: the tag, the value of an enum, the name of an
unknown field. An answer that quotes its peer is a way into logs and pages, so a text of msgspec
passes only if it is known to quote nothing, and a path only if it consists of the names of our
own fields. msgspec leaves the keys of dicts out of paths itself (``$.scores[...]``).
"""

import re
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import msgspec
from msgspec import inspect

Code = Literal[
    "malformed",
    "too_deep",
    "unknown_type",
    "missing_field",
    "unknown_field",
    "wrong_type",
    "invalid_value",
]

# What a peer gets to read about its fault, in characters.
MAX_DETAIL = 200
MAX_PATH = 200

_NOT_ALLOWED = "the value is not one of those that are allowed"
# How the texts of msgspec begin, what they mean, and what is said instead of those that quote.
_TEXTS: tuple[tuple[re.Pattern[str], Code, str | None], ...] = (
    (re.compile(r"Expected `[^`]*`(, got `[^`]*`)?\Z"), "wrong_type", None),
    (re.compile(r"Expected `"), "invalid_value", None),
    (re.compile(r"Object missing required field `([^`]*)`\Z"), "missing_field", None),
    (re.compile(r"Object contains unknown"), "unknown_field", "an object has an unknown field"),
    (re.compile(r"Invalid enum value "), "invalid_value", _NOT_ALLOWED),
    (re.compile(r"Invalid value "), "unknown_type", "there is no such type of message here"),
    (
        re.compile(
            r"(Invalid (RFC3339|ISO8601|epoch|UUID|decimal|base64|MessagePack)|Integer value"
            r"|Number|Timestamp|Duration)[\w :]*\Z"
        ),
        "invalid_value",
        None,
    ),
)
_SYNTAX = re.compile(r"(JSON|MessagePack data) is malformed: [\w ,:'\]}-]+ \(byte \d+\)")
_TRUNCATED = "Input data was truncated"


class Fault(NamedTuple):
    """What is wrong, and where.

    Attributes:
        code: one of seven, for programs.

            - ``malformed``: this is no JSON or no MessagePack, or has a string that is no UTF-8
            - ``too_deep``: nested more deeply than Python's recursion limit lets us read
            - ``unknown_type``: the tag names no type of message that is taken here
            - ``missing_field``: the path is that of the field
            - ``unknown_field``: the path is that of the object
            - ``wrong_type``: such as a number where a string is due
            - ``invalid_value``: the right type, and out of bounds, or not of the required form
        detail: one sentence for people.
        path: where, such as ``$.items[3].name``; ``$`` is the whole.
    """

    code: Code
    detail: str
    path: str = "$"


def walk(kind: Any) -> Iterator[tuple[str, inspect.Type | inspect.Field]]:
    """Gives every type that a type consists of, and the fields in between, each once.

    Yields:
        A name for messages to developers, such as ``Chat.content``, and msgspec's description.
    """
    root = inspect.type_info(kind)
    seen: set[int] = set()
    waiting: list[tuple[str, inspect.Type | inspect.Field]] = [("", root)]
    while waiting:
        name, node = waiting.pop()
        if id(node) in seen:  # a type may contain itself
            continue
        seen.add(id(node))
        if isinstance(node, inspect.Field):
            name = f"{name}.{node.name}"
        elif isinstance(owner := getattr(node, "cls", None), type):
            name = owner.__name__
        yield name, node
        for value in (getattr(node, each) for each in node.__struct_fields__):
            for part in value if isinstance(value, tuple) else (value,):
                if isinstance(part, inspect.Type | inspect.Field):
                    waiting.append((name, part))


def paths(kind: Any) -> re.Pattern[str]:
    """Makes the pattern of all paths into a type, for `explain`."""
    names = set()
    for _, node in walk(kind):
        if isinstance(node, inspect.Field):
            names.add(node.encode_name)
        elif isinstance(node, inspect.StructType) and node.tag_field is not None:
            names.add(node.tag_field)
    # The longest first, so that there is nothing to come back for: the time is linear.
    fields = (re.escape(f".{name}") for name in sorted(names, key=len, reverse=True))
    steps = "|".join([r"\[(?:\d+|\.\.\.)\]", *fields])
    return re.compile(rf"(?:`key` in )?`(\$(?:{steps})*+)`")


def explain(error: Exception, paths: re.Pattern[str]) -> Fault:
    """Says what is wrong without quoting the input.

    Args:
        error: what msgspec raised, or Python while msgspec was at work.
        paths: those that there can be, from `paths`.
    """
    if isinstance(error, RecursionError):
        return Fault("too_deep", "the message is nested too deeply")
    if isinstance(error, UnicodeError):
        return Fault("malformed", "a string is not valid UTF-8")
    text, _, end = str(error).rpartition(" - at ")
    found = paths.fullmatch(end)
    if found is None:
        text, path = str(error), "$"
    else:
        path = _shorten(found[1], MAX_PATH)
    if not isinstance(error, msgspec.ValidationError):
        known = text == _TRUNCATED or _SYNTAX.fullmatch(text)
        return Fault("malformed", text if known else "the payload is malformed")
    # What __post_init__ raised may quote.
    if error.__cause__ is None:
        for pattern, code, instead in _TEXTS:
            if found := pattern.match(text):
                if code == "missing_field":
                    path = _shorten(f"{path}.{found[1]}", MAX_PATH)
                return Fault(code, instead or printable(text, MAX_DETAIL), path)
    return Fault("invalid_value", _NOT_ALLOWED, path)


def printable(text: str, size: int) -> str:
    """Shortens a text, and replaces what could forge a line of a log or move a cursor."""
    text = _shorten(text, size)
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)


def _shorten(text: str, size: int) -> str:
    return text if len(text) <= size else text[: size - 3] + "..."
