"""Mutants of a module: its source with one place changed.

A change is made to tokens, since Cython's are those of Python. Only statements inside functions
are changed: constants, docstrings, headers, declarations and types stay.
"""

import ast
import keyword
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from tokenize import TokenInfo

# The first and the last token of a place, and its new text.
Change = tuple[TokenInfo, TokenInfo, str]

SWAPS = {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "==", "+": "-", "-": "+"}
SWAPS |= {"+=": "-=", "-=": "+=", "and": "or", "or": "and", "not": "", "True": "False"}
SWAPS |= {"False": "True", "break": "continue", "continue": "break"}
ASSIGNMENTS = {"=", "+=", "-=", "*=", "/=", "//=", "%=", "|=", "&=", "^=", "<<=", ">>="}
SKIPPED = {"@", "assert", "class", "cimport", "from", "global", "import", "logger", "nonlocal"}


@dataclass(frozen=True)
class Mutant:
    """A module with one change.

    Attributes:
        change: the old and the new text of the place.
    """

    path: Path
    line: int
    change: str
    source: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.change}"


def mutants(path: Path, source: str) -> Iterator[Mutant]:
    """Yield all mutants of a module."""
    lengths = [len(line) for line in StringIO(source)]
    for statement in _statements(source):
        for first, last, new in dict.fromkeys(_changes(statement, path.suffix == ".py")):
            start = sum(lengths[: first.start[0] - 1]) + first.start[1]
            end = sum(lengths[: last.end[0] - 1]) + last.end[1]
            change = f"{' '.join(source[start:end].split())} -> {new or 'nothing'}"
            yield Mutant(path, first.start[0], change, source[:start] + new + source[end:])


def _statements(source: str) -> Iterator[list[TokenInfo]]:
    """Yield the tokens of each statement inside a function."""
    statement: list[TokenInfo] = []
    function: int | None = None  # the column of the outermost header
    for token in tokenize.generate_tokens(StringIO(source).readline):
        if token.type != tokenize.NEWLINE:
            if token.string.strip() and token.type != tokenize.COMMENT:
                statement.append(token)
            continue
        column = statement[0].start[1]
        if function is not None and column <= function:
            function = None
        if _is_header([token.string for token in statement]):
            function = column if function is None else function
        elif function is not None:
            yield statement
        statement = []


def _is_header(words: list[str]) -> bool:
    """Return whether a statement begins a function, of Python or of Cython."""
    if words[0] in ("cdef", "cpdef"):
        return words[1] != "class" and "(" in words and words[-1] == ":"
    return words[0] == "def" or words[:2] == ["async", "def"]


def _changes(statement: list[TokenInfo], is_python: bool) -> Iterator[Change]:
    """Yield all changes of a statement."""
    words = [token.string for token in statement]
    is_name, equals = not keyword.iskeyword(words[0]), _find(words, ASSIGNMENTS)
    if words[0] in SKIPPED:
        return
    if words[0] == "cdef" or (is_name and words[-1] != ":" and _find(words, {":"}) < equals):
        statement = statement[equals + 1 :]  # a type is before it
    elif words[0] in ("if", "elif", "while") and words[-1] == ":":
        yield statement[1], statement[-2], "False"
        if words[0] != "while":
            yield statement[1], statement[-2], "True"
    elif words[0] == "return" and len(words) > 1:
        if is_python and words[1:] != ["None"]:
            yield statement[1], statement[-1], "None"
    elif equals < len(words):
        if words[equals] != "=" or {".", "["} & {*words[:equals]}:
            yield statement[0], statement[-1], "pass"
    elif words[0] in ("del", "return", "await") or (is_name and words[-1] == ")"):
        yield statement[0], statement[-1], "pass"
    yield from _swaps(statement)


def _find(words: list[str], wanted: set[str]) -> int:
    """Return where one of the wanted words is outside brackets, or the number of words."""
    depth = 0
    for index, word in enumerate(words):
        depth += (word in "([{") - (word in ")]}")
        if depth == 0 and word in wanted:
            return index
    return len(words)


def _swaps(statement: list[TokenInfo]) -> Iterator[Change]:
    """Yield changes of one token, but none in a cast of Cython such as ``<char *>data``."""
    before, in_cast = "=", False
    for token in statement:
        word = token.string
        if in_cast:
            in_cast = word != ">"
        elif word == "<" and (keyword.iskeyword(before) or before[-1] in "=(,[{:+-*/%&|^<>"):
            in_cast = True
        elif token.type == tokenize.NUMBER:
            yield token, token, str(ast.literal_eval(word) + 1)
        elif word in SWAPS:
            yield token, token, SWAPS[word]
        before = word
