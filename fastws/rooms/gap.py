"""What a member is told when messages to one of its rooms did not come to it."""

import msgspec


class Gap(msgspec.Struct, frozen=True, gc=False, tag=True, tag_field="type"):
    """Messages to a room did not come. Whoever needs them has to ask elsewhere what is now.

    It comes as soon as that is known; of what comes right after it some may be older than what was
    lost, and all that is published later comes.

    Attributes:
        room: the name of the room; "" for what is sent to everybody.
        lost: how many messages; None if nobody knows, and then perhaps none.
    """

    room: str
    lost: int | None
