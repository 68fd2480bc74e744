"""Chromium without a window, driven through its DevTools Protocol."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as connect_devtools

from tests.processes import PATIENCE, Process

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

UNTIL = """
new Promise((done) => {
  const observer = new MutationObserver(look)
  const what = { subtree: true, childList: true, characterData: true, attributes: true }
  observer.observe(document, what)
  look()
  function look() {
    const value = %s
    if (!value) return
    observer.disconnect()
    done(value)
  }
})
"""


class Browser:
    """The browser of the session, started when a test first needs it."""

    def __init__(self) -> None:
        self._profile: TemporaryDirectory[str] | None = None
        self._process: Process | None = None
        self._devtools = ""

    @property
    def devtools(self) -> str:
        """The address of its DevTools."""
        if self._process is None:
            found = next(filter(None, map(shutil.which, NAMES)), None)
            if found is None:
                pytest.skip("needs Chromium: apt-get install chromium")
            self._profile = TemporaryDirectory(prefix="fastws", ignore_cleanup_errors=True)
            profile = f"--user-data-dir={self._profile.name}"
            # It must not outlive us, whatever becomes of us.
            bound = "setpriv", "--pdeathsig", "TERM"
            self._process = Process(*bound, found, *FLAGS, profile, "about:blank")
            self._devtools = self._process.wait_for(r"DevTools listening on (ws://\S+)")[1]
        return self._devtools

    def end(self) -> None:
        """Ends it, if it was started; it may be started again."""
        if self._process is not None:
            self._process.stop()  # killed, it would leave a handler of crashes behind
            self._process = None
        if self._profile is not None:
            self._profile.cleanup()
            self._profile = None


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

    async def go(self, url: str) -> None:
        """Goes to an address, and waits until the page there is loaded."""
        await self.command("Page.navigate", url=url)
        await self.run(
            "new Promise((done) => document.readyState === 'complete'"
            " ? done() : addEventListener('load', done))"
        )
        assert await self.run("location.href.split('#')[0]") == url.partition("#")[0]

    async def run(self, expression: str) -> Any:
        """Gives the value of a JavaScript expression, awaited if it is a promise."""
        result = await self.command(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    async def until(self, expression: str) -> Any:
        """Waits until a JavaScript expression about the document is true; gives its value."""
        try:
            async with asyncio.timeout(PATIENCE):
                return await self.run(UNTIL % expression)
        except TimeoutError:
            raise AssertionError(f"never true: {expression}") from None

    async def seen(self, element: str, text: str) -> str:
        """Waits until the element of an id shows a text; gives all that it shows."""
        shown = f"document.getElementById({json.dumps(element)}).innerText"
        return str(await self.until(f"{shown}.includes({json.dumps(text)}) && {shown}"))

    async def click(self, selector: str) -> None:
        """Clicks into the middle of the first element of a CSS selector."""
        box = await self.until(
            f"(({{ x, y, width, height }}) => width && [x + width / 2, y + height / 2])"
            f"(document.querySelector({json.dumps(selector)}).getBoundingClientRect())"
        )
        where: dict[str, Any] = {"x": box[0], "y": box[1], "button": "left", "clickCount": 1}
        for kind in "mousePressed", "mouseReleased":
            await self.command("Input.dispatchMouseEvent", type=kind, **where)

    async def type(self, text: str) -> None:
        """Types a text where the focus is, all at once."""
        await self.command("Input.insertText", text=text)

    async def press(self, key: str) -> None:
        """Presses a key, such as ``Enter``."""
        text = {"text": "\r"} if key == "Enter" else {}
        for kind, more in ("keyDown", text), ("keyUp", {}):
            await self.command("Input.dispatchKeyEvent", type=kind, key=key, code=key, **more)


@asynccontextmanager
async def open_page(url: str, width: int = 1024, height: int = 768) -> AsyncIterator[Page]:
    """Opens a page, with cookies and storage of its own, and waits until it is loaded."""
    async with connect_devtools(
        browser.devtools, max_size=None, compression=None, proxy=None
    ) as devtools:
        page = Page(devtools)
        # It ends with this connection.
        context = await page.command("Target.createBrowserContext", disposeOnDetach=True)
        target = await page.command("Target.createTarget", url="about:blank", **context)
        attached = await page.command(
            "Target.attachToTarget", targetId=target["targetId"], flatten=True
        )
        page.session = {"sessionId": attached["sessionId"]}
        await page.command(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < height,
        )
        await page.go(url)
        yield page
        await page.command("Page.close")
