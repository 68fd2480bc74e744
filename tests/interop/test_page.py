"""The example's page in a real browser."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.interop.clients.chromium import Page, open_page
from tests.processes import PATIENCE, Server

pytestmark = pytest.mark.parametrize("anyio_backend", ["uvloop"], indirect=True)

APP = "fastws.examples.echo:app"

WAIT = """
new Promise((done) => {
  const element = document.getElementById(%s)
  const observer = new MutationObserver(look)
  function look() {
    if (element.innerText.includes(%s)) {
      observer.disconnect()
      done(element.innerText)
    }
  }
  observer.observe(element, { subtree: true, childList: true, characterData: true })
  look()
})
"""


async def seen(page: Page, element: str, text: str) -> str:
    """Waits until an element shows a text; gives all that it shows."""
    async with asyncio.timeout(PATIENCE):
        shown: str = await page.run(WAIT % (json.dumps(element), json.dumps(text)))
    return shown


async def click(page: Page, element: str) -> None:
    """Clicks into the middle of an element."""
    box = await page.run(
        f"(({{ x, y, width, height }}) => [x + width / 2, y + height / 2])"
        f"(document.getElementById({json.dumps(element)}).getBoundingClientRect())"
    )
    where: dict[str, Any] = {"x": box[0], "y": box[1], "button": "left", "clickCount": 1}
    for kind in "mousePressed", "mouseReleased":
        await page.command("Input.dispatchMouseEvent", type=kind, **where)


@pytest.mark.parametrize("control", [False, True], ids=["fastws", "uvicorn"])
async def test_what_is_typed_comes_back(serve: Callable[..., Server], control: bool) -> None:
    server = serve(APP, uvicorn=control)
    async with open_page(server.http("/")) as page:
        await seen(page, "status", "open")
        for text in "hi", "käse 🧀", "<b>not bold</b>":
            await click(page, "msg")
            await page.command("Input.insertText", text=text)
            await click(page, "send")
            await seen(page, "output", text)
        await click(page, "binary")
        await click(page, "msg")
        await page.command("Input.insertText", text="AB")
        await click(page, "send")
        shown = await seen(page, "output", "65,66")
        assert shown.split("\n") == ["hi", "käse 🧀", "<b>not bold</b>", "2 bytes: 65,66"]
        await asyncio.to_thread(server.stop)
        await seen(page, "status", "closed: 1012")
