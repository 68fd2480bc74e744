"""Heartbeat: a client that is silent is pinged, one that stays silent is gone.

    fastws run fastws.examples.heartbeat:app

Any bytes from a client count as a sign of life, so one that talks is never pinged, and one that
is busy is never taken for dead. No task and no timer belongs to a connection: one sweep looks
after all of them. A dead peer is gone after `ping_interval` + `ping_timeout`, with 1011.
"""

from fastws import App, Limits, WebSocket

app = App()


@app.websocket("/heartbeat", limits=Limits(ping_interval=30, ping_timeout=10))
async def heartbeat(ws: WebSocket[str | bytes]) -> None:
    """Answers with the round-trip time of a ping of its own, in milliseconds."""
    await ws.accept()
    async for _ in ws:
        await ws.send_json({"rtt": round(await ws.ping() * 1000, 3)})
