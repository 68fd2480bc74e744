"""`fastws run`: finds out in time what cannot work, and starts the server."""

import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from typing import Any

import uvicorn
from uvicorn.config import STARTUP_FAILURE

from fastws.cli.failing import fail
from fastws.cli.options import limit_names, limits, variable
from fastws.extras import need


def run(options: dict[str, Any]) -> None:
    """Serves an app until a signal comes.

    Args:
        options: what was given on the command line.
    """
    given = {name: options.pop(name) for name in limit_names() if name in options}
    sys.path.insert(0, options.pop("app_dir"))
    if "env_file" in options:
        _load_env_file(options.pop("env_file"))
    # Through the environment they reach the workers as well.
    os.environ.update({variable(name): text for name, text in given.items()})
    if "broker" in options:
        os.environ["FASTWS_BROKER"] = options.pop("broker")
    if "FASTWS_BROKER" in os.environ:
        _check_broker_url(os.environ["FASTWS_BROKER"])
    limits()
    # With --reload an app that cannot be imported is what the next change may mend.
    if "reload" in options:
        _run_reloading(options)
    else:
        _check_broker(_check_app(options["app"]), _workers(options))
        _serve(options)


def _run_reloading(options: dict[str, Any]) -> None:
    # Only now: with a wrong limit in the environment, the server cannot be imported.
    from fastws.server.config import DEFAULTS, graceful_timeout

    options.setdefault("timeout_graceful_shutdown", graceful_timeout(limits()))
    uvicorn.run(**DEFAULTS, **options)


def _serve(options: dict[str, Any]) -> None:
    # Only now, as above.
    from fastws.server import Config
    from fastws.server.listeners import Listeners
    from fastws.server.single import SingleServer
    from fastws.server.supervisor import Supervisor
    from fastws.server.systemd import Notifier

    config, notifier = Config(**options), Notifier.take(os.environ)
    try:
        listeners = Listeners.bind(config, os.environ)
    except OSError as error:
        fail(str(error))
    with listeners:
        if config.workers > 1:
            sys.exit(Supervisor(config, listeners, notifier).run())
        server = SingleServer(config, listeners, notifier)
        server.run()
    if not server.started:
        sys.exit(STARTUP_FAILURE)
    if server.ended_by not in (None, signal.SIGINT):
        # As if nobody had been there to take it, which is what a service manager expects.
        signal.signal(server.ended_by, signal.SIG_DFL)
        signal.raise_signal(server.ended_by)


def _load_env_file(path: str) -> None:
    need("env-file", "--env-file")
    from dotenv import load_dotenv

    if not load_dotenv(path):
        fail(f"--env-file: nothing to read in {path}")


def _check_app(target: str) -> Any:
    """Imports the app, so that a wrong name is one line, and in one process; gives it."""
    module, _, attributes = target.partition(":")
    if not module or not attributes:
        fail(f"{target!r} does not name an app: it has to look like module:app")
    try:
        found = import_module(module)
    except ModuleNotFoundError as error:
        # Another module that this one imports is the app's own fault, with a traceback.
        if not f"{module}.".startswith(f"{error.name}."):
            raise
        fail(f"there is no module {error.name!r} (looking from {sys.path[0]!r})")
    for attribute in attributes.split("."):
        try:
            found = getattr(found, attribute)
        except AttributeError:
            fail(f"module {module!r} has no {attributes!r}")
    return found


def _check_broker_url(url: str) -> None:
    """Find out that a URL means nothing, or that a package is missing, before the app does."""
    from fastws.rooms.brokers import broker_at

    try:
        broker_at(url)
    except ValueError as error:
        fail(f"the broker: {error}")


def _check_broker(app: Any, workers: int) -> None:
    """Refuses rooms that would end at the borders of processes."""
    if workers > 1 and str(getattr(app, "broker_url", "")).startswith("memory:"):
        fail(
            f"with {workers} workers a room needs a broker, or each worker has rooms of its own: "
            f"choose --broker redis://HOST or nats://HOST, or --workers 1 "
            f"(an app without rooms says so by App(broker=MemoryBroker()))"
        )


def _workers(options: Mapping[str, Any]) -> int:
    with suppress(ValueError):
        return int(options.get("workers") or os.environ.get("WEB_CONCURRENCY") or 1)
    return 1  # uvicorn will say what is wrong with it
