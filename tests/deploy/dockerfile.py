"""Parse Dockerfiles and .dockerignore files."""

import json
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


class Instruction(NamedTuple):
    """One instruction, such as ``COPY --chown=1:1 a b``.

    Attributes:
        name: the keyword in capitals.
        flags: the options before the arguments, without their dashes.
        text: the arguments on one line.
    """

    name: str
    flags: dict[str, str]
    text: str

    @property
    def argv(self) -> list[str]:
        """Return the arguments of the exec form.

        Raises:
            ValueError: the arguments have the shell form.
        """
        argv: list[str] = json.loads(self.text)
        return argv

    def pairs(self, variables: dict[str, str]) -> dict[str, str]:
        """Return ``key=value`` arguments with ``$NAME`` replaced from `variables`."""
        words = (word.partition("=") for word in shlex.split(self.text))
        return {key: expand(value, variables) for key, _, value in words}


def expand(text: str, variables: dict[str, str]) -> str:
    """Replace ``$NAME`` and ``${NAME}``."""
    return re.sub(r"\$\{?(\w+)\}?", lambda found: variables[found[1]], text)


def parse(text: str) -> list[Instruction]:
    """Return the instructions of a Dockerfile in their order."""
    without_comments = re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE)
    lines = re.sub(r"\\\n", "", without_comments).splitlines()
    return [_instruction(line) for line in lines if line.strip()]


def _instruction(line: str) -> Instruction:
    name, *words = line.split(maxsplit=1)
    text, flags = words[0].strip(), {}
    while found := re.match(r"--(\w[\w-]*)=(\S+)\s+", text):
        flags[found[1]] = found[2]
        text = text[found.end() :]
    return Instruction(name.upper(), flags, text)


def context(root: Path, ignore: str) -> Iterator[Path]:
    """Yield the files below `root` that a ``.dockerignore`` lets into a build.

    A directory that is ignored is not searched for files that a later pattern takes back.
    """
    rules = [_rule(line) for line in ignore.splitlines() if line and not line.startswith("#")]

    def kept(path: Path) -> bool:
        name, keep = path.relative_to(root).as_posix(), True
        for pattern, verdict in rules:
            if pattern.fullmatch(name):
                keep = verdict
        return keep

    for directory, folders, files in os.walk(root):
        folders[:] = [folder for folder in folders if kept(Path(directory, folder))]
        yield from (path for path in (Path(directory, file) for file in files) if kept(path))


def _rule(line: str) -> tuple[re.Pattern[str], bool]:
    glob = line.removeprefix("!")
    parts = {"**/": "(?:.*/)?", "*": "[^/]*"}
    regex = "".join(parts.get(part, re.escape(part)) for part in re.split(r"(\*\*/|\*)", glob))
    # A pattern also holds for everything below what it matches.
    return re.compile(f"{regex}(?:/.*)?"), line.startswith("!")
