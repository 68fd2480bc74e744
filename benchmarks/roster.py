"""Who is compared: for each scenario, the peers that have it, and how each is started.

No server compresses, logs requests or pings; Python runs on uvloop where it can.
"""

import shutil
import sys
from functools import partial

from benchmarks.servers import (
    HERE,
    OURS,
    THEIRS,
    NotMeasuredError,
    Peer,
    asgi,
    compiled,
    node_module,
    node_program,
)

FOLDER = HERE / "peers"


def script(name: str, file: str) -> Peer:
    """A Python program that is told its port."""
    return Peer(name, lambda port: [sys.executable, "-P", str(FOLDER / file), str(port)])


def bun(name: str, file: str) -> Peer:
    """A program for Bun."""
    return Peer(name, lambda port: [node_program("bun", 1), str(FOLDER / file), str(port)])


def deno(port: int) -> list[str]:
    """The command of Deno's echo."""
    options = ["run", "--allow-net", "--no-lock", str(FOLDER / "echo_deno.js"), str(port)]
    return ["env", "DENO_NO_UPDATE_CHECK=1", node_program("deno", 2), *options]


def node(name: str, file: str) -> Peer:
    """A program for Node and its package `ws`."""

    def command(port: int) -> list[str]:
        if shutil.which("node") is None:
            raise NotMeasuredError("node is not installed")
        path = f"NODE_PATH={node_module('ws', 8).parent}"
        return ["env", path, "node", str(FOLDER / file), str(port)]

    return Peer(name, command)


def granian(interface: str, app: str, port: int) -> list[str]:
    """The command of granian with one worker and one runtime thread, its defaults."""
    command = ["env", f"PYTHONPATH={HERE}", sys.executable, "-P", "-m", "granian", app]
    command += ["--interface", interface, "--loop", "uvloop", "--log-level", "warning"]
    return [*command, "--host", "127.0.0.1", "--port", str(port)]


def hypercorn(port: int) -> list[str]:
    """The command of hypercorn in one process."""
    command = ["env", f"PYTHONPATH={HERE}", sys.executable, "-P", "-m", "hypercorn"]
    command += ["peers.echo:app", "--workers", "0", "--worker-class", "uvloop"]
    return [*command, "--log-level", "error", "--bind", f"127.0.0.1:{port}"]


FASTWS = asgi("fastws", "peers.echo:app", *OURS)
FASTWS_APP = asgi("fastws.App", "peers.echo_fastws:app", *OURS)
UVICORN = asgi("uvicorn", "peers.echo:app", *THEIRS)
BUN = bun("Bun", "echo_bun.js")
FLOOR = Peer("floor in C", lambda port: [compiled(FOLDER / "floor.c"), str(port)])
SUBJECTS = {peer.name.lower(): peer for peer in (FASTWS, UVICORN, BUN)}

ECHO = (
    FASTWS,
    FASTWS_APP,
    FLOOR,
    BUN,
    Peer("Deno", deno),
    node("Node ws", "echo_ws.js"),
    script("picows", "echo_picows.py"),
    script("aiohttp", "echo_aiohttp.py"),
    script("socketify", "echo_socketify.py"),
    script("websockets", "echo_websockets.py"),
    UVICORN,
    asgi("uvicorn, wsproto", "peers.echo:app", "httptools", "wsproto"),
    Peer("granian, ASGI", partial(granian, "asginl", "peers.echo:app")),
    Peer("granian, RSGI", partial(granian, "rsgi", "peers.echo_rsgi:app")),
    Peer("hypercorn", hypercorn),
    asgi("Starlette on uvicorn", "peers.echo_starlette:app", *THEIRS),
    asgi("Starlette on fastws", "peers.echo_starlette:app", *OURS),
    asgi("FastAPI on uvicorn", "peers.echo_fastapi:app", *THEIRS),
    asgi("FastAPI on fastws", "peers.echo_fastapi:app", *OURS),
    asgi("Litestar on uvicorn", "peers.echo_litestar:app", *THEIRS),
    asgi("Litestar on fastws", "peers.echo_litestar:app", *OURS),
)

# A tagged union comes, a struct goes.
FASTWS_TYPED = asgi("fastws", "peers.typed_fastws:app", *OURS)
FASTAPI_TYPED = asgi("FastAPI on uvicorn", "peers.typed_fastapi:app", *THEIRS)
BUN_TYPED = bun("Bun, unvalidated", "typed_bun.js")
TYPED = (
    FASTWS_TYPED,
    BUN_TYPED,
    asgi("fastws.App on uvicorn", "peers.typed_fastws:app", *THEIRS),
    FASTAPI_TYPED,
    asgi("FastAPI on fastws", "peers.typed_fastapi:app", *OURS),
)

# What a client sends, all others get: by the way that each of them has for it.
FASTWS_ROOMS = asgi("fastws", "peers.fanout_rooms:app", *OURS)
UVICORN_LOOP = asgi("uvicorn", "peers.fanout_loop:app", *THEIRS)
UVICORN_ROOMS = asgi("rooms on uvicorn", "peers.fanout_rooms:app", *THEIRS)
BUN_PUBLISH = bun("Bun", "fanout_bun.js")
BROADCAST = script("websockets", "fanout_websockets.py")
FANOUT = (
    FASTWS_ROOMS,
    BUN_PUBLISH,
    node("Node ws", "fanout_ws.js"),
    script("picows", "fanout_picows.py"),
    BROADCAST,
    UVICORN_LOOP,
    UVICORN_ROOMS,
    Peer("granian, ASGI", partial(granian, "asginl", "peers.fanout_loop:app")),
)
FANOUT_SUBJECTS = {peer.name.lower(): peer for peer in (FASTWS_ROOMS, UVICORN_LOOP, BUN_PUBLISH)}
