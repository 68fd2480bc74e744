"""The close codes, in one table: what each means, who causes it, and what the peer should do.

Codes below 4000 are registered with IANA (RFC 6455 section 7.4 and the registry that it
set up); those from 4000 on are private to applications, and the ones here are fastws's own.
"""

from enum import IntEnum
from random import randrange
from typing import Literal, NamedTuple

Cause = Literal["application", "peer", "server", "network"]
Then = Literal["reconnect", "stop"]


class CloseCode(IntEnum):
    """A WebSocket close code, by its name."""

    NORMAL = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    UNSUPPORTED_DATA = 1003
    NO_STATUS = 1005
    ABNORMAL = 1006
    INVALID_DATA = 1007
    POLICY_VIOLATION = 1008
    MESSAGE_TOO_BIG = 1009
    MANDATORY_EXTENSION = 1010
    INTERNAL_ERROR = 1011
    SERVICE_RESTART = 1012
    TRY_AGAIN_LATER = 1013
    BAD_GATEWAY = 1014
    BAD_MESSAGE = 4400
    TOKEN_EXPIRED = 4401


class Closing(NamedTuple):
    """What a close code stands for.

    Attributes:
        reason: the text that goes with the code when nothing more specific is known.
        cause: whose doing it is.
        label: the value of the ``code`` label in metrics.
        then: whether a client should come back by itself.
    """

    reason: str
    cause: Cause
    label: str
    then: Then


CLOSINGS: dict[CloseCode, Closing] = {
    CloseCode.NORMAL: Closing("", "application", "normal", "stop"),
    CloseCode.GOING_AWAY: Closing("going away", "application", "going_away", "reconnect"),
    CloseCode.PROTOCOL_ERROR: Closing("protocol error", "peer", "protocol_error", "stop"),
    CloseCode.UNSUPPORTED_DATA: Closing("unsupported data", "peer", "unsupported_data", "stop"),
    CloseCode.NO_STATUS: Closing("", "peer", "no_status", "stop"),
    CloseCode.ABNORMAL: Closing("connection lost", "network", "abnormal", "reconnect"),
    CloseCode.INVALID_DATA: Closing("invalid data", "peer", "invalid_data", "stop"),
    CloseCode.POLICY_VIOLATION: Closing("policy violation", "peer", "policy_violation", "stop"),
    CloseCode.MESSAGE_TOO_BIG: Closing("message too big", "peer", "message_too_big", "stop"),
    CloseCode.MANDATORY_EXTENSION: Closing(
        "extension missing", "server", "mandatory_extension", "stop"
    ),
    CloseCode.INTERNAL_ERROR: Closing("internal error", "server", "internal_error", "reconnect"),
    CloseCode.SERVICE_RESTART: Closing("restarting", "server", "service_restart", "reconnect"),
    CloseCode.TRY_AGAIN_LATER: Closing("try again later", "server", "try_again", "reconnect"),
    CloseCode.BAD_GATEWAY: Closing("bad gateway", "network", "bad_gateway", "reconnect"),
    CloseCode.BAD_MESSAGE: Closing("bad message", "peer", "bad_message", "stop"),
    CloseCode.TOKEN_EXPIRED: Closing("token expired", "peer", "token_expired", "stop"),
}


# A client that is told to come back does so within this time, each at a moment of its own.
RETRY_WITHIN = 1.0


def restart_reason() -> str:
    """Gives the reason that goes with 1012: ``restarting retry_ms=417``.

    The number says after how many milliseconds the client may come back. It is chosen at random,
    so that clients who are told at once do not come back at once.
    """
    retry = randrange(round(RETRY_WITHIN * 1000))  # noqa: S311 (nothing has to be secret)
    return f"{CLOSINGS[CloseCode.SERVICE_RESTART].reason} retry_ms={retry}"


def label(code: int) -> str:
    """Gives the metric label of a code; codes that the table lacks share one label.

    Peers choose codes freely between 3000 and 4999: one label each would let them grow the
    metrics without bound.
    """
    closing = CLOSINGS.get(code)  # type: ignore[call-overload]
    return closing.label if closing is not None else "other"
