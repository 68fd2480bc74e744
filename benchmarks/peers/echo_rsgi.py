"""The echo over RSGI, granian's own interface."""

from granian._granian import RSGIWebsocketProtocol
from granian.rsgi import Scope, WebsocketMessageType


async def app(_scope: Scope, protocol: RSGIWebsocketProtocol) -> None:
    """Send back whatever comes."""
    transport = await protocol.accept()
    while (message := await transport.receive()).kind != WebsocketMessageType.close:
        await transport.send_str(str(message.data))
    protocol.close(None)
