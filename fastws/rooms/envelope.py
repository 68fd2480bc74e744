"""What goes through the broker: a message as each codec writes it, and whom it is not for."""

from typing import Any

import msgspec

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


def decode(payload: bytes) -> Envelope | None:
    """Reads what has come from the broker; gives None if that is none of ours."""
    try:
        return _decode(payload)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
