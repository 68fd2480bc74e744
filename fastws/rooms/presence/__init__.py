"""Who is in a room, in all processes together.

- `events`: what is known of a member, and what others are told of it
- `roster`: one room: who is in it, by worker
- `presence`: the rooms that have one, by the names they begin with; what `Rooms` calls
- `gossip`: how workers tell each other, through the broker; nothing is stored in an engine
- `messages`: what they say
"""

from fastws.rooms.presence.events import Joined, Left, Level, Present
from fastws.rooms.presence.presence import Presence, present_id

__all__ = ["Joined", "Left", "Level", "Presence", "Present", "present_id"]
