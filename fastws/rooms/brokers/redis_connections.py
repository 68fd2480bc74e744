"""Connections to a Redis as redis-py makes them, without what it does by itself."""

import asyncio
from typing import Any

from redis.asyncio import Connection, ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

# Seconds until another one is asked.
PATIENCE = 1.0


class NobodyAnswersError(ConnectionError):
    """None of those who may know gives an answer."""


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


async def first_answer(connections: list[Connection], *command: str) -> Any:
    """Asks one after the other; who has answered comes first the next time.

    Raises:
        NobodyAnswersError: none of them does, or none knows.
    """
    why = ""
    for _ in tuple(connections):
        try:
            async with asyncio.timeout(PATIENCE):
                answer = await _answer(connections[0], command)
        except (OSError, RedisError) as error:
            why = str(error) or "it does not answer"
        else:
            if answer is not None:
                return answer
            why = "it does not know"
        connections.append(connections.pop(0))
    raise NobodyAnswersError(f"{' '.join(command)}: {why}")


async def _answer(connection: Connection, command: tuple[str, ...]) -> Any:
    try:
        await connection.connect()  # type: ignore[no-untyped-call]
        await connection.send_command(*command)
        return await connection.read_response()
    finally:
        await abort(connection)
