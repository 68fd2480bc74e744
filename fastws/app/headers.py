"""Request headers, as an ASGI scope has them."""

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar, overload

D = TypeVar("D")

# Their values are secrets: a token may be in any of them.
SENSITIVE = frozenset({"authorization", "cookie", "proxy-authorization", "sec-websocket-protocol"})


class Headers(Mapping[str, str]):
    """Read-only headers; names in any case.

    A header that is there several times gives its first value, and all of them in `get_all`.
    Its representation shows no secrets and no control characters, so it may be logged.

    Args:
        raw: pairs of bytes, as in ``scope["headers"]``. A value may have any bytes; it is decoded
            as ISO 8859-1, so that none gets lost.
    """

    __slots__ = ("_values",)

    def __init__(self, raw: Iterable[tuple[bytes, bytes]]) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in raw:
            values = self._values.setdefault(name.decode("latin-1").lower(), [])
            values.append(value.decode("latin-1"))

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()][0]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._values

    @overload
    def get(self, name: str, /) -> str | None: ...
    @overload
    def get(self, name: str, /, default: str | D) -> str | D: ...
    def get(self, name: str, /, default: object = None) -> object:
        """Gives the first value, or the default."""
        values = self._values.get(name.lower())
        return default if values is None else values[0]

    def get_all(self, name: str) -> list[str]:
        """Gives all values, in their order; none is an empty list."""
        return list(self._values.get(name.lower(), ()))

    def __repr__(self) -> str:
        shown = {
            name: ["..."] * len(values) if name in SENSITIVE else values
            for name, values in self._values.items()
        }
        return f"Headers({shown})"


def parse_cookies(headers: Headers) -> dict[str, str]:
    """Reads the cookies of a request, as `cookie_pairs`.

    Of several cookies of one name the first is taken: browsers put that with the longest path
    first (RFC 6265 section 5.4).
    """
    cookies: dict[str, str] = {}
    for name, value in cookie_pairs(headers):
        cookies.setdefault(name, value)
    return cookies


def cookie_pairs(headers: Headers) -> Iterator[tuple[str, str]]:
    """Gives name and value of every cookie of a request (RFC 6265 section 4.2.1).

    Names and values are left as they are, but for a pair of quotes around a value: what else
    would be undone, such as percent-encoding or spaces of Unicode, lets one cookie pass for
    another (``__%48ost-session``). For the same reason a cookie without a name is dropped
    (CVE-2023-23934).
    """
    for header in headers.get_all("cookie"):
        for pair in header.split(";"):
            name, equals, value = pair.partition("=")
            name = name.strip(" \t")
            value = value.strip(" \t")
            if len(value) >= 2 and value[0] == value[-1] == '"':
                value = value[1:-1]
            if name and equals:
                yield name, value
