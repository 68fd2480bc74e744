"""What goes through the broker: a message as each codec writes it, and whom it is not for."""

from collections.abc import Mapping
from typing import Any

import msgspec

from fastws.rooms.groups import Groups
from fastws.rooms.member import Codec
from fastws.rooms.position import RoomPosition


class Envelope(msgspec.Struct, array_like=True, frozen=True):
    """A message to a room.

    Attributes:
        payload: a str or bytes as they are; of any other message a dict with what each codec
            made of it, by the codec's subprotocol.
        sender: the id of a member that is not to get it; 0 for none.
        key: for the policy "latest-by-key".
    """

    payload: Any
    sender: int = 0
    key: str | None = None

    def payload_for(self, codec: Codec | None, position: RoomPosition | None) -> str | bytes | None:
        """Gives what members with a codec get; None if who sent it does not know the codec.

        Args:
            codec: theirs.
            position: for messages to rooms with a history; what is sent as it is has none.
        """
        payload = self.payload
        if isinstance(payload, dict):
            payload = None if codec is None else payload.get(codec.subprotocol)
            if position is not None and codec is not None and isinstance(payload, (str, bytes)):
                payload = codec.add_position(payload, position)
        return payload if isinstance(payload, (str, bytes)) else None


encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Envelope).decode


def encode_for(groups: Groups, others: Mapping[str, Codec], message: Any) -> dict[str, str | bytes]:
    """Gives what each codec makes of a message, of those that members here have, and of others."""
    encoded: dict[str, str | bytes] = {}
    for group in groups.values():
        if group.codec is None:
            raise TypeError(f"a member without a codec cannot get a {type(message).__name__}")
        if group.codec.subprotocol not in encoded:
            encoded[group.codec.subprotocol] = group.codec.encode(message)
    for name in others.keys() - encoded.keys():
        encoded[name] = others[name].encode(message)
    return encoded


def decode(payload: bytes) -> Envelope | None:
    """Reads what has come from the broker; gives None if that is none of ours."""
    try:
        return _decode(payload)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
