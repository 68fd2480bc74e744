"""Those who come and go: all at once, after a restart of the server, or in whatever way."""

from random import choice, random
from time import time

import gevent
from locust import between, constant, task

from fastws.closing import CloseCode
from fastws.errors import Disconnected
from loadtest.deliveries import WrongAnswer
from loadtest.users.base import PATIENCE, WebSocketUser

STORM_INTERVAL = 5.0
# Seconds, at most, until somebody comes back whose connection the server has ended.
JITTER = 1.0


class Storm(WebSocketUser):
    """Connects in the same moment as all others of its kind, in all processes."""

    weight = 2
    path = "/echo"
    wait_time = constant(0)

    @task
    def arrive(self) -> None:
        """Connects when the wall clock says so, and leaves."""
        gevent.sleep(STORM_INTERVAL - time() % STORM_INTERVAL)
        self.ws = self.connect("connect (storm)")
        gevent.sleep(random())
        with self.measured("close"):
            self.ws.close()
            if self.ws.close_code != CloseCode.NORMAL:
                raise WrongAnswer(f"closed with {self.ws.close_code}")
        self.ws = None


class Reconnect(WebSocketUser):
    """Is told that the server restarts, and comes back after a random time."""

    path = "/restart"
    wait_time = between(1, 2)

    @task
    def come_back(self) -> None:
        """Has the connection ended, and opens another one."""
        ws = self.connected()
        with self.measured("restart"):
            ws.send("restart")
            try:
                ws.recv(PATIENCE)
            except Disconnected as end:
                if end.code != CloseCode.SERVICE_RESTART:
                    raise
            else:
                raise WrongAnswer("a message instead of 1012")
        self.drop()
        gevent.sleep(random() * JITTER)
        self.ws = self.connect("reconnect")


class Churn(WebSocketUser):
    """Is in a room for a moment, and leaves it in any way there is."""

    path = "/rooms/churn"
    wait_time = between(0, 0.5)

    @task
    def pass_by(self) -> None:
        """Comes, speaks, leaves."""
        ws = self.ws = self.connect(compression=random() < 0.5)
        with self.measured("churn"):
            ws.send("x" * 300)
            gevent.sleep(random() * 0.2)
            choice((ws.close, ws.drop, ws.reset))()
        self.ws = None
