from collections.abc import Callable

class Counters:
    """What has happened to the WebSockets that one event loop serves, since its start.

    Attributes:
        messages_received: messages of clients that were complete and valid.
        bytes_received: their payloads, inflated.
        messages_sent: messages to clients, handed to their connections.
        bytes_sent: their payloads, as the app gave them.
        accepted: handshakes that were answered with 101.
        abandoned: handshakes whose client left before the app's answer.
        closes: connections that ended, by the label of the code and by who began it: "client",
            "server" (the app, too), or "network" if TCP ended without a close frame.
        refusals: requests that were refused, by who did it, "server" or "app", and by the HTTP
            status; 0 where TCP was ended without an answer.
        rtt_sum: the round-trip times of all pings that were answered, in seconds.
        buffered: gives two numbers of bytes: what clients have not read yet, on our side of the
            kernel, and what they sent and apps have not received yet. Visits each connection.
    """

    messages_received: int
    bytes_received: int
    messages_sent: int
    bytes_sent: int
    accepted: int
    abandoned: int
    closes: dict[tuple[str, str], int]
    refusals: dict[tuple[str, int], int]
    rtt_sum: float
    buffered: Callable[[], tuple[int, int]]

    def __init__(self, buffered: Callable[[], tuple[int, int]]) -> None: ...
    def count_refusal(self, by: str, status: int) -> None:
        """Counts a request that does not become a connection."""
    def rtt_buckets(self) -> list[tuple[float, int]]:
        """Gives how many pings were answered within which time.

        Returns:
            Pairs of an upper bound in seconds and the number of pings up to it; the last bound
            is infinite.
        """
