"""Request and answer: an echo, and typed messages."""

from itertools import count

import msgspec
from locust import constant_throughput, task

from loadtest.deliveries import WrongAnswer
from loadtest.users.base import PATIENCE, WebSocketUser


class Echo(WebSocketUser):
    """Sends a text and waits until it is back."""

    weight = 5
    path = "/echo"
    wait_time = constant_throughput(10)
    message = "x" * 64

    @task
    def echo(self) -> None:
        """One round trip."""
        ws = self.connected()
        with self.measured("echo"):
            ws.send(self.message)
            if ws.recv(PATIENCE) != self.message:
                raise WrongAnswer("not what was sent")


class Answer(msgspec.Struct):
    """What the server says of itself about a message."""

    type: str
    number: int
    count: int


class Typed(WebSocketUser):
    """Sends JSON of one of two types, and is told what the server made of it."""

    weight = 3
    path = "/typed"
    wait_time = constant_throughput(10)

    def on_start(self) -> None:
        """Begins to count; called by locust."""
        self.numbers = count()

    @task
    def order(self) -> None:
        """Orders three things."""
        number = next(self.numbers)
        message = {"type": "Order", "number": number, "items": ["a", "b", "c"]}
        self.ask(message, Answer("Receipt", number, 3))

    @task
    def cancel(self) -> None:
        """Cancels something."""
        number = next(self.numbers)
        self.ask({"type": "Cancel", "number": number}, Answer("Receipt", number, 0))

    def ask(self, message: dict[str, object], expected: Answer) -> None:
        """Sends a message, and compares the answer."""
        ws = self.connected()
        with self.measured("typed"):
            ws.send(msgspec.json.encode(message).decode())
            answer = ws.recv(PATIENCE)
            try:
                found = msgspec.json.decode(answer, type=Answer)
            except msgspec.MsgspecError as error:
                raise WrongAnswer(str(error)) from error
            if found != expected:
                raise WrongAnswer(f"not the receipt for this message: {found}")
