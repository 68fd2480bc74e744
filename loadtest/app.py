"""What the users talk to: an echo, typed messages, chat rooms, a feed, a server that restarts."""

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import prometheus_client
from prometheus_client.core import GaugeMetricFamily

from fastws import App, Message, WebSocket
from fastws.closing import CloseCode

FEED = "feed"
FEED_INTERVAL = 0.05
FEED_PADDING = "x" * 64 * 1024


class Order(Message):
    """A client's question."""

    number: int
    items: list[str]


class Cancel(Message):
    """Another one, so that there is something to tell apart."""

    number: int


class Receipt(Message):
    """The answer to either."""

    number: int
    count: int


class Tick(Message):
    """What the feed says; sent when it was published, in nanoseconds of the machine's clock."""

    number: int
    sent: int
    padding: str


app = App()


@app.websocket("/echo")
async def echo(ws: WebSocket[str | bytes]) -> None:
    """Sends every message back."""
    await ws.accept()
    async for message in ws:
        await ws.send(message)


@app.websocket("/typed", messages=Order | Cancel)
async def typed(ws: WebSocket[Order | Cancel]) -> None:
    """Answers each message with one of another type."""
    await ws.accept()
    async for message in ws:
        match message:
            case Order(number, items):
                await ws.send(Receipt(number, len(items)))
            case Cancel(number):
                await ws.send(Receipt(number, 0))


@app.websocket("/rooms/{room}")
async def talk(ws: WebSocket[str]) -> None:
    """Passes every message on to the others in the room."""
    room = ws.path_params["room"]
    await ws.accept()
    ws.join(room)
    async for message in ws:
        await ws.publish(room, message)


@app.websocket("/feed")
async def feed(ws: WebSocket[str]) -> None:
    """Sends what is published, at a pace that does not depend on the client."""
    await ws.accept()
    ws.join(FEED)
    async for _ in ws:
        pass


@app.websocket("/restart")
async def restart(ws: WebSocket[str]) -> None:
    """Ends as every connection does when the server restarts, on the client's word."""
    await ws.accept()
    await ws.receive()
    await ws.close(CloseCode.SERVICE_RESTART)


@app.lifespan
@asynccontextmanager
async def publishing(app: App) -> AsyncIterator[None]:
    """Publishes to the feed for as long as the process lives."""
    publisher = asyncio.create_task(publish(app))
    yield
    publisher.cancel()


async def publish(app: App) -> None:
    """Publishes a tick in each interval."""
    number = 0
    while True:
        await asyncio.sleep(FEED_INTERVAL)
        if FEED in app.rooms.names():
            number += 1
            await app.rooms.publish(FEED, Tick(number, time.monotonic_ns(), FEED_PADDING))


class Vitals:
    """What would grow if something leaked, for ``/metrics``."""

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Counts; called by the registry."""
        objects = gc.get_objects()
        # asyncio's or uvloop's; neither loop tells how many it has.
        timers = sum(type(item).__name__ == "TimerHandle" for item in objects)
        yield GaugeMetricFamily("loadtest_objects", "Objects that can be in cycles.", len(objects))
        yield GaugeMetricFamily("loadtest_timers", "Timers of the event loop.", timers)
        yield GaugeMetricFamily("loadtest_tasks", "asyncio's tasks.", len(asyncio.all_tasks()))


if app.metrics.registry is not None:
    app.metrics.registry.register(Vitals())
    prometheus_client.ProcessCollector(registry=app.metrics.registry)
