"""Paths to handlers: ``/rooms/{room}``."""

import re
from typing import Generic, TypeVar
from urllib.parse import quote, unquote, unquote_to_bytes

from fastws.app.portable import Scope

T = TypeVar("T")

# Characters of a path in a log line.
MAX_SHOWN = 200
_PARAMETER = re.compile(r"\{(\w+)\}")


class Routes(Generic[T]):
    """Path templates, each with a target.

    A parameter takes a segment, or what of it is before the text that follows in the template;
    it is not empty. Paths without parameters come first, then those with them, in the order in
    which they were added. Nothing is tidied up: ``//`` and ``/../`` are what they are, and
    ``/ws/`` is not ``/ws``.
    """

    def __init__(self) -> None:
        self._plain: dict[str, T] = {}
        self._patterns: list[tuple[re.Pattern[str], T]] = []

    def add(self, path: str, target: T) -> None:
        """Adds a template.

        Raises:
            ValueError: the path does not begin with a slash, is there already, or its parameters
                make no sense.
        """
        if not path.startswith("/"):
            raise ValueError(f"the path {path!r} must begin with '/'")
        pattern = _pattern_of(path)
        known = {pattern.pattern for pattern, _ in self._patterns}
        if _canonical(path) in self._plain or pattern.pattern in known:
            raise ValueError(f"the path {path!r} is there already")
        if pattern.groups:
            self._patterns.append((pattern, target))
        else:
            self._plain[_canonical(path)] = target

    def match(self, scope: Scope) -> tuple[T, dict[str, str]] | None:
        """Finds the target for a request, and what its parameters are."""
        path = path_of(scope)
        if path in self._plain:
            return self._plain[path], {}
        for pattern, target in self._patterns:
            if found := pattern.fullmatch(path):
                return target, {name: unquote(text) for name, text in found.groupdict().items()}
        return None


def path_of(scope: Scope) -> str:
    """Gives the path below the root path, with everything escaped that may be.

    So each path has one form, whatever the client escapes; a ``%2F`` in it separates nothing.
    """
    raw: bytes | None = scope.get("raw_path")
    # Middleware may have changed one of them only.
    if raw is not None and unquote(raw.decode("latin-1")) == scope["path"]:
        segments = raw.partition(b"?")[0].split(b"/")
        texts = (unquote_to_bytes(segment).decode("utf-8", "replace") for segment in segments)
        path = "/".join(map(_escaped, texts))
    else:
        path = _canonical(scope["path"])
    root = _canonical((scope.get("root_path") or "").rstrip("/"))
    if root and (path == root or path.startswith(f"{root}/")):
        path = path[len(root) :]
    return path or "/"


def name_of(scope: Scope) -> str:
    """Gives the path for a log line, without what could forge or flood the log."""
    path: str = scope["path"]
    return quote(path[:MAX_SHOWN], errors="replace") + "..." * (len(path) > MAX_SHOWN)


def _canonical(path: str) -> str:
    return "/".join(map(_escaped, path.split("/")))


def _escaped(text: str) -> str:
    return quote(text, safe="", errors="replace")


def _pattern_of(path: str) -> re.Pattern[str]:
    """Makes the pattern of a template; matching takes time in proportion to the path."""
    texts = _PARAMETER.split(path)
    names = texts[1::2]
    if any("{" in text or "}" in text for text in texts[::2]):
        raise ValueError(f"the path {path!r} has a brace that is no {{parameter}}")
    if len(set(names)) < len(names) or not all(map(str.isidentifier, names)):
        raise ValueError(f"the path {path!r} has a parameter twice, or one with no proper name")
    if "" in texts[2:-1:2]:
        raise ValueError(f"the path {path!r} has a parameter right behind another")
    pattern = re.escape(_canonical(texts[0]))
    for name, text in zip(names, texts[2::2], strict=True):
        literal = re.escape(_canonical(text))
        # Possessive, and up to the first place where the literal is: there is one way to match.
        stop = f"(?!{literal})" if literal else ""
        pattern += f"(?P<{name}>(?:{stop}[^/])++){literal}"
    return re.compile(pattern)
