"""What the gate demands of Autobahn's results; stricter than the suite's own idea of a pass.

The suite exits with 0 even if there was no server, and takes a connection that just drops,
without a close frame, for properly closed.
"""

import re
from collections.abc import Collection, Mapping
from typing import NamedTuple

import msgspec

# Their outcome is not defined by RFC 6455: data after a close frame, close codes over 4999.
INFORMATIONAL = frozenset({"7.1.6", "7.13.1", "7.13.2"})
# Gets an empty close frame; the reply may then be empty too (RFC 6455 section 5.5.1).
EMPTY_CLOSE = frozenset({"7.3.1"})


class ExpectedClose(msgspec.Struct, rename="camel"):
    """The close that a case hopes for; empty if the connection was never opened."""

    close_code: list[int] = []


class Result(msgspec.Struct, rename="camel"):
    """The part of a case's JSON report that is judged or shown."""

    id: str
    description: str
    behavior: str
    behavior_close: str
    result: str
    result_close: str
    expected_close: ExpectedClose
    remote_close_code: int | None
    was_server_connection_drop_timeout: bool


class Violation(NamedTuple):
    """A case that breaks rules of the gate."""

    case: str
    rules: list[str]
    description: str = ""

    def __str__(self) -> str:
        title = " ".join(re.sub("<.*?>", " ", self.description).split())
        return "\n    ".join([f"{self.case}: {title}".rstrip(": "), *self.rules])


def judge(results: Mapping[str, Result], expected: Collection[str]) -> list[Violation]:
    """Holds the results against the gate.

    Args:
        results: what the suite reports, by case.
        expected: the cases that were to run.

    Returns:
        The cases that break a rule, in their order; none if the gate is passed.
    """
    violations = [Violation(case, ["has no result"]) for case in expected if case not in results]
    for case, result in results.items():
        rules = _broken_rules(result, case in expected)
        if rules:
            violations.append(Violation(case, rules, result.description))
    return sorted(violations, key=lambda violation: case_key(violation.case))


def case_key(case: str) -> tuple[int, ...]:
    """Gives the key that sorts 2.10 behind 2.9."""
    return tuple(int(part) for part in case.split("."))


def _broken_rules(result: Result, was_expected: bool) -> list[str]:
    rules = []
    if not was_expected:
        rules.append("was not asked for")
    wanted = "INFORMATIONAL" if result.id in INFORMATIONAL else "OK"
    if result.behavior != wanted:
        rules.append(f"behavior is {result.behavior}, not {wanted}: {result.result}")
    if result.behavior_close != wanted:
        rules.append(f"close is {result.behavior_close}, not {wanted}: {result.result_close}")
    codes = result.expected_close.close_code
    if codes and result.id not in EMPTY_CLOSE and result.remote_close_code not in codes:
        rules.append(f"close code is {result.remote_close_code}, not in {codes}")
    if result.was_server_connection_drop_timeout:
        rules.append("the server did not close TCP in time after the closing handshake")
    return rules
