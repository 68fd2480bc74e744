import asyncio
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import uvicorn

from fastws.limits import KIB, MIB, Limits
from fastws.server.config import Config, graceful_timeout, limits_for

Make = Callable[..., uvicorn.Config]


async def app(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("not called here")


def ours(**options: Any) -> uvicorn.Config:
    return Config(app, **options)


def plain(**options: Any) -> uvicorn.Config:
    """A configuration as the command line of uvicorn makes it."""
    return uvicorn.Config(app, **options)


@pytest.fixture(autouse=True)
def no_limits_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Limits.__struct_fields__:
        monkeypatch.delenv(f"FASTWS_{name.upper()}", raising=False)


def test_config_has_our_classes() -> None:
    config = Config(app)
    assert config.http == "fastws.server.http:HttpProtocol"
    assert config.ws == "fastws.server.protocol:WebSocketProtocol"


def test_config_takes_the_options_of_uvicorn() -> None:
    config = Config(app, http="h11", port=1234, ws_per_message_deflate=False)
    assert (config.http, config.port, config.ws_per_message_deflate) == ("h11", 1234, False)


def test_config_runs_on_uvloop_unless_told_otherwise() -> None:
    for config, module in ((Config(app), "uvloop"), (Config(app, loop="asyncio"), "asyncio")):
        factory = config.get_loop_factory()
        assert factory is not None
        with asyncio.Runner(loop_factory=factory) as runner:
            assert type(runner.get_loop()).__module__.startswith(module)


def test_the_default_limits_are_ours() -> None:
    assert limits_for(Config(app)) == Limits()


def test_given_limits_are_final(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTWS_MAX_MESSAGE_SIZE", "7")
    limits = Limits(ping_timeout=3.0)
    assert limits_for(Config(app, limits=limits, ws_max_size=9)) is limits


@pytest.mark.parametrize("make", [plain, ours])
def test_the_environment_beats_the_options_of_uvicorn(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASTWS_MAX_MESSAGE_SIZE", "off")
    monkeypatch.setenv("FASTWS_CLOSE_TIMEOUT", "1.5")
    limits = limits_for(make(ws_max_size=9, ws_max_queue=5))
    assert limits == Limits.for_messages(None, close_timeout=1.5, max_queue_messages=5)


@pytest.mark.parametrize("make", [plain, ours])
def test_the_options_of_uvicorn_are_honoured(make: Make) -> None:
    config = make(ws_max_size=64 * KIB, ws_max_queue=5, ws_ping_interval=1.5, ws_ping_timeout=None)
    assert limits_for(config) == Limits(
        max_message_size=64 * KIB, max_queue_messages=5, ping_interval=1.5, ping_timeout=None
    )


@pytest.mark.parametrize("interval", [None, 0, -1.0])
def test_uvicorns_ways_to_turn_pings_off(interval: float | None) -> None:
    assert limits_for(plain(ws_ping_interval=interval)).ping_interval is None


def test_plain_uvicorn_keeps_its_default_size() -> None:
    assert limits_for(plain()).max_message_size == 16 * MIB


def test_a_large_ws_max_size_allows_that_much_in_one_frame() -> None:
    limits = limits_for(plain(ws_max_size=100 * MIB))
    assert (limits.max_frame_size, limits.max_wire_size) == (100 * MIB, 200 * MIB)


def test_the_limits_of_a_configuration_are_found_once(monkeypatch: pytest.MonkeyPatch) -> None:
    config = plain()
    limits = limits_for(config)
    monkeypatch.setenv("FASTWS_MAX_MESSAGE_SIZE", "7")
    assert limits_for(config) is limits


def test_a_wrong_value_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTWS_PING_INTERVAL", "often")
    with pytest.raises(ValueError, match=r"^FASTWS_PING_INTERVAL='often'"):
        Config(app)


def test_limits_reach_worker_processes() -> None:
    config = pickle.loads(pickle.dumps(Config("app:app", limits=Limits(max_ping_rate=9))))
    assert limits_for(config) == Limits(max_ping_rate=9)


def test_a_shutdown_has_the_time_that_it_may_need() -> None:
    limits = Limits(drain_window=2.0, close_timeout=0.5)
    assert graceful_timeout(limits) == 4
    assert Config(app, limits=limits).timeout_graceful_shutdown == 4
    assert Config(app, timeout_graceful_shutdown=9).timeout_graceful_shutdown == 9
    assert plain().timeout_graceful_shutdown is None
