"""Chromium without a window, driven through its DevTools Protocol."""

import base64
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as connect_devtools

from tests.interop.clients import Target
from tests.interop.clients.javascript import PEER, JavaScriptPeer
from tests.processes import Process

NAMES = "chromium", "chromium-browser", "google-chrome"  # the first is Debian's
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--disable-sync",
    "--ignore-certificate-errors",
    "--no-first-run",
    "--remote-debugging-port=0",
)


class Browser:
    """The browser of the session, started when a test first needs it."""

    def __init__(self) -> None:
        self._profile = TemporaryDirectory(prefix="fastws", ignore_cleanup_errors=True)
        self._process: Process | None = None
        self._devtools = ""

    @property
    def devtools(self) -> str:
        """The address of its DevTools."""
        if self._process is None:
            found = next(filter(None, map(shutil.which, NAMES)), None)
            if found is None:
                pytest.skip("needs Chromium: apt-get install chromium")
            profile = f"--user-data-dir={self._profile.name}"
            # It must not outlive us, whatever becomes of us.
            bound = "setpriv", "--pdeathsig", "TERM"
            self._process = Process(*bound, found, *FLAGS, profile, "about:blank")
            self._devtools = self._process.wait_for(r"DevTools listening on (ws://\S+)")[1]
        return self._devtools

    def end(self) -> None:
        """Ends it, if it was started."""
        if self._process is not None:
            self._process.stop()  # killed, it would leave a handler of crashes behind
            self._process = None
        self._profile.cleanup()


browser = Browser()


class Page:
    """A page of the browser."""

    def __init__(self, devtools: ClientConnection):
        self.devtools = devtools
        self.last = 0
        self.session: dict[str, str] = {}

    async def command(self, method: str, **params: Any) -> Any:
        """Gives the result of a command."""
        self.last += 1
        message = {"id": self.last, "method": method, "params": params, **self.session}
        await self.devtools.send(json.dumps(message))
        while (answer := json.loads(await self.devtools.recv())).get("id") != self.last:
            pass  # an event
        assert "error" not in answer, answer
        return answer["result"]

    async def run(self, expression: str) -> Any:
        """Gives the value of a JavaScript expression, awaited if it is a promise."""
        result = await self.command(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")


@asynccontextmanager
async def open_page(url: str) -> AsyncIterator[Page]:
    """Opens a page and waits until it is loaded."""
    async with connect_devtools(
        browser.devtools, max_size=None, compression=None, proxy=None
    ) as devtools:
        page = Page(devtools)
        target = (await page.command("Target.createTarget", url="about:blank"))["targetId"]
        attached = await page.command("Target.attachToTarget", targetId=target, flatten=True)
        page.session = {"sessionId": attached["sessionId"]}
        await page.command("Page.navigate", url=url)
        await page.run(
            "new Promise((done) => document.readyState === 'complete'"
            " ? done() : addEventListener('load', done))"
        )
        assert await page.run("location.href") == url
        yield page
        await page.command("Page.close")


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
