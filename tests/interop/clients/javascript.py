"""What Node and Chromium have in common: ``peer.mjs`` holds the connection."""

import base64
from pathlib import Path
from typing import Any

PEER = Path(__file__).with_name("peer.mjs")


class JavaScriptPeer:
    """A connection whose calls are made in JavaScript."""

    subprotocol: str | None
    compressed: bool

    async def call(self, name: str, *args: Any) -> Any:
        """Calls a function of ``peer.mjs``."""
        raise NotImplementedError

    def learn(self, info: dict[str, str]) -> None:
        """Takes what was negotiated."""
        self.subprotocol = info["protocol"] or None
        self.compressed = "permessage-deflate" in info["extensions"]

    async def send(self, data: str | bytes) -> None:
        if isinstance(data, str):
            await self.call("send", {"text": data})
        else:
            await self.call("send", {"base64": base64.b64encode(data).decode()})

    async def receive(self) -> str | bytes:
        message = await self.call("receive")
        if "text" in message:
            text: str = message["text"]
            return text
        return base64.b64decode(message["base64"])

    async def ping(self) -> None:
        assert await self.call("ping") == "payload"

    async def close(self, code: int, reason: str) -> None:
        await self.call("close", code, reason)

    async def closed(self) -> tuple[int, str]:
        closed = await self.call("closed")
        return closed["code"], closed["reason"]
