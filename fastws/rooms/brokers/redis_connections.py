"""Connections to a Redis as redis-py makes them, without what it does by itself."""

from typing import Any

from redis.asyncio import Connection, ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff


def connections_to(url: str, count: int, **options: Any) -> list[Connection]:
    """Gives connections that are still to be made.

    redis-py would try again by itself, and so publish a message twice. Nor does it know how long to
    wait.

    Raises:
        ValueError: the URL makes no sense.
    """
    once = Retry(NoBackoff(), 0)
    pool = ConnectionPool.from_url(
        url, retry=once, socket_timeout=None, socket_connect_timeout=None, protocol=2, **options
    )
    return [pool.make_connection() for _ in range(count)]  # type: ignore[no-untyped-call]


async def abort(connection: Connection) -> None:
    """Ends a connection, if there is one, without waiting for the other side."""
    writer = connection._writer
    await connection.disconnect(nowait=True)
    if writer is not None:
        # TLS would wait for it to say good-bye.
        writer.transport.abort()
