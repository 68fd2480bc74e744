"""The example's page in a real browser."""

import asyncio
from collections.abc import Callable

import pytest

from tests.browser import open_page
from tests.processes import Server

pytestmark = pytest.mark.parametrize("anyio_backend", ["uvloop"], indirect=True)

APP = "fastws.examples.echo:app"


@pytest.mark.deep
@pytest.mark.parametrize("control", [False, True], ids=["fastws", "uvicorn"])
async def test_what_is_typed_comes_back(serve: Callable[..., Server], control: bool) -> None:
    server = serve(APP, uvicorn=control)
    async with open_page(server.http("/")) as page:
        await page.seen("status", "open")
        for text in "hi", "käse 🧀", "<b>not bold</b>":
            await page.click("#msg")
            await page.type(text)
            await page.click("#send")
            await page.seen("output", text)
        await page.click("#binary")
        await page.click("#msg")
        await page.type("AB")
        await page.click("#send")
        shown = await page.seen("output", "65,66")
        assert shown.split("\n") == ["hi", "käse 🧀", "<b>not bold</b>", "2 bytes: 65,66"]
        await asyncio.to_thread(server.stop)
        await page.seen("status", "closed: 1012")
