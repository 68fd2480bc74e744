"""What a URL says of NATS servers: where they are, who it is that connects, whom TLS trusts."""

import ssl
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from nats.aio.client import Client

# Files of certificates and keys, by the names that redis-py has for them.
TLS_OPTIONS = {"ssl_ca_certs", "ssl_certfile", "ssl_keyfile"}


class NatsServer(NamedTuple):
    """One of the servers.

    Attributes:
        url: without what is secret.
        user: or a token, if there is no password.
        password: None if there is none.
        context: for TLS; None for that of `ssl.create_default_context`.
    """

    url: str
    user: str | None
    password: str | None
    context: ssl.SSLContext | None

    async def connect(self, client: Client, **options: Any) -> None:
        """Connects; with ``tls://`` nothing is said to a server that does not speak TLS.

        nats-py alone would go on without, as whoever is in between may have told it to.
        """

        def said(what: str | None) -> Callable[[], str | None]:
            def say() -> str | None:
                self._check(client)
                return what

            return say

        if self.password is not None:
            options |= {"user": said(self.user), "password": said(self.password)}
        elif self.user is not None:
            options["token"] = said(self.user)
        if self.context is not None:
            options["tls"] = self.context
        await client.connect(self.url, **options)
        self._check(client)

    def _check(self, client: Client) -> None:
        writer: Any = getattr(client._transport, "_io_writer", None)
        if self.url.startswith("tls:") and writer.get_extra_info("ssl_object") is None:
            raise ConnectionError("it does not speak TLS")


def servers_of(url: str) -> list[NatsServer]:
    """Reads ``nats://[user:password@]host[:port],...``, also with ``tls://``.

    What the first one says of who it is holds for those that say nothing.

    Raises:
        ValueError: it makes no sense, or a file that it names cannot be read.
    """
    places, _, query = url.partition("?")
    context = _context(dict(parse_qsl(query)))
    scheme = urlsplit(places).scheme
    every = [urlsplit(p if "://" in p else f"{scheme}://{p}") for p in places.split(",")]
    if not all(parts.hostname for parts in every):
        raise ValueError(f"{scheme}:// needs a host")
    return [
        NatsServer(
            f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}",
            *_who(parts if "@" in parts.netloc else every[0]),
            context,
        )
        for parts in every
    ]


def _who(parts: SplitResult) -> tuple[str | None, str | None]:
    """Gives the user and the password."""
    user, password = parts.username, parts.password
    return user and unquote(user), None if password is None else unquote(password)


def _context(options: dict[str, str]) -> ssl.SSLContext | None:
    if strange := options.keys() - TLS_OPTIONS:
        raise ValueError(f"nats:// has no option {min(strange)!a}")
    if not options:
        return None
    try:
        context = ssl.create_default_context(cafile=options.get("ssl_ca_certs"))
        if (certificate := options.get("ssl_certfile")) is not None:
            context.load_cert_chain(certificate, options.get("ssl_keyfile"))
    except OSError as error:
        raise ValueError(f"the certificates of a broker cannot be read: {error}") from None
    return context
