"""The line through a series, and what it says about growth."""

from random import Random

import pytest

from loadtest.slope import fit

TIMES = [2.0 * n for n in range(200)]


def test_a_line_is_found() -> None:
    line = fit(TIMES, [5 + time / 3600 for time in TIMES])
    assert line.slope == pytest.approx(1)
    assert line.error == pytest.approx(0, abs=1e-6)
    assert line.level == pytest.approx(5 + 199 / 3600)


def test_the_error_is_that_of_the_textbook() -> None:
    # x = 0, 1, 2, 3 and y = 0, 2, 1, 3: slope 0.8, standard error sqrt(1.8 / 2 / 5).
    line = fit([0, 1, 2, 3], [0, 2, 1, 3])
    assert line.slope / 3600 == pytest.approx(0.8)
    assert line.error / 3600 == pytest.approx((1.8 / 2 / 5) ** 0.5)


@pytest.mark.parametrize(
    ("growth", "noise", "exceeds"),
    [
        (0, 0, False),
        (0, 20, False),  # busy, but not growing
        (50, 1, False),  # less than is allowed
        (-1000, 1, False),  # something is given back
        (70, 0.1, True),
        (600, 20, True),  # ten in a minute, seen through the noise
        (70, 20, False),  # it could be chance
    ],
)
def test_growth_beyond_what_is_allowed(growth: float, noise: float, exceeds: bool) -> None:
    random = Random(1)
    values = [100 + growth * time / 3600 + random.gauss(0, noise) for time in TIMES]
    assert fit(TIMES, values).exceeds(60) is exceeds


def test_a_saw_does_not_grow() -> None:
    values = [100.0 + n % 10 for n in range(len(TIMES))]
    assert not fit(TIMES, values).exceeds(60)


@pytest.mark.parametrize("times", [[], [1.0], [1.0, 2.0], [1.0, 1.0, 1.0]])
def test_too_little_for_a_line(times: list[float]) -> None:
    with pytest.raises(ValueError, match="three points"):
        fit(times, times)
