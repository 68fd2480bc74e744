"""The users; locust takes those that its command line names, or all."""

from loadtest.users.connecting import Churn, Reconnect, Storm
from loadtest.users.echo import Echo, Typed
from loadtest.users.hostile import Vandal
from loadtest.users.listening import Chat, Reader, SlowReader

__all__ = ["Chat", "Churn", "Echo", "Reader", "Reconnect", "SlowReader", "Storm", "Typed", "Vandal"]
