"""What the commands take, and the limits that come with it."""

import argparse
import inspect
import os
import re
from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn

import msgspec

from fastws.cli.failing import fail
from fastws.limits import Limits

CHAT = "fastws.examples.chat:app"

EXAMPLES = """examples:
  fastws run fastws.examples.echo:app --port 9000
  fastws run shop.main:app --uds '/run/shop/{worker}.sock' --workers 4 --broker redis://10.0.0.5
"""

LIMITS = """What one connection may cost. Each may also come from the environment, as in
FASTWS_MAX_MESSAGE_SIZE=65536; the option wins. "off" turns a limit off."""

# By the group of --help. What uvicorn.run calls differently has its name there as `dest`.
OPTIONS: dict[str, dict[str, dict[str, Any]]] = {
    "where to listen": {
        "--host": {"default": "127.0.0.1", "help": "address; 0.0.0.0 for all (%(default)s)"},
        "--port": {"type": int, "default": 8000, "help": "0 picks a free one (%(default)s)"},
        "--uds": {
            "metavar": "PATH",
            "help": "unix socket, instead of host and port; with {worker} in it, each worker has "
            "one of its own, from 1 on",
        },
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
        "--timeout-worker-healthcheck": {
            "type": int,
            "metavar": "SECONDS",
            "help": "until a worker whose event loop stands still is replaced (15)",
        },
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


class _Version(argparse.Action):
    """Print the versions and exit; they are looked up only when somebody asks."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from fastws.cli.version import versions

        parser.exit(message=f"{versions()}\n")


def parser() -> argparse.ArgumentParser:
    """Makes what reads the command line."""
    whole = argparse.ArgumentParser("fastws", description="A compiled WebSocket server for ASGI.")
    whole.add_argument(
        "--version",
        action=_Version,
        nargs=0,
        default=argparse.SUPPRESS,
        help="print the versions of fastws, Python and uvicorn",
    )
    commands = whole.add_subparsers(dest="command", required=True)
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
    drain = commands.add_parser(
        "drain",
        help="tell a server to end, and wait until it has",
        description="Sends SIGTERM to a `fastws run`, and waits until it has gone: its clients are "
        "closed over drain_window with a hint to come back. Exit code 0 if it has gone.",
        argument_default=argparse.SUPPRESS,
    )
    drain.add_argument("pid", type=int, help="its process id; of several workers, their parent's")
    drain.add_argument(
        "--timeout", type=float, metavar="SECONDS", help="exit code 1 if it lasts longer"
    )
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
    return whole


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
            Limits(**Limits.overrides({variable(name): text}))
        except ValueError as error:
            message = str(error).removeprefix(f"{variable(name)}={text!r}: ")
            raise argparse.ArgumentTypeError(message) from None
        return text

    return check


def limits() -> Limits:
    """Gives the limits that the environment sets."""
    try:
        return Limits.read(os.environ)
    except ValueError as error:
        fail(str(error))


def limit_names() -> tuple[str, ...]:
    """Gives the names of all limits, each of which is an option."""
    return Limits.__struct_fields__


def variable(name: str) -> str:
    """Gives the environment variable of a limit."""
    return f"FASTWS_{name.upper()}"
