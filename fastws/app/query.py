"""Query parameters as a typed struct."""

import math
import re
from collections import defaultdict
from collections.abc import Container
from functools import cache
from typing import NamedTuple, TypeVar
from urllib.parse import unquote_to_bytes

import msgspec
from msgspec import inspect

from fastws.app.faults import explain, paths
from fastws.errors import HandshakeError

T = TypeVar("T", bound=msgspec.Struct)

MAX_PARAMETERS = 128

# What urllib would leave as it is.
_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_SEQUENCES = (
    inspect.ListType
    | inspect.TupleType
    | inspect.VarTupleType
    | inspect.SetType
    | inspect.FrozenSetType
)
_OBJECTS = (
    inspect.StructType
    | inspect.DataclassType
    | inspect.TypedDictType
    | inspect.NamedTupleType
    | inspect.DictType
)


class _Parameters(NamedTuple):
    """What a struct asks a query for.

    Attributes:
        repeats: each parameter by its name, and whether it may be there several times.
        required: the names of those without a default.
        strict: whether unknown parameters are refused.
        paths: see `faults.paths`.
    """

    repeats: dict[str, bool]
    required: list[str]
    strict: bool
    paths: re.Pattern[str]


def parse_query(query_string: bytes, kind: type[T]) -> T:
    """Reads query parameters into a struct.

        class ConnectParams(msgspec.Struct):
            user_id: int
            tags: list[str] = []

        parse_query(b"user_id=7&tags=a&tags=b", ConnectParams)

    Values are what HTML forms send (application/x-www-form-urlencoded, in UTF-8). A bool is
    ``true``, ``false``, ``1`` or ``0``; a list, tuple or set has its parameter once for each
    item; ``null`` is None where that is allowed and a string is not. Bounds and patterns come
    from `msgspec.Meta`. Unknown parameters are ignored, unless the struct has
    ``forbid_unknown_fields=True``.

    Args:
        query_string: as it is in the ASGI scope, without the ``?``.
        kind: a struct, without objects, and without lists of lists.

    Raises:
        HandshakeError: with 400, for a parameter that is missing, malformed, out of bounds, or
            more than once where it is no list. The reason, and ``parameter`` in the fields,
            name it; nothing quotes its value.
        TypeError: `kind` is not such a struct.
    """
    parameters = _parameters_of(kind)
    values: dict[str, str | list[str]] = {}
    for name, found in _split(query_string, parameters).items():
        if parameters.repeats[name]:
            values[name] = found
        elif len(found) > 1:
            raise _refusal(name, "is there more than once")
        else:
            values[name] = found[0]
    for name in parameters.required:
        if name not in values:
            raise _refusal(name, "is missing")
    try:
        result = msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        _, detail, path = explain(error, parameters.paths)
        if path == "$":  # __post_init__ looks at all of them
            refusal = HandshakeError(400, f"the query is not valid: {detail}")
        else:
            refusal = _refusal(path[2:].partition("[")[0], f"is not valid: {detail}")
    else:
        _check_finite(result, values)
        return result
    try:
        raise refusal
    finally:
        del refusal  # or it is in its own traceback, with all the frames


@cache
def _parameters_of(kind: type[msgspec.Struct]) -> _Parameters:
    info = inspect.type_info(kind)
    if not isinstance(info, inspect.StructType) or info.array_like:
        raise TypeError(f"a query is read into a msgspec struct with names, not {kind}")
    repeats = {}
    for field in info.fields:
        types = _alternatives(field.type)
        items = [item for each in types for item in _items(each)]
        if any(isinstance(each, _OBJECTS) for each in types + items) or any(
            isinstance(each, _SEQUENCES) for each in items
        ):
            raise TypeError(f"{kind.__name__}.{field.name}: a query has no such nested values")
        repeats[field.encode_name] = any(isinstance(each, _SEQUENCES) for each in types)
    return _Parameters(
        repeats=repeats,
        required=[field.encode_name for field in info.fields if field.required],
        strict=info.forbid_unknown_fields,
        paths=paths(kind),
    )


def _alternatives(node: inspect.Type) -> list[inspect.Type]:
    if isinstance(node, inspect.UnionType):
        return [each for part in node.types for each in _alternatives(part)]
    if isinstance(node, inspect.Metadata):
        return _alternatives(node.type)
    return [node]


def _items(node: inspect.Type) -> list[inspect.Type]:
    if isinstance(node, inspect.TupleType):
        return [each for part in node.item_types for each in _alternatives(part)]
    item = getattr(node, "item_type", None)
    return [] if item is None else _alternatives(item)


def _split(query_string: bytes, parameters: _Parameters) -> dict[str, list[str]]:
    """Gives the values of the known parameters, in the order in which they came."""
    # A semicolon separates nothing, or caches and we would see different parameters
    # (CVE-2021-23336).
    if query_string.count(b"&") >= MAX_PARAMETERS:
        raise HandshakeError(400, f"the query has more than {MAX_PARAMETERS} parameters")
    found: dict[str, list[str]] = defaultdict(list)
    for pair in query_string.split(b"&"):
        raw_name, _, raw_value = pair.partition(b"=")
        name = _decode(raw_name)
        if name in parameters.repeats:
            value = _decode(raw_value)
            if value is None:
                raise _refusal(name, "is not percent-encoded UTF-8")
            found[name].append(value)
        elif pair and parameters.strict:
            raise HandshakeError(400, "the query has an unknown parameter")
    return found


def _decode(text: bytes) -> str | None:
    if _BAD_ESCAPE.search(text):
        return None
    try:
        return unquote_to_bytes(text.replace(b"+", b" ")).decode()
    except UnicodeDecodeError:
        return None


def _check_finite(result: msgspec.Struct, given: Container[str]) -> None:
    """Refuses NaN, which passes for a number but compares like none, and infinity."""
    for attribute, name in zip(
        result.__struct_fields__, result.__struct_encode_fields__, strict=True
    ):
        value = getattr(result, attribute) if name in given else None
        for each in value if isinstance(value, list | tuple | set | frozenset) else (value,):
            if isinstance(each, float) and not math.isfinite(each):
                raise _refusal(name, "is not a finite number")


def _refusal(name: str, what: str) -> HandshakeError:
    reason = f"the query parameter {name} {what}"
    return HandshakeError(400, reason, fields={"parameter": name})
