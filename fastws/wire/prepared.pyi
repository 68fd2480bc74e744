class PreparedMessage:
    """A message that is encoded once, for any number of connections.

    Attributes:
        payload: the bytes of the message, before compression.
        opcode: text for a str, binary for any buffer of bytes.
    """

    payload: bytes
    opcode: int
    def __init__(self, message: str | bytes | bytearray | memoryview) -> None: ...
