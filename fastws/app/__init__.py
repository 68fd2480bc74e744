"""L4: the application layer, on any ASGI server."""
