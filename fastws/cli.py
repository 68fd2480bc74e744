"""`fastws run MODULE:APP`: uvicorn with our protocol classes, our defaults and our limits.

`fastws check-deploy`: which limit of the machine stops connections first.
"""

import argparse
import inspect
import os
import re
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from importlib import import_module
from typing import Any, NoReturn

import msgspec
import uvicorn

from fastws.deployment import bounds, report
from fastws.limits import Limits

CHAT = "fastws.examples.chat:app"

EXAMPLES = """examples:
  fastws run fastws.examples.echo:app --port 9000
  fastws run shop.main:app --uds /run/shop.sock --workers 4 --broker redis://10.0.0.5
"""

LIMITS = """What one connection may cost. Each may also come from the environment, as in
FASTWS_MAX_MESSAGE_SIZE=65536; the option wins. "off" turns a limit off."""

# By the group of --help. What uvicorn.run calls differently has its name there as `dest`.
OPTIONS: dict[str, dict[str, dict[str, Any]]] = {
    "where to listen": {
        "--host": {"default": "127.0.0.1", "help": "address; 0.0.0.0 for all (%(default)s)"},
        "--port": {"type": int, "default": 8000, "help": "0 picks a free one (%(default)s)"},
        "--uds": {"metavar": "PATH", "help": "unix socket, instead of host and port"},
        "--fd": {"type": int, "help": "file descriptor of a socket that already listens"},
        "--backlog": {"type": int, "help": "connections that may wait to be accepted (2048)"},
    },
    "the app": {
        "--app-dir": {"default": ".", "metavar": "DIR", "help": "where to look for MODULE (.)"},
        "--factory": {"action": "store_true", "help": "APP is a function that gives the app"},
        "--env-file": {"metavar": "FILE", "help": "environment to load; needs python-dotenv"},
        "--root-path": {"metavar": "PATH", "help": "where a proxy mounts the app"},
        "--broker": {
            "metavar": "URL",
            "help": "of a Redis or NATS through which the workers of a fastws.App share their "
            "rooms ($FASTWS_BROKER, or memory://, which is for one worker)",
        },
    },
    "processes": {
        "--workers": {"type": int, "help": "worker processes ($WEB_CONCURRENCY, or 1)"},
        "--reload": {"action": "store_true", "help": "restart when a source file changes"},
        "--reload-dir": {
            "action": "append",
            "dest": "reload_dirs",
            "metavar": "DIR",
            "help": "directory to watch, instead of the current one; may be repeated",
        },
        "--loop": {
            "choices": ["auto", "uvloop", "asyncio"],
            "help": "event loop; auto is uvloop where it is installed (auto)",
        },
        "--limit-concurrency": {"type": int, "metavar": "N", "help": "above it, HTTP gets 503"},
        "--timeout-graceful-shutdown": {
            "type": int,
            "metavar": "SECONDS",
            "help": "until what is left is cancelled (drain window + close timeout + 1)",
        },
    },
    "TLS": {
        "--ssl-certfile": {"metavar": "FILE", "help": "certificate chain, PEM"},
        "--ssl-keyfile": {"metavar": "FILE", "help": "its private key, PEM"},
        "--ssl-keyfile-password": {"metavar": "TEXT", "help": "what the key is encrypted with"},
        "--ssl-ca-certs": {"metavar": "FILE", "help": "authorities of client certificates"},
    },
    "behind a proxy": {
        "--proxy-headers": {
            "action": argparse.BooleanOptionalAction,
            "help": "believe X-Forwarded-Proto and X-Forwarded-For (on)",
        },
        "--forwarded-allow-ips": {
            "metavar": "LIST",
            "help": "proxies to believe ($FORWARDED_ALLOW_IPS, or 127.0.0.1,::1)",
        },
    },
    "logging": {
        "--log-level": {
            "choices": ["critical", "error", "warning", "info", "debug", "trace"],
            "help": "what is worth a line (info)",
        },
        "--log-config": {"metavar": "FILE", "help": "of logging.config: .ini, .json or .yaml"},
        "--access-log": {
            "action": argparse.BooleanOptionalAction,
            "help": "a line for every HTTP request (on)",
        },
    },
    "WebSocket": {
        "--compression": {
            "action": argparse.BooleanOptionalAction,
            "dest": "ws_per_message_deflate",
            "help": "permessage-deflate for clients that offer it (on)",
        },
    },
}


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command line."""
    options = vars(_parser().parse_args(argv))
    if options.pop("command") == "check-deploy":
        _check_deploy(options.get("connections", 0))
    given = {name: options.pop(name) for name in _limit_names() if name in options}
    sys.path.insert(0, options.pop("app_dir"))
    if "env_file" in options:
        _load_env_file(options.pop("env_file"))
    # Through the environment they reach the workers as well.
    os.environ.update({_variable(name): text for name, text in given.items()})
    if "broker" in options:
        os.environ["FASTWS_BROKER"] = options.pop("broker")
    _check_broker_url(os.environ.get("FASTWS_BROKER", "memory://"))
    limits = _limits()
    # Only now: with a wrong limit in the environment, the server cannot be imported.
    from fastws.server.config import DEFAULTS, graceful_timeout

    options.setdefault("timeout_graceful_shutdown", graceful_timeout(limits))
    # With --reload an app that cannot be imported is what the next change may mend.
    if "reload" not in options:
        _check_broker(_check_app(options["app"]), _workers(options))
    if "uds" not in options and "fd" not in options:
        _check_address(options["host"], options["port"])
    uvicorn.run(**DEFAULTS, **options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("fastws", description="A compiled WebSocket server for ASGI.")
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser(
        "run",
        usage="fastws run [MODULE:APP] [options]",
        help="serve an ASGI app",
        description="Serves an ASGI app; defaults are in parentheses.",
        epilog=EXAMPLES,
        formatter_class=partial(argparse.RawDescriptionHelpFormatter, max_help_position=30),
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    run.add_argument(
        "app",
        nargs="?",
        default=CHAT,
        metavar="MODULE:APP",
        help=f"such as fastws.examples.echo:app; without one, the chat of the examples ({CHAT})",
    )
    for title, options in OPTIONS.items():
        group = run.add_argument_group(title)
        for flag, details in options.items():
            group.add_argument(flag, **details)
    _add_limits(run.add_argument_group("limits", LIMITS))
    check = commands.add_parser(
        "check-deploy",
        help="say which limit of this machine stops connections first",
        description="Reads the limits of this machine, of fastws and of nginx as they run, and "
        "says how many connections each allows, the lowest first. As root it sees all of nginx.",
        argument_default=argparse.SUPPRESS,
    )
    check.add_argument(
        "--connections", type=int, metavar="N", help="exit code 1 if fewer than these are allowed"
    )
    return parser


def _add_limits(group: Any) -> None:
    texts = dict(
        re.findall(r"^    (\w+): (.*(?:\n        .*)*)", inspect.getdoc(Limits) or "", re.M)
    )
    for field in msgspec.structs.fields(Limits):
        text = " ".join(texts[field.name].split()).replace("``", "")
        default = "off" if field.default is None else field.default
        group.add_argument(
            f"--{field.name.replace('_', '-')}",
            metavar="SECONDS" if isinstance(field.default, float) else "N",
            type=_limit(field.name),
            help=f"{text} ({default})",
        )


def _limit(name: str) -> Callable[[str], str]:
    def check(text: str) -> str:
        try:
            Limits(**Limits.overrides({_variable(name): text}))
        except ValueError as error:
            message = str(error).removeprefix(f"{_variable(name)}={text!r}: ")
            raise argparse.ArgumentTypeError(message) from None
        return text

    return check


def _limits() -> Limits:
    try:
        return Limits.read(os.environ)
    except ValueError as error:
        _fail(str(error))


def _limit_names() -> tuple[str, ...]:
    return Limits.__struct_fields__


def _variable(name: str) -> str:
    return f"FASTWS_{name.upper()}"


def _load_env_file(path: str) -> None:
    try:
        from dotenv import load_dotenv
    except ModuleNotFoundError:
        _fail("--env-file needs another package: pip install python-dotenv")
    if not load_dotenv(path):
        _fail(f"--env-file: nothing to read in {path}")


def _check_deploy(connections: int) -> NoReturn:
    found = sorted(bounds(_limits()))
    sys.stdout.write(report(found))
    sys.exit(int(found[0].connections < connections))


def _check_app(target: str) -> Any:
    """Imports the app, so that a wrong name is one line, and in one process; gives it."""
    module, _, attributes = target.partition(":")
    if not module or not attributes:
        _fail(f"{target!r} does not name an app: it has to look like module:app")
    try:
        found = import_module(module)
    except ModuleNotFoundError as error:
        # Another module that this one imports is the app's own fault, with a traceback.
        if not f"{module}.".startswith(f"{error.name}."):
            raise
        _fail(f"there is no module {error.name!r} (looking from {sys.path[0]!r})")
    for attribute in attributes.split("."):
        try:
            found = getattr(found, attribute)
        except AttributeError:
            _fail(f"module {module!r} has no {attributes!r}")
    return found


def _check_broker_url(url: str) -> None:
    """Finds out that a URL means nothing, or needs another package, before the app does."""
    from fastws.rooms.brokers import broker_at

    try:
        broker_at(url)
    except ValueError as error:
        _fail(f"the broker: {error}")


def _check_broker(app: Any, workers: int) -> None:
    """Refuses rooms that would end at the borders of processes."""
    if workers > 1 and str(getattr(app, "broker_url", "")).startswith("memory:"):
        _fail(
            f"with {workers} workers a room needs a broker, or each worker has rooms of its own: "
            f"choose --broker redis://HOST or nats://HOST, or --workers 1 "
            f"(an app without rooms says so by App(broker=MemoryBroker()))"
        )


def _workers(options: Mapping[str, Any]) -> int:
    with suppress(ValueError):
        return int(options.get("workers") or os.environ.get("WEB_CONCURRENCY") or 1)
    return 1  # uvicorn will say what is wrong with it


def _check_address(host: str, port: int) -> None:
    """Binds and lets go: uvicorn finds out only after it has started the app."""
    try:
        for family, kind, protocol, _, address in socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        ):
            with socket.socket(family, kind, protocol) as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                # Not address[1]: getaddrinfo cuts the port to 16 bits.
                sock.bind((address[0], port, *address[2:]))
    except (OSError, OverflowError) as error:
        _fail(f"cannot listen on {host}:{port}: {getattr(error, 'strerror', None) or error}")


def _fail(message: str) -> NoReturn:
    sys.exit(f"fastws: {message}")


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main()
