"""Each rule of the gate, broken by a made-up result."""

from typing import Any

import pytest

from tests.autobahn.verdict import ExpectedClose, Result, Violation, judge


def made_up(case: str = "1.1.1", **changes: Any) -> Result:
    informational = case in ("7.1.6", "7.13.1", "7.13.2")
    fine: dict[str, Any] = {
        "id": case,
        "description": "Send   text.",
        "behavior": "INFORMATIONAL" if informational else "OK",
        "behavior_close": "INFORMATIONAL" if informational else "OK",
        "result": "Events match.",
        "result_close": "Properly closed.",
        "expected_close": ExpectedClose([1000, 1002]),
        "remote_close_code": 1000,
        "was_server_connection_drop_timeout": False,
    }
    return Result(**(fine | changes))


def rules(*results: Result, expected: tuple[str, ...] = ()) -> list[str]:
    cases = {result.id: result for result in results}
    violations = judge(cases, expected or tuple(cases))
    return [rule for violation in violations for rule in violation.rules]


def test_good_results_pass() -> None:
    assert rules(made_up(), made_up("7.1.6"), made_up("7.13.1"), made_up("7.13.2")) == []


@pytest.mark.parametrize("behavior", ["NON-STRICT", "FAILED", "UNIMPLEMENTED", "INFORMATIONAL"])
def test_any_other_behavior_than_ok_fails(behavior: str) -> None:
    assert rules(made_up(behavior=behavior)) == [f"behavior is {behavior}, not OK: Events match."]


@pytest.mark.parametrize(
    "behavior", ["UNCLEAN", "WRONG CODE", "FAILED BY CLIENT", "FAILED", "INFORMATIONAL"]
)
def test_any_other_close_than_ok_fails(behavior: str) -> None:
    assert rules(made_up(behavior_close=behavior)) == [
        f"close is {behavior}, not OK: Properly closed."
    ]


@pytest.mark.parametrize("case", ["7.1.6", "7.13.1", "7.13.2"])
def test_informational_cases_must_not_fail_either(case: str) -> None:
    assert rules(made_up(case, behavior="FAILED")) == [
        "behavior is FAILED, not INFORMATIONAL: Events match."
    ]


@pytest.mark.parametrize("code", [None, 1001])
def test_close_code_must_be_an_expected_one(code: int | None) -> None:
    assert rules(made_up(remote_close_code=code)) == [f"close code is {code}, not in [1000, 1002]"]


def test_close_code_is_free_where_the_suite_expects_none() -> None:
    assert rules(made_up(expected_close=ExpectedClose(), remote_close_code=None)) == []


def test_empty_close_may_be_answered_by_an_empty_close() -> None:
    assert rules(made_up("7.3.1", remote_close_code=None)) == []


def test_late_tcp_close_fails() -> None:
    (rule,) = rules(made_up(was_server_connection_drop_timeout=True))
    assert "did not close TCP" in rule


def test_missing_result_fails() -> None:
    assert judge({"1.1.1": made_up()}, ["1.1.1", "1.1.2"]) == [
        Violation("1.1.2", ["has no result"])
    ]


def test_result_that_was_not_asked_for_fails() -> None:
    assert rules(made_up("9.1.1"), made_up(), expected=("1.1.1",)) == ["was not asked for"]


def test_every_broken_rule_is_told_in_the_order_of_cases() -> None:
    results = {case: made_up(case, remote_close_code=None) for case in ("10.1.1", "2.9")}
    results["2.9"].behavior = "FAILED"
    violations = judge(results, ["10.1.1", "2.9", "2.10"])
    assert [(violation.case, len(violation.rules)) for violation in violations] == [
        ("2.9", 2),
        ("2.10", 1),
        ("10.1.1", 1),
    ]


def test_violation_shows_the_description_in_one_line() -> None:
    violation = Violation("1.1.1", ["broken", "late"], "Send \n   <b>text</b>.<br>")
    assert str(violation) == "1.1.1: Send text .\n    broken\n    late"


def test_violation_without_description_shows_no_empty_one() -> None:
    assert str(Violation("1.1.1", ["broken"])) == "1.1.1\n    broken"
