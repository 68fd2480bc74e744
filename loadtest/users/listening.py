"""Those who are sent what others say: members of a chat room, and readers of a feed."""

import os
import socket
from itertools import count
from random import random
from time import monotonic_ns

import gevent
import msgspec
from locust import between, constant, task

from fastws.closing import CloseCode
from fastws.errors import Disconnected
from loadtest.client import Client
from loadtest.deliveries import Deliveries, WrongAnswer, decode
from loadtest.users.base import FAILURES, PATIENCE, WebSocketUser

ROOM_SIZE = 20
# Seconds. By then more of the feed waits than the kernel's buffers and `Limits` take together.
FAR_BEHIND = 6.0


class Chat(WebSocketUser):
    """A member of a room: speaks, and measures how long what others say takes to be here."""

    weight = 8
    wait_time = between(0.5, 1.5)
    compressed = 0.5  # what part of the members offers compression
    padding = "tea " * 100  # enough to be compressed
    members = count()

    def on_start(self) -> None:
        """Takes a seat in a room; called by locust."""
        # Of this process: only the clock of one machine can be compared with itself.
        here = f"{socket.gethostname()}-{os.getpid()}"
        self.path = f"/rooms/{here}-{next(self.members) // ROOM_SIZE}"
        self.listener: gevent.Greenlet[..., None] | None = None

    @task
    def speak(self) -> None:
        """Says something to the others."""
        if self.ws is None:
            self.enter()
        assert self.ws is not None
        message = {
            "sender": self.name,
            "number": next(self.numbers),
            "sent": monotonic_ns(),
            "padding": self.padding,
        }
        with self.measured("chat publish"):
            self.ws.send(msgspec.json.encode(message).decode())

    def enter(self) -> None:
        """Connects, as somebody new: what was on its way to the one before is not missing."""
        self.name = str(random())
        self.numbers = count()
        self.ws = self.connect(compression=random() < self.compressed)
        self.listener = gevent.spawn(self.listen, self.ws)

    def listen(self, ws: Client) -> None:
        """Receives what the others say, in a greenlet of its own."""
        deliveries = Deliveries()
        try:
            while True:
                said = decode(ws.recv())
                self.record_delivery("chat delivery", said.sent, deliveries.check(said))
        except FAILURES as error:
            if self.ws is ws:  # it is not the user who has ended it
                self.record_delivery("chat delivery", monotonic_ns(), error)
                self.drop()

    def on_stop(self) -> None:
        """Stops listening, and closes."""
        if self.listener is not None:
            self.listener.kill()
        super().on_stop()


class Reader(WebSocketUser):
    """Reads the feed, and measures how late it is: others who do not read are not to matter."""

    path = "/feed"
    wait_time = constant(0)

    @task
    def read(self) -> None:
        """Reads one message."""
        if self.ws is None:
            self.ws = self.connect()
            self.deliveries = Deliveries()
        try:
            said = decode(self.ws.recv(PATIENCE))
        except FAILURES as error:
            self.record_delivery("feed delivery", monotonic_ns(), error)
            self.drop()
        else:
            self.record_delivery("feed delivery", said.sent, self.deliveries.check(said))


class SlowReader(WebSocketUser):
    """Reads less of the feed than there is, until the server has had enough of that.

    What it does get is in order and complete; its connection has to end, and that of no other.
    """

    path = "/feed"
    wait_time = between(1, 2)

    @task
    def fall_behind(self) -> None:
        """Reads slowly until it is far behind, then all that there is, up to the end."""
        ws = self.connect(receive_buffer=4096)
        error: Exception | None
        try:
            error = self.read(ws)
        except FAILURES as end:
            # Who does not read in time may not get the close frame either, but an end of TCP.
            expected = (CloseCode.POLICY_VIOLATION, CloseCode.ABNORMAL)
            closed = isinstance(end, Disconnected) and end.code in expected
            error = None if closed else end
        finally:
            ws.drop()
        self.tell("slow reader closed", None, error)

    def read(self, ws: Client) -> Exception:
        """Reads until something is wrong; the end is an exception."""
        deliveries = Deliveries()
        behind = 0.0
        while True:
            said = decode(ws.recv(PATIENCE))
            if (error := deliveries.check(said)) is not None:
                return error
            age = (monotonic_ns() - said.sent) / 1e9
            behind = max(behind, age)
            if behind < FAR_BEHIND:
                gevent.sleep(0.5)
            elif age < FAR_BEHIND / 2:
                return WrongAnswer(f"not closed, though it was {behind:.0f} s behind")
