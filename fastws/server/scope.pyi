"""The ASGI scope of a WebSocket, field for field as uvicorn makes it; for compiled code only."""
