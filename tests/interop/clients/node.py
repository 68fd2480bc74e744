"""Node's `ws`, in a process of its own."""

import asyncio
import json
import os
import shutil
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.interop.clients import Target
from tests.interop.clients.javascript import JavaScriptPeer

HERE = Path(__file__).parent
MODULES = Path(os.environ.get("NODE_PATH", "node_modules"))


class NodePeer(JavaScriptPeer):
    """A connection."""

    def __init__(self, process: Process):
        self.process = process

    async def call(self, name: str, *args: Any) -> Any:
        stdin, stdout = self.process.stdin, self.process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps([name, *args]).encode() + b"\n")
        await stdin.drain()
        line = await stdout.readline()
        assert line, "node has ended"
        return json.loads(line)


@asynccontextmanager
async def connect(target: Target) -> AsyncIterator[NodePeer]:
    """Connects."""
    node = shutil.which("node")
    if node is None or not (MODULES / "ws").exists():
        pytest.skip(f"needs Node, and `ws` in {MODULES} ($NODE_PATH): npm install ws@8")
    process = await asyncio.create_subprocess_exec(
        node, HERE / "node.mjs", MODULES.parent / "-", stdin=PIPE, stdout=PIPE, limit=2**23
    )
    try:
        peer = NodePeer(process)
        url = f"ws+unix:{target.uds}:{target.path}" if target.uds else target.url
        options: dict[str, Any] = {"perMessageDeflate": target.compression}
        if target.authority:
            options["ca"] = target.authority.read_text()
        peer.learn(await peer.call("open", url, target.subprotocols, options))
        yield peer
    finally:
        process.kill()
        await process.communicate()
