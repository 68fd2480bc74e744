"""What `ceiling` has locust load: echoes without a pause, on our client and on another."""

import json
import time
from typing import Any

import websocket
from locust import constant, events, task
from locust.env import Environment

from loadtest.deliveries import WrongAnswer
from loadtest.users.base import PATIENCE, WebSocketUser
from loadtest.users.echo import Echo


class OnFastws(Echo):
    """Sends the next message when the one before is back."""

    wait_time = constant(0)


class OnWebSocketClient(WebSocketUser):
    """The same on the package websocket-client, which other locust users are made with."""

    path = Echo.path
    wait_time = constant(0)

    def on_start(self) -> None:
        """Connects; called by locust."""
        self.peer = websocket.create_connection(self.url(), timeout=PATIENCE)

    @task
    def echo(self) -> None:
        """One round trip."""
        with self.measured("echo"):
            self.peer.send(Echo.message)
            if self.peer.recv() != Echo.message:
                raise WrongAnswer("not what was sent")

    def on_stop(self) -> None:
        """Closes the connection; called by locust."""
        self.peer.close()


began: list[tuple[float, float]] = []


def begin(**_: Any) -> None:
    """Takes the time when all users are there."""
    began.append((time.perf_counter(), time.process_time()))


def tell(environment: Environment, **_: Any) -> None:
    """Prints the figures of what came since, as a line of JSON."""
    (wall, cpu), total = began[0], environment.stats.total
    figures = {
        "messages": total.num_requests,
        "failures": total.num_failures,
        "seconds": time.perf_counter() - wall,
        "cpu": time.process_time() - cpu,
    }
    print(json.dumps(figures), flush=True)


# locust resets its statistics in this moment (--reset-stats).
events.spawning_complete.add_listener(begin)  # type: ignore[no-untyped-call]
events.test_stopping.add_listener(tell)  # type: ignore[no-untyped-call]
