"""The chat's page in real browsers, with a real server."""

import json
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
import trustme
from websockets.asyncio.client import connect

from tests.browser import Page, browser, open_page
from tests.processes import Server

pytestmark = pytest.mark.parametrize("anyio_backend", ["uvloop"], indirect=True)

APP = "fastws.examples.chat:app"
PHONE = {"width": 360, "height": 640}

Serve = Callable[..., Server]


@pytest.fixture(scope="module", autouse=True)
def _browser() -> Iterator[None]:
    yield
    browser.end()


class Visitor:
    """Somebody in the chat: a page, and what people do there."""

    def __init__(self, page: Page):
        self.page = page
        self.seen = page.seen
        self.until = page.until
        self.run = page.run

    async def enter(self, name: str) -> None:
        await self.until("document.querySelector('#welcome').open")
        await self.page.type(name)
        await self.page.press("Enter")
        await self.is_("connected")

    async def is_(self, *states: str) -> None:
        await self.until(f"{json.dumps(states)}.includes(document.body.dataset.state)")

    async def write(self, text: str) -> None:
        await self.page.click("#text")
        await self.page.type(text)

    async def say(self, text: str) -> None:
        await self.write(text)
        await self.page.press("Enter")

    async def join(self, room: str) -> None:
        await self.page.click("#room")
        await self.page.type(room)
        await self.page.click("#join button")
        await self.is_in(room)

    async def switch(self, room: str) -> None:
        await self.run(f"{item(room)}.firstChild.click()")
        await self.is_in(room)

    async def is_in(self, room: str) -> None:
        await self.until(f"document.querySelector('#room-name').innerText === {json.dumps(room)}")

    async def sees_people(self, *names: str) -> None:
        shown = "[...document.querySelectorAll('#people-list bdi')].map((name) => name.innerText)"
        await self.until(f"JSON.stringify({shown}) === JSON.stringify({json.dumps(names)})")

    async def texts(self) -> list[str]:
        """What is in the log, without the notes of who came and went."""
        said = "[...document.querySelectorAll('.message > p')]"
        texts: list[str] = await self.run(f"{said}.map((text) => text.innerText)")
        return texts


def item(room: str) -> str:
    """The JavaScript for a room's item in the list."""
    return (
        "[...document.querySelectorAll('#room-list > li')]"
        f".find((item) => item.querySelector('bdi').innerText === {json.dumps(room)})"
    )


@asynccontextmanager
async def visitors(
    url: str, *names: str, width: int = 1280, height: int = 800
) -> AsyncIterator[list[Visitor]]:
    """Opens a page for each name, and enters with it."""
    async with AsyncExitStack() as stack:
        pages = []
        for name in names:
            pages.append(Visitor(await stack.enter_async_context(open_page(url, width, height))))
            await pages[-1].enter(name)
        yield pages


async def test_two_pages_see_each_others_texts_and_their_own_once(serve: Serve) -> None:
    server = serve(APP)
    async with visitors(server.http(), "Ada", "Bob") as (ada, bob):
        await ada.say("hi Bob")
        await bob.seen("log", "hi Bob")
        await bob.say("käse 🧀")
        await ada.seen("log", "käse 🧀")  # whatever came back of "hi Bob" came before it
        assert await ada.texts() == await bob.texts() == ["hi Bob", "käse 🧀"]
        assert await ada.run("document.querySelector('.mine > p').innerText") == "hi Bob"
        assert "Ada" in await bob.run("document.querySelector('.message').innerText")


@pytest.mark.deep
@pytest.mark.parametrize(
    "markup",
    [
        "<b>b</b>",
        "<script>hacked = 1</script>",
        "<img src=x onerror='hacked = 1'>",
        "&lt;i&gt; &amp;",
        "${hacked = 1}",
    ],
)
async def test_markup_stays_text_in_messages_names_and_rooms(serve: Serve, markup: str) -> None:
    server = serve(APP)
    async with visitors(server.http(), "Ada", markup[:32]) as (ada, eve):
        elements = await ada.run("document.querySelectorAll('b, i, img, script').length")
        for page in ada, eve:
            await page.join(markup[:32])
        await eve.write("…")
        await ada.seen("typing", f"{markup[:32]} is typing…")
        await eve.say(markup)
        await ada.seen("log", "…" + markup)
        for shown in "#room-name", "#people-list li:last-child bdi", ".message .head bdi":
            text = await ada.run(f"document.querySelector({json.dumps(shown)}).innerText")
            assert text == markup[:32]
        assert await ada.run("document.title") == f"#{markup[:32]}"
        for page in ada, eve:
            assert (
                await page.run("document.querySelectorAll('b, i, img, script').length") == elements
            )
            assert await page.run("typeof hacked") == "undefined"


@pytest.mark.deep
async def test_the_browser_itself_refuses_markup(serve: Serve) -> None:
    async with open_page(serve(APP).http()) as page:
        refused = await page.run(
            "new Promise((done) => { document.body.innerHTML = '<p>' }).catch(({ name }) => name)"
        )
        assert refused == "TypeError"
        blocked = await page.run(
            "new Promise((done) => {"
            " addEventListener('securitypolicyviolation', (event) => done(event.blockedURI));"
            " document.body.append(document.createElement('iframe'));"
            " document.querySelector('iframe').src = 'https://elsewhere.test/' })"
        )
        assert blocked == "https://elsewhere.test"


@pytest.mark.deep
async def test_addresses_are_links_and_nothing_else_is(serve: Serve) -> None:
    async with visitors(serve(APP).http(), "Ada") as (ada,):
        await ada.say('see (https://example.com/a?b=c#d), http://"x or javascript:alert(1)')
        await ada.seen("log", "see")
        links = "[...document.querySelectorAll('#log a')].map(({ href, rel }) => [href, rel])"
        rel = "noopener noreferrer nofollow"
        assert await ada.run(links) == [["https://example.com/a?b=c#d", rel]]


async def test_a_killed_server_shows_and_the_page_comes_back_by_itself(serve: Serve) -> None:
    server = serve(APP)
    async with visitors(server.http(), "Ada", "Bob") as pages:
        ada, bob = pages
        for page in pages:
            await page.join("tea")
        await ada.sees_people("Ada", "Bob")
        assert server.stop(signal.SIGKILL) == -signal.SIGKILL
        for page in pages:
            await page.is_("waiting", "offline")
            await page.sees_people()
        assert " in " in await ada.run("document.querySelector('#state').innerText")
        await ada.say("anybody?")
        await ada.until("document.querySelector('.mine.pending > p')?.innerText === 'anybody?'")
        await ada.page.click("#retry")  # to a server that is still not there
        await ada.is_("waiting", "offline")
        serve(APP, "--port", str(server.port))
        for page in pages:
            await page.is_("connected")
            await page.seen("log", "Connected again")
        await ada.until("!document.querySelector('.pending')")
        await ada.sees_people("Ada", "Bob")
        await ada.say("here again")
        await bob.seen("log", "here again")
        for page in pages:
            await page.switch("lobby")
        await bob.sees_people("Bob", "Ada")
        await bob.say("and here")
        await ada.seen("log", "and here")


@pytest.mark.deep
async def test_a_stopped_server_is_no_fault_of_the_page_either(serve: Serve) -> None:
    server = serve(APP)
    async with visitors(server.http(), "Ada") as (ada,):
        server.stop()
        await ada.is_("waiting", "offline")
        serve(APP, "--port", str(server.port))
        await ada.page.click("#retry")
        await ada.is_("connected")
        await ada.sees_people("Ada")


@pytest.mark.deep
async def test_a_server_that_restarts_says_when_to_come_back(serve: Serve) -> None:
    server = serve("tests.examples.restarting:app")
    async with open_page(server.http()) as page:
        await page.until("document.querySelector('#welcome').open")
        await page.type("Ada")
        await page.press("Enter")
        # By itself it would come back within a second.
        seconds = "Number(document.querySelector('#state').innerText.match(/ in (\\d+) s/)?.[1])"
        await page.until(f"{seconds} > 30")


@pytest.mark.deep
async def test_typing_shows_until_the_message_is_there(serve: Serve) -> None:
    async with visitors(serve(APP).http(), "Ada", "Bob", "Cleo") as (ada, bob, cleo):
        await bob.write("hm")
        await ada.seen("typing", "Bob is typing…")
        await cleo.write("well")
        await ada.seen("typing", "Bob and Cleo are typing…")
        await bob.page.press("Enter")
        await ada.seen("log", "hm")
        assert "Bob" not in await ada.run("document.querySelector('#typing').innerText")


@pytest.mark.deep
async def test_who_is_here_is_known(serve: Serve) -> None:
    server = serve(APP)
    async with visitors(server.http(), "Ada") as (ada,):
        await ada.sees_people("Ada")
        async with visitors(server.http(), "Bob", "Ada") as (bob, second):
            await ada.sees_people("Ada", "Ada", "Bob")
            await second.sees_people("Ada", "Ada", "Bob")
            await ada.seen("log", "Bob and Ada joined")
            await ada.seen("count", "3 here")
            await bob.join("tea")
            await ada.sees_people("Ada", "Ada", "Bob")
            await bob.run(f"{item('lobby')}.querySelector('.leave').click()")
            await ada.sees_people("Ada", "Ada")
            await ada.seen("log", "Bob left")
        await ada.sees_people("Ada")
        await ada.seen("log", "Bob and Ada left")


@pytest.mark.deep
async def test_rooms_are_apart_and_tell_what_is_unread(serve: Serve) -> None:
    async with visitors(serve(APP).http(), "Ada", "Bob") as (ada, bob):
        await ada.join("tea")
        await bob.join("tea")
        await ada.switch("lobby")
        await bob.say("kettle is on")
        await bob.say("who wants some?")
        await ada.until(f"{item('tea')}.querySelector('.badge').innerText === '2'")
        assert await ada.texts() == []
        assert await ada.run("document.title") == "(2) #lobby"
        await ada.switch("tea")
        await ada.seen("log", "who wants some?")
        assert await ada.run("document.querySelector('.new > p').innerText") == "kettle is on"
        await ada.until("document.title === '#tea'")
        assert await ada.run(f"{item('tea')}.querySelector('.badge').innerText") == ""
        await ada.write("a draft")
        await ada.switch("lobby")
        assert await ada.run("document.querySelector('#text').value") == ""
        await ada.switch("tea")
        assert await ada.run("document.querySelector('#text').value") == "a draft"


@pytest.mark.deep
async def test_a_link_leads_to_a_room_and_a_reload_back(serve: Serve) -> None:
    server = serve(APP)
    async with visitors(server.http("/#gr%C3%BCn"), "Ada") as (ada,):
        await ada.is_in("grün")
        await ada.page.go("about:blank")
        await ada.page.go(server.http())
        await ada.is_("connected")  # without having been asked again
        await ada.is_in("grün")
        await ada.join("tea")
        await ada.page.go("about:blank")
        await ada.page.go(server.http("/#tea"))
        await ada.is_in("tea")
        await ada.is_("connected")
        await ada.sees_people("Ada")
        assert await ada.run(f"!!{item('grün')}")


@pytest.mark.deep
async def test_what_is_refused_says_so(serve: Serve) -> None:
    async with visitors(serve(APP).http(), "Ada", "Bob") as (ada, bob):
        await ada.write("x")
        await ada.run("void (document.querySelector('#text').value = 'x'.repeat(2001))")
        await ada.page.press("Enter")
        await ada.seen("log", "not accepted")
        await ada.say("short")
        await bob.seen("log", "short")
        assert await bob.texts() == ["short"]


async def test_a_phone_has_room_for_everything(serve: Serve) -> None:
    async with visitors(serve(APP).http(), "Ada", "W" * 32, **PHONE) as (ada, bob):
        await bob.say("W" * 500)
        await bob.say("https://example.com/" + "w" * 500)
        await ada.seen("log", "www")
        await ada.page.click("#show-rooms")
        await ada.join("tea")
        await ada.until("!document.querySelector('#rooms').matches(':popover-open')")
        await ada.page.click("#show-rooms")
        await ada.switch("lobby")
        await ada.page.click("#show-people")
        await ada.sees_people("Ada", "W" * 32)
        for sheet in "", "#show-rooms":
            if sheet:
                await ada.page.press("Escape")
                await ada.page.click(sheet)
            inner = "#log, nav, aside, .message p"
            widths = f"[document.documentElement, ...document.querySelectorAll('{inner}')]"
            too_wide = "({ scrollWidth, clientWidth }) => scrollWidth > clientWidth"
            assert not await ada.run(f"{widths}.some({too_wide})")
            assert not await ada.run(
                "[...document.querySelectorAll('button, input, textarea')]"
                ".filter((control) => control.checkVisibility())"
                ".map((control) => control.getBoundingClientRect())"
                ".some(({ width, height, right }) =>"
                " width < 44 || height < 44 || right > innerWidth)"
            )


@pytest.mark.deep
async def test_ten_thousand_messages_are_kept_and_few_of_them_shown(serve: Serve) -> None:
    server = serve(APP)
    async with visitors(server.http(), "Ada") as (ada,):
        count = "document.querySelector('#log').childElementCount"
        async with connect(server.url("/chat?name=Bob")) as bob:
            for start in range(0, 10_000, 500):
                for n in range(start, start + 500):
                    await bob.send(json.dumps({"type": "Chat", "content": f"message {n}."}))
                await ada.seen("log", f"message {start + 499}.")
                assert await ada.run(count) <= 300
            # Who reads what was said before stays there, and is told how much has come.
            first = await ada.run(
                """(async () => {
                  const log = document.querySelector('#log')
                  let most = 0
                  while (log.scrollTop > 0) {
                    log.scrollTop = 0
                    await new Promise(requestAnimationFrame)
                    most = Math.max(most, log.childElementCount)
                  }
                  return [log.innerText.match(/message \\d+/)[0], most]
                })()"""
            )
            assert first == ["message 0", 300]
            await bob.send(json.dumps({"type": "Chat", "content": "one more"}))
            await ada.seen("latest", "1 new")
            assert await ada.run("document.querySelector('#log').scrollTop") == 0
            await ada.page.click("#latest")
            await ada.seen("log", "one more")
            assert await ada.run(count) <= 300


@pytest.mark.deep
async def test_a_page_below_a_path_finds_its_server(serve: Serve) -> None:
    server = serve("tests.examples.mounted:app")
    async with visitors(server.http("/below/"), "Ada") as (ada,):
        await ada.sees_people("Ada")


@pytest.mark.deep
async def test_a_page_that_came_with_tls_connects_with_it(serve: Serve, tmp_path: Path) -> None:
    certificate = trustme.CA().issue_cert("127.0.0.1")
    certificate.private_key_and_cert_chain_pem.write_to_path(tmp_path / "cert.pem")
    server = serve(APP, "--ssl-certfile", str(tmp_path / "cert.pem"))
    assert server.scheme == "https"
    async with visitors(server.http(), "Ada") as (ada,):
        await ada.sees_people("Ada")
