"""L2: one WebSocket over one asyncio transport, in either role.

- `hub`: what the connections of one event loop share: buffers, the flush, the sweep
- `awaitables`: what ``receive()`` and ``send()`` return, and the direct wake-up of a task
- `endpoint`: reads, writes, flow control, heartbeat, closing
"""
