"""Paths to handlers: ``/rooms/{room}``."""

import re
from typing import Generic, TypeVar
from urllib.parse import quote, unquote

from fastws.app.portable import Scope

T = TypeVar("T")

_PARAMETER = re.compile(r"\{(\w+)\}")


class Routes(Generic[T]):
    """Path templates, each with a target.

    A parameter takes one segment, which is not empty. Paths without parameters come first, then
    those with them, in the order in which they were added.
    """

    def __init__(self) -> None:
        self._plain: dict[str, T] = {}
        self._patterns: list[tuple[re.Pattern[str], T]] = []

    def add(self, path: str, target: T) -> None:
        """Adds a template.

        Raises:
            ValueError: the path does not begin with a slash, or is there already.
        """
        if not path.startswith("/"):
            raise ValueError(f"the path {path!r} must begin with '/'")
        texts = _PARAMETER.split(path)
        if any("{" in text or "}" in text for text in texts[::2]):
            raise ValueError(f"the path {path!r} has a brace that is no {{parameter}}")
        if len(set(texts[1::2])) < len(texts[1::2]):
            raise ValueError(f"the path {path!r} has a parameter twice")
        pattern = "".join(
            f"(?P<{text}>[^/]+)" if i % 2 else re.escape(quote(text))
            for i, text in enumerate(texts)
        )
        if path in self._plain or any(pattern == known.pattern for known, _ in self._patterns):
            raise ValueError(f"the path {path!r} is there already")
        if len(texts) == 1:
            self._plain[path] = target
        else:
            self._patterns.append((re.compile(pattern), target))

    def match(self, scope: Scope) -> tuple[T, dict[str, str]] | None:
        """Finds the target for a request, and what its parameters are."""
        path = path_of(scope)
        plain = unquote(path)
        if plain in self._plain:
            return self._plain[plain], {}
        for pattern, target in self._patterns:
            if found := pattern.fullmatch(path):
                return target, {name: unquote(text) for name, text in found.groupdict().items()}
        return None


def path_of(scope: Scope) -> str:
    """Gives the path below the root path, as it came: a ``%2F`` in it separates nothing."""
    raw: bytes | None = scope.get("raw_path")
    root: str = scope.get("root_path", "").rstrip("/")
    path = quote(scope["path"]) if raw is None else raw.partition(b"?")[0].decode("latin-1")
    if root and (path == root or path.startswith(f"{root}/")):
        path = path[len(root) :]
    return path or "/"
