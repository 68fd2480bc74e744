import inspect

import pytest

from fastws.limits import MIB, Limits

FIELDS = Limits.__struct_fields__
NOT_OFF = {
    "max_queue_messages",
    "max_queue_size",
    "max_write_buffer",
    "max_unsent",
    "max_header_size",
    "max_header_count",
    "close_timeout",
    "drain_window",
    "max_broker_queue",
    "max_history_size",
    "broker_timeout",
    "presence_lease",
}


def variable(name: str) -> str:
    return f"FASTWS_{name.upper()}"


def test_limits_cannot_be_changed_in_place() -> None:
    with pytest.raises(AttributeError):
        Limits().max_message_size = 1  # type: ignore[misc]


def test_replace_gives_a_copy_with_other_limits() -> None:
    limits = Limits(ping_interval=7.0)
    changed = limits.replace(max_message_size=None)
    assert (changed.max_message_size, changed.ping_interval) == (None, 7.0)
    assert limits.max_message_size == MIB


@pytest.mark.parametrize("name", FIELDS)
def test_a_limit_is_not_negative(name: str) -> None:
    with pytest.raises(ValueError, match=f"^{name} must be a finite number from 0 on, but is -1$"):
        Limits(**{name: -1})
    with pytest.raises(ValueError, match=name):
        Limits().replace(**{name: -1})


@pytest.mark.parametrize("name", FIELDS)
def test_the_environment_sets_every_limit(name: str) -> None:
    assert Limits.overrides({variable(name): "3", "OTHER": "4"}) == {name: 3}


@pytest.mark.parametrize("name", FIELDS)
def test_off_in_the_environment_turns_a_limit_off(name: str) -> None:
    environ = {variable(name): " Off "}
    if name in NOT_OFF:
        with pytest.raises(ValueError, match=f"^{variable(name)}=' Off '"):
            Limits.overrides(environ)
    else:
        assert Limits.overrides(environ) == {name: None}


def test_times_in_the_environment_may_have_a_fraction_and_sizes_may_not() -> None:
    assert Limits.overrides({"FASTWS_CLOSE_TIMEOUT": "0.5"}) == {"close_timeout": 0.5}
    with pytest.raises(ValueError, match=r"^FASTWS_MAX_MESSAGE_SIZE='0\.5'"):
        Limits.overrides({"FASTWS_MAX_MESSAGE_SIZE": "0.5"})


@pytest.mark.parametrize("text", ["", "1MB", "nan", "inf", "0x10", "none"])
def test_a_value_that_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^FASTWS_MAX_MESSAGE_SIZE="):
        Limits.overrides({"FASTWS_MAX_MESSAGE_SIZE": text})


def test_every_limit_says_what_it_is() -> None:
    about = inspect.getdoc(Limits) or ""
    assert [name for name in FIELDS if f"\n    {name}: " not in about] == []


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_time_is_a_finite_number(value: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        Limits(ping_interval=value)


def test_large_messages_pass_in_one_frame_and_on_the_wire() -> None:
    limits = Limits.for_messages(100 * MIB, ping_interval=7.0)
    assert (limits.max_message_size, limits.max_frame_size) == (100 * MIB, 100 * MIB)
    assert (limits.max_wire_size, limits.ping_interval) == (200 * MIB, 7.0)


def test_messages_without_bound() -> None:
    limits = Limits.for_messages(None)
    assert (limits.max_message_size, limits.max_frame_size, limits.max_wire_size) == (None,) * 3
