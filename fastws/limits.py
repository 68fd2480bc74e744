"""Every size, count and time that bounds a connection, in one frozen object.

Sizes are in bytes, times in seconds, and ``None`` turns a limit off. A limit is inclusive:
a message of exactly `max_message_size` bytes passes.
"""

import math
from collections.abc import Mapping
from typing import Any

import msgspec

KIB = 1024
MIB = 1024 * KIB


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one connection may cost.

    Attributes:
        max_message_size: payload of one message, after inflating. 1 MiB holds every chat and
            most documents; for uploads raise it, with `for_messages` the next two as well.
            What is compressed may have twice that and 64 KiB before it is inflated. Above it:
            1009. (uvicorn: ``ws_max_size``.)
        max_frame_size: payload of one frame as it is on the wire. Above it: 1009.
        max_wire_size: bytes that one message may take on the wire, compressed and with its
            frame headers; stops a message that costs much and says little. Above it: 1009.
        max_tiny_fragments: fragments of fewer than 16 bytes in one message; they cost CPU out
            of proportion. Above it: 1008.
        max_ping_rate: pings and pongs that a peer may send in a second. Above it: 1008.
        max_queue_messages: received messages that wait for the app before reading from the
            peer stops. It goes on at a quarter. (uvicorn: ``ws_max_queue``.)
        max_queue_size: the same in bytes.
        max_write_buffer: unsent bytes above which ``send()`` waits and reading stops. Both go
            on at a quarter.
        max_unsent: the same for messages that do not wait, such as those to a whole room: a
            peer that is that far behind is closed, with 1008.
        max_rooms: rooms that a member may be in at once. Above it: 1008.
        max_outbox_messages: messages that wait for a member of rooms that is behind. What
            happens above it is the policy's, by default 1008; see `fastws.rooms.Outbox`.
        max_outbox_size: the same in bytes; each message counts its payload and 256.
        max_header_size: bytes of the request line and the headers. Above it: 414 or 431.
        max_header_count: headers of a request. Above it: 431.
        max_connections: open connections of one process. Above it: 503, or, far above it, the
            end of TCP at once.
        handshake_timeout: from the first byte (or the connection) to the end of the request
            head. After it: 408.
        message_timeout: from the first to the last byte of one message. After it: 1008.
        ping_interval: silence after which a peer is pinged. (uvicorn: ``ws_ping_interval``.)
        ping_timeout: silence after a ping was sent until the peer counts as dead: 1011.
            (uvicorn: ``ws_ping_timeout``.)
        close_timeout: from our close frame to the end of TCP; then the connection is aborted.
        drain_window: the longest time over which a shutdown spreads its 1012.
        max_lifetime: seconds after which a connection is closed with 1012, to come back to
            whichever worker has fewest then. Each has an age of its own, from nine tenths of
            this on.
        max_message_rate: messages that a peer may send in a second; after a silence, those of
            two seconds at once. Above it: 1008. This one and the next four hold for apps of
            `fastws.App`, for each of their routes.
        max_byte_rate: the same in bytes of payload.
        max_bad_messages: messages in a row that are not of a declared type. Then: 1008.
        max_connections_per_client: open connections of one client address, or of one IPv6
            network of 64 bits. Above it: 429. (Whose address a proxy tells is believed by
            uvicorn's ``forwarded_allow_ips``.)
        max_connections_per_user: the same of one user. Above it: 429.
        max_broker_queue: bytes of messages to rooms that wait for Redis or NATS to take them,
            in one process; each counts its payload and 256. Above it publishing raises.
        max_history_size: bytes of messages that `memory://` keeps for those who come back; each
            counts its payload and 256. Above it the oldest are forgotten. Redis and NATS keep what
            they are told to.
        broker_timeout: until Redis or NATS has taken a message, or gives any other sign of
            life. After it publishing raises, and the connection to it is made anew.
        max_presence_size: bytes of what a member shows of itself in one room, as JSON. Above it:
            1008.
        presence_lease: silence of a worker after which its members are gone from rooms that
            have a presence; it says that it is there five times as often.
    """

    max_message_size: int | None = 1 * MIB
    max_frame_size: int | None = 16 * MIB
    max_wire_size: int | None = 32 * MIB
    max_tiny_fragments: int | None = 16384
    max_ping_rate: int | None = 1000
    max_queue_messages: int = 32
    max_queue_size: int = 256 * KIB
    max_write_buffer: int = 64 * KIB
    max_unsent: int = 1 * MIB
    max_rooms: int | None = 64
    max_outbox_messages: int | None = 1024
    max_outbox_size: int | None = 1 * MIB
    max_header_size: int = 64 * KIB
    max_header_count: int = 128
    max_connections: int | None = None
    handshake_timeout: float | None = 10.0
    message_timeout: float | None = 30.0
    ping_interval: float | None = 20.0
    ping_timeout: float | None = 20.0
    close_timeout: float = 5.0
    drain_window: float = 5.0
    max_lifetime: float | None = None
    max_message_rate: float | None = None
    max_byte_rate: float | None = None
    max_bad_messages: int | None = 5
    max_connections_per_client: int | None = None
    max_connections_per_user: int | None = None
    max_broker_queue: int = 16 * MIB
    max_history_size: int = 16 * MIB
    broker_timeout: float = 5.0
    max_presence_size: int | None = 1 * KIB
    presence_lease: float = 5.0

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if value is not None and not 0 <= value < math.inf:
                raise ValueError(f"{name} must be a finite number from 0 on, but is {value}")

    @classmethod
    def for_messages(cls, size: int | None, **others: Any) -> "Limits":
        """Gives limits that let messages of `size` bytes pass, whatever frames they come in.

        Args:
            size: `max_message_size`; the other sizes that would stop such a message follow.
            others: further limits, which are taken as they are.
        """
        frame = None if size is None else max(size, 16 * MIB)
        wire = None if size is None else max(2 * size, 32 * MIB)
        sizes = {"max_message_size": size, "max_frame_size": frame, "max_wire_size": wire}
        return cls(**{**sizes, **others})

    def replace(self, **changes: Any) -> "Limits":
        """Gives a copy with some limits changed."""
        return msgspec.structs.replace(self, **changes)

    @classmethod
    def overrides(cls, environ: Mapping[str, str]) -> dict[str, Any]:
        """Reads the limits that an environment sets: ``FASTWS_MAX_MESSAGE_SIZE=65536``.

        Args:
            environ: the environment; ``off`` as a value turns a limit off.

        Returns:
            The fields that are set.

        Raises:
            ValueError: a value is not a number, or this limit cannot be off.
        """
        return from_environment(cls, environ, "FASTWS_")

    @classmethod
    def read(cls, environ: Mapping[str, str], **defaults: Any) -> "Limits":
        """Gives the limits that an environment sets, with defaults for what it leaves open.

        Raises:
            ValueError: as `overrides`, and for a number that makes no sense.
        """
        found = {"max_message_size": 1 * MIB, **defaults, **cls.overrides(environ)}
        return cls.for_messages(found.pop("max_message_size"), **found)


def from_environment(
    kind: type[msgspec.Struct], environ: Mapping[str, str], prefix: str
) -> dict[str, Any]:
    """Reads the fields of a struct that an environment sets, each in a variable of its name.

    Raises:
        ValueError: a value does not fit its field.
    """
    found: dict[str, Any] = {}
    for field in msgspec.structs.fields(kind):
        variable = prefix + field.name.upper()
        text = environ.get(variable)
        if text is None:
            continue
        value = None if text.strip().lower() == "off" else text
        try:
            found[field.name] = msgspec.convert(value, field.type, strict=False)
        except msgspec.ValidationError as error:
            raise ValueError(f"{variable}={text!r}: {error}") from None
    return found
