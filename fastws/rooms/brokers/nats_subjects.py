"""Names in NATS."""

import math
from urllib.parse import quote

from fastws.rooms.brokers.history import History

# What stands for the empty name; no other name is written like this.
NOTHING = "%"


class Subjects:
    """The names of what belongs to an app.

    Args:
        prefix: what all of them begin with.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix

    def of(self, channel: str) -> str:
        """Gives the subject by which messages of a channel come."""
        return f"{self._prefix}.{_token(channel)}"

    def kept(self, history: History, channel: str) -> str:
        """Gives the subject by which they go to a stream, which passes them on."""
        return f"{self._prefix}-log.{_measure(history)}.{_token(channel)}"

    def stream(self, history: History) -> str:
        """Gives the name of the stream for all channels that have this history."""
        return f"{self._prefix}-{_measure(history)}"

    def all_kept(self, history: History) -> str:
        """Gives what the stream takes."""
        return f"{self._prefix}-log.{_measure(history)}.*"

    def passed_on(self) -> str:
        """Gives what it makes of that: `of` the channel."""
        return f"{self._prefix}.{{{{wildcard(1)}}}}"


def _token(channel: str) -> str:
    """Gives the name of a channel as one token, in which other characters are %XX."""
    return quote(channel, safe="").replace(".", "%2E") or NOTHING


def _measure(history: History) -> str:
    return f"{history.count}-{math.ceil(history.ttl * 1000)}"
