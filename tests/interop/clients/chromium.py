"""A page of Chromium as a client."""

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.browser import Page, open_page
from tests.interop.clients import Target
from tests.interop.clients.javascript import PEER, JavaScriptPeer


class ChromiumPeer(JavaScriptPeer):
    """A connection of a page."""

    def __init__(self, page: Page):
        self.page = page

    async def call(self, name: str, *args: Any) -> Any:
        return await self.page.run(f"peer.{name}(...{json.dumps(args)})")


@asynccontextmanager
async def connect(target: Target) -> AsyncIterator[ChromiumPeer]:
    """Connects, from a page of the same origin."""
    scheme, _, place, _ = target.url.split("/", 3)
    scheme = scheme.replace("ws", "http")
    async with open_page(f"{scheme}//{place}/") as page:
        source = base64.b64encode(PEER.read_bytes()).decode()
        await page.run(
            f"import('data:text/javascript;base64,{source}')"
            f".then((module) => module.peer(new WebSocket("
            f"{json.dumps(target.url)}, {json.dumps(target.subprotocols)})))"
            f".then((peer) => {{ globalThis.peer = peer }})"
        )
        peer = ChromiumPeer(page)
        peer.learn(await peer.call("info"))
        yield peer
