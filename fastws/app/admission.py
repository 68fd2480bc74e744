"""How many connections there may be: in all, from one client address, and of one user."""

from collections import Counter
from ipaddress import IPv6Address

from fastws.errors import HandshakeError
from fastws.limits import Limits

# Those who are refused for a while come back at the same time otherwise.
RETRY_AFTER = ((b"retry-after", b"5"),)


class Admission:
    """Counts the connections of a route, and refuses those above its limits.

    Attributes:
        total: how many there are.
        clients: how many there are by client address, or network.
        users: how many there are by user.

    Args:
        limits: of these ``max_connections``, ``max_connections_per_client`` and
            ``max_connections_per_user``.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.total = 0
        self.clients: Counter[str] = Counter()
        self.users: Counter[str] = Counter()

    def admit(self, client: tuple[str, int] | None) -> None:
        """Counts a connection, until `dismiss`.

        Args:
            client: its address, as the server says. With uvicorn that is what a trusted proxy
                wrote into X-Forwarded-For, see its ``forwarded_allow_ips``: whoever is trusted
                without need chooses as whom to count. Of an IPv6 address the first half counts,
                since any customer has all that begins with it. None, as on a unix socket without
                a proxy, counts only for the total.

        Raises:
            HandshakeError: 503 or 429.
        """
        limit = self._limits.max_connections
        if limit is not None and self.total >= limit:
            raise HandshakeError(503, "too many connections", RETRY_AFTER)
        if client is not None:
            host = _network(client[0])
            _enter(self.clients, host, self._limits.max_connections_per_client, "address")
        self.total += 1

    def dismiss(self, client: tuple[str, int] | None) -> None:
        """Ends what `admit` has begun."""
        self.total -= 1
        if client is not None:
            _leave(self.clients, _network(client[0]))

    def enter(self, user: str) -> None:
        """Counts a connection for its user, until `leave`.

        Raises:
            HandshakeError: 429.
        """
        _enter(self.users, user, self._limits.max_connections_per_user, "user")

    def leave(self, user: str) -> None:
        """Ends what `enter` has begun."""
        _leave(self.users, user)


def _network(host: str) -> str:
    if ":" not in host:
        return host
    try:
        address = IPv6Address(host)
    except ValueError:
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return f"{IPv6Address(int(address) >> 64 << 64)}/64"


def _enter(counts: Counter[str], key: str, limit: int | None, whose: str) -> None:
    if limit is not None and counts[key] >= limit:
        raise HandshakeError(429, f"too many connections of one {whose}", RETRY_AFTER)
    counts[key] += 1


def _leave(counts: Counter[str], key: str) -> None:
    counts[key] -= 1
    if not counts[key]:
        del counts[key]
