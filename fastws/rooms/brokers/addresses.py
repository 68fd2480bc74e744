"""Which broker a URL stands for."""

from collections.abc import Callable
from urllib.parse import parse_qsl, urlencode, urlsplit

from fastws.extras import need
from fastws.limits import Limits
from fastws.rooms.brokers.base import Broker
from fastws.rooms.brokers.engine import Engine
from fastws.rooms.brokers.memory import MemoryBroker
from fastws.rooms.brokers.remote import RemoteBroker

# What the names of all channels begin with, where the URL has no ``prefix``.
PREFIX = "fastws"


def broker_at(url: str, limits: Limits | None = None) -> Broker:
    """Gives the broker that a URL stands for; it is not connected yet.

    Args:
        url: ``memory://``; ``redis://HOST:PORT``, ``rediss://`` with TLS, ``unix://PATH``;
            ``redis+sentinel://HOST:PORT,HOST:PORT/SERVICE``, where sentinels know the primary;
            ``redis+cluster://HOST:PORT,HOST:PORT``, some of the nodes of a cluster;
            ``nats://HOST:PORT`` or ``tls://``, several of them with commas between. With
            ``?prefix=NAME`` apps that share an engine have channels of their own; certificates
            for TLS are in ``ssl_ca_certs``, ``ssl_certfile`` and ``ssl_keyfile``.
        limits: `broker_timeout`, `max_broker_queue` and `max_history_size` count.

    Raises:
        ValueError: the URL stands for no broker.
        MissingPackage: the package that the broker needs is not installed.
    """
    scheme = urlsplit(url).scheme
    if scheme == "memory":
        return MemoryBroker(limits)
    if scheme == "unix" or scheme.partition("+")[0] in ("redis", "rediss"):
        return RemoteBroker(_redis(*_without_prefix(url)), limits)
    if scheme in ("nats", "tls"):
        return RemoteBroker(_nats(*_without_prefix(url)), limits)
    raise ValueError(
        f"{scheme}:// is no broker; there are memory://, redis://, rediss://, unix://,"
        " redis+sentinel://, redis+cluster:// and nats://"
    )


def _redis(url: str, prefix: str) -> Engine:
    scheme = urlsplit(url).scheme
    need("redis", f"{scheme}://")
    from fastws.rooms.brokers.redis import RedisEngine
    from fastws.rooms.brokers.redis_cluster import ClusterEngine
    from fastws.rooms.brokers.redis_sentinel import SentinelEngine

    engines: dict[str, Callable[[str, str], Engine]]
    engines = {"": RedisEngine, "sentinel": SentinelEngine, "cluster": ClusterEngine}
    kind = scheme.partition("+")[2]
    if kind not in engines:
        raise ValueError(f"there are redis://, redis+sentinel:// and redis+cluster://, not +{kind}")
    return engines[kind](url, prefix)


def _nats(url: str, prefix: str) -> Engine:
    need("nats", f"{urlsplit(url).scheme}://")
    from fastws.rooms.brokers.nats import NatsEngine

    return NatsEngine(url, prefix)


def _without_prefix(url: str) -> tuple[str, str]:
    """Gives the URL without its ``prefix``, and that."""
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query))
    if "prefix" not in options:
        return url, PREFIX
    prefix = options.pop("prefix")
    if not (prefix.isascii() and prefix.isalnum()):
        raise ValueError(f"a prefix has only ASCII letters and digits, not {prefix!a}")
    return parts._replace(query=urlencode(options)).geturl(), prefix
