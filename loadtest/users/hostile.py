"""Those who break the rules, and have to be told so."""

from random import choice
from time import perf_counter

from locust import between, task

from fastws.closing import CloseCode
from fastws.errors import Disconnected, HandshakeError
from fastws.testing.frames import BINARY, CONTINUATION, PING, TEXT, frame
from loadtest.client import connect
from loadtest.deliveries import WrongAnswer
from loadtest.users.base import FAILURES, PATIENCE, WebSocketUser

# What no client may send, and the close code for it.
OFFENCES = (
    (frame(TEXT, b"not masked", mask=None), CloseCode.PROTOCOL_ERROR),
    (frame(TEXT, b"a reserved bit", rsv=1), CloseCode.PROTOCOL_ERROR),
    (frame(0x3, b"a reserved opcode"), CloseCode.PROTOCOL_ERROR),
    (frame(CONTINUATION, b"of nothing"), CloseCode.PROTOCOL_ERROR),
    (frame(PING, b"x" * 126), CloseCode.PROTOCOL_ERROR),
    (frame(TEXT, b"no UTF-8: \xff"), CloseCode.INVALID_DATA),
    # The header alone: two MiB are announced, and nothing follows.
    (frame(BINARY, bytes(2 << 20))[:14], CloseCode.MESSAGE_TOO_BIG),
)


class Vandal(WebSocketUser):
    """Breaks the protocol, or asks for what is not there."""

    path = "/echo"
    wait_time = between(0, 0.5)

    @task(4)
    def break_the_protocol(self) -> None:
        """Does one thing that no client may, and expects its close code."""
        data, code = choice(OFFENCES)
        self.ws = self.connect()
        with self.measured("offence"):
            self.ws.send_raw(data)
            try:
                self.ws.recv(PATIENCE)
            except Disconnected as end:
                if end.code != code:
                    raise WrongAnswer(f"{end.code} instead of {code}") from end
            else:
                raise WrongAnswer(f"a message instead of {code}")
        self.drop()

    @task
    def go_astray(self) -> None:
        """Asks for a path that there is not, and expects 404."""
        start = perf_counter()
        error: Exception | None = None
        try:
            connect(f"{self.url()}/nowhere").close()
            error = WrongAnswer("101 instead of 404")
        except HandshakeError as refusal:
            if refusal.status != 404:
                error = refusal
        except FAILURES as failure:
            error = failure
        self.record("refusal", start, error)
