"""How a message gets to the rooms of the same name, in this process or in others.

- `base`: what a broker has to offer
- `history`: what an engine keeps of a channel
- `addresses`: which broker a URL stands for
- `memory`: this process only; `rings` is where it keeps messages
- `remote`: any engine in another process; its parts are `wishes`, `outgoing`, `recalls`
  and `numbering`
- `engine`: what it needs of one; `redis`, `nats`: the two there are, imported if they are asked for
"""

from fastws.rooms.brokers.addresses import broker_at
from fastws.rooms.brokers.base import Broker, Receiver
from fastws.rooms.brokers.history import Histories, History, Kept, Past, Position, Receipt
from fastws.rooms.brokers.memory import MemoryBroker
from fastws.rooms.brokers.remote import RemoteBroker

__all__ = [
    "Broker",
    "Histories",
    "History",
    "Kept",
    "MemoryBroker",
    "Past",
    "Position",
    "Receipt",
    "Receiver",
    "RemoteBroker",
    "broker_at",
]
