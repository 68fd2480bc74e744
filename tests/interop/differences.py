"""All that the two servers do differently, on purpose; everything else must be the same."""

from typing import Any, NamedTuple


class Difference(NamedTuple):
    """What either server does, and why ours does something else."""

    fastws: Any
    uvicorn: Any
    why: str

    def on(self, kind: str) -> Any:
        """Gives what to expect of a kind of server."""
        return getattr(self, kind)


CODE_AFTER_FAULT = Difference(
    1011,
    1006,
    "RFC 6455 7.4.1 has 1011 for a server that met 'an unexpected condition'; uvicorn drops TCP",
)
CODE_AFTER_RETURN = Difference(
    1000,
    1006,
    "the app is done and nothing went wrong; uvicorn drops TCP without a close frame",
)
CODE_OF_VANISHED_PEER = Difference(
    1006,
    1005,
    "RFC 6455 7.1.5: 1006 if the connection was lost without a close frame, 1005 if the close "
    "frame had no code",
)
PONG_WHILE_MESSAGE_WAITS = Difference(
    True,
    False,
    "uvicorn stops reading, pings too, as soon as one message waits; ours only above a mark",
)
COMPLAINTS_ABOUT_DENIAL = Difference(
    frozenset(),
    frozenset({"ASGI callable returned without completing handshake."}),
    "a denial response completes the handshake; uvicorn may log an error about it",
)
DISCONNECTS_AFTER_THE_FIRST = Difference(
    [4000] * 5,
    [1005],
    "a receive after the disconnect must not hang; uvicorn answers one more, with another code",
)
RECEIVERS_OF_A_LOSS = Difference(
    3,
    1,
    "all tasks that wait in receive learn of it; uvicorn wakes one and leaves the others hanging",
)
