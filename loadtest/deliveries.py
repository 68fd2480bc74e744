"""Messages to many: what is late, what is missing."""

import msgspec


class WrongAnswer(Exception):
    """The server has sent something else than it should have."""


class Said(msgspec.Struct):
    """A message of a room or of the feed, with what shows how late it is, and what is missing.

    Attributes:
        number: counts up by one for each sender.
        sent: when, in nanoseconds of the machine's clock.
        sender: who it comes from.
    """

    number: int
    sent: int
    sender: str = ""


class Deliveries:
    """What has come last of each sender; what comes next has to follow on it."""

    def __init__(self) -> None:
        self._last: dict[str, int] = {}

    def check(self, said: Said) -> WrongAnswer | None:
        """Gives what is wrong if a message is missing, or comes twice or too late."""
        last = self._last.get(said.sender)
        self._last[said.sender] = said.number
        if last is None or said.number == last + 1:
            return None
        return WrongAnswer(f"number {said.number} after {last}")


def decode(message: str | bytes) -> Said:
    """Reads a message of a room or of the feed."""
    try:
        return msgspec.json.decode(message, type=Said)
    except msgspec.MsgspecError as error:
        raise WrongAnswer(str(error)) from error
