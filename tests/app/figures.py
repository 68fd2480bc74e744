"""What /metrics tells, and what of it a test changes."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from fastws.app.app import App
from fastws.app.handshake import State
from fastws.app.websocket import WebSocket
from tests.server.serving import Running

Socket = WebSocket[Any]
# Values by what they are of: `fastws_closes_total{by="client",code="normal"}`.
Figures = dict[str, float]


def read(exposition: str) -> Figures:
    """Reads what /metrics answers; its metrics are ours, and explained."""
    figures: Figures = {}
    for family in text_string_to_metric_families(exposition):
        assert family.name.startswith("fastws_")
        assert family.documentation.endswith(".")
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sample.labels.items())
            name = f"{sample.name}{{{labels}}}" if labels else sample.name
            assert name not in figures
            figures[name] = sample.value
    return figures


def prometheus(app: App) -> str:
    return app.metrics.respond({}).body.decode()


async def scrape(server: Running) -> Figures:
    url = "http://{}:{}/metrics".format(*server.address)
    async with aiohttp.ClientSession() as http, http.get(url) as answer:
        assert answer.status == 200
        assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        return read(await answer.text())


class Change(dict[str, float]):
    """What has become of figures since the start, without those that are as they were."""


@asynccontextmanager
async def changed(server: Running) -> AsyncIterator[Change]:
    """Gives what the block changes, once all its connections are over."""
    change = Change()
    before = await scrape(server)
    yield change
    await server.emptied()
    after = await scrape(server)
    assert before.keys() <= after.keys()
    moved = {name: value - before.get(name, 0) for name, value in after.items()}
    change |= {name: value for name, value in moved.items() if value}


ACCEPTED = 'fastws_handshakes_total{outcome="accepted"}'
REFUSED = 'fastws_handshakes_total{outcome="refused"}'


def closed(code: str, by: str) -> str:
    return f'fastws_closes_total{{by="{by}",code="{code}"}}'


def refused(by: str, status: int) -> str:
    return f'fastws_handshake_refusals_total{{by="{by}",status="{status}"}}'


# The end of a connection of which TCP ended.
LOST = closed("abnormal", "network")


# What one connection that the client closes comes to.
VISIT: Figures = {ACCEPTED: 1, closed("normal", "client"): 1}


def traffic(received: list[int], sent: list[int]) -> Figures:
    """What messages of these sizes come to."""
    figures = {
        "fastws_received_messages_total": len(received),
        "fastws_received_bytes_total": sum(received),
        "fastws_sent_messages_total": len(sent),
        "fastws_sent_bytes_total": sum(sent),
    }
    return {name: value for name, value in figures.items() if value}


async def end_of(ws: Any) -> None:
    """Receives until the server ends the connection."""
    async for _ in ws:
        pass


async def echo(ws: Socket) -> None:
    if ws.state is not State.OPEN:
        await ws.accept()
    async for message in ws:
        await ws.send(message)


def app_of(handler: Callable[[Socket], Awaitable[None]], **options: Any) -> App:
    app = App()
    app.websocket("/{name}", **options)(handler)
    return app
