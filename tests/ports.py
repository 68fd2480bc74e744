"""Ports for programs that cannot choose one themselves."""

import random
import socket
from contextlib import ExitStack

# Below what the kernel gives to those that connect, so that nobody gets one of them meanwhile;
# and a port of a Redis Cluster's node goes with one that is 10,000 higher.
PORTS = range(10_000, 20_000)


def free_ports(count: int) -> list[int]:
    """Gives ports of 127.0.0.1 at which nobody listens, nor 10,000 above."""
    ports: list[int] = []
    with ExitStack() as taken:
        while len(ports) < count:
            port = random.choice(PORTS)
            try:
                for number in (port, port + 10_000):
                    taken.enter_context(socket.create_server(("127.0.0.1", number)))
            except OSError:
                continue
            ports.append(port)
    return ports
