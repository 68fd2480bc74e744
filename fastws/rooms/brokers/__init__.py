"""How a message gets to the rooms of the same name, in this process or in others.

- `base`: what a broker has to offer
- `memory`: this process only
"""

from fastws.rooms.brokers.base import Broker, Receiver
from fastws.rooms.brokers.memory import MemoryBroker

__all__ = ["Broker", "MemoryBroker", "Receiver"]
