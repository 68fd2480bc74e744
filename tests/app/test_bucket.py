from fastws.app.bucket import Bucket
from fastws.limits import Limits


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_no_limits_no_bucket() -> None:
    assert Bucket.for_limits(Limits()) is None
    assert Bucket.for_limits(Limits(max_message_rate=1)) is not None
    assert Bucket.for_limits(Limits(max_byte_rate=1)) is not None


def test_two_seconds_worth_at_once_and_then_the_rate() -> None:
    clock = Clock()
    bucket = Bucket(10, None, clock)
    assert [bucket.take(1000) for _ in range(21)] == [True] * 20 + [False]
    assert bucket.reason == "over 10 messages in a second"


def test_it_fills_up_again_but_not_above_the_burst() -> None:
    clock = Clock()
    bucket = Bucket(10, None, clock)
    assert all(bucket.take(0) for _ in range(20))
    clock.now += 0.5
    assert [bucket.take(0) for _ in range(6)] == [True] * 5 + [False]
    clock.now += 1000
    assert [bucket.take(0) for _ in range(21)] == [True] * 20 + [False]


def test_bytes() -> None:
    clock = Clock()
    bucket = Bucket(None, 100, clock)
    assert bucket.take(200)
    clock.now += 0.5
    assert bucket.take(50)
    assert not bucket.take(1)
    assert bucket.reason == "over 100 bytes in a second"


def test_the_one_that_is_exceeded_first_counts() -> None:
    bucket = Bucket(1000, 10, Clock())
    assert not bucket.take(21)
    assert bucket.reason == "over 10 bytes in a second"


def test_a_rate_below_one_lets_one_pass() -> None:
    clock = Clock()
    bucket = Bucket(0.1, None, clock)
    assert [bucket.take(0), bucket.take(0)] == [True, False]
    bucket = Bucket(0.1, None, clock)
    assert bucket.take(0)
    clock.now += 10
    assert bucket.take(0)
    assert not Bucket(0, None, clock).take(0)


def test_a_clock_that_is_set_back_takes_nothing_away() -> None:
    clock = Clock()
    bucket = Bucket(10, 1000, clock)
    assert bucket.take(1)
    clock.now -= 1000
    assert [bucket.take(1) for _ in range(20)] == [True] * 19 + [False]
    clock.now += 1
    assert bucket.take(1)


def test_exactly_the_burst_and_not_one_more() -> None:
    clock = Clock()
    bucket = Bucket(3, 100, clock)
    assert bucket.take(200)
    assert not Bucket(3, 100, clock).take(201)
    assert [bucket.take(0) for _ in range(6)] == [True] * 5 + [False]
