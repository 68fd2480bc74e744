"""What has become of the messages to rooms, counted."""

from dataclasses import dataclass


@dataclass(slots=True)
class Counters:
    """What has become of the messages to rooms, since the start. Nothing is lost in silence.

    Attributes:
        published: messages that came to rooms of this process, each once.
        deliveries: messages times members: handed to a connection, or to an outbox.
        queued: those of them that had to wait in an outbox.
        dropped: messages that the policies "drop-oldest" and "drop-newest" took out of an
            outbox, or did not let in.
        conflated: messages that a newer one of the same key has replaced in an outbox.
        disconnected: members that were closed, with 1008, since their outbox was full.
        undelivered: messages that were in an outbox, or on their way out of it, when the
            connection ended.
        gaps: how often it was found, in a room with members here, that messages did not come
            from the broker.
        resumed: how often a member has come back into a room with a history.
        recovered: how often it then got all that it had missed.
        foreign: what a broker brought that is no message of ours; it was skipped.
        expired: workers of which nothing was heard any more, so that their members are gone from
            rooms with a presence.
        seconds: time that was spent on giving messages to connections and outboxes.
    """

    published: int = 0
    deliveries: int = 0
    queued: int = 0
    dropped: int = 0
    conflated: int = 0
    disconnected: int = 0
    undelivered: int = 0
    gaps: int = 0
    resumed: int = 0
    recovered: int = 0
    foreign: int = 0
    expired: int = 0
    seconds: float = 0.0
