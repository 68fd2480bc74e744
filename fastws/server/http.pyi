from fastws.server.protocol import WebSocketProtocol

class HttpProtocol(WebSocketProtocol):
    """The straight way to a WebSocket: the class for uvicorn's ``--http``."""
