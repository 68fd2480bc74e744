class Inbox:
    """Received messages, in their order."""

    count: int
    size: int
