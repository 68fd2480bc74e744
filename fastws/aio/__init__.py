"""L2: one WebSocket over one asyncio transport, in either role.

- `hub`: what the connections of one event loop share: buffers, the flush, the sweep
- `awaitables`: what ``receive()`` and ``send()`` return, and the direct wake-up of a task
- `writer`: frames to the socket, or to where they wait for it
- `endpoint`: reads, flow control, heartbeat, closing
- `fanout`: one message to many connections
- `counters`: what has happened on all of them, in numbers
"""
