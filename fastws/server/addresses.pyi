"""The two ends of a connection, as ASGI's scope names them; for compiled code only."""
