"""What may be sent to a client: headers, refusals, close codes. Servers differ in what they check.

uvicorn's own classes, for one, write headers as they are, and would let a line break in one of
them begin the next.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any

Header = tuple[bytes, bytes]

# RFC 9110 section 5.6.2, and 5.5 without what none but old software sends.
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(rb"[^\x00-\x08\x0a-\x1f\x7f]*")
# RFC 6455 section 5.5: a control frame has at most 125 bytes, two of which are the code.
_MAX_REASON = 123


def checked_headers(headers: Iterable[Header]) -> list[Header]:
    """Gives headers that are some.

    Raises:
        ValueError: one has a character that ends or hides it; its value is not quoted.
    """
    checked = [(bytes(name).lower(), bytes(value)) for name, value in headers]
    for name, value in checked:
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise ValueError(f"the header {name!r} has a character that no header may have")
    return checked


@cache
def json_writer() -> Callable[[Any], bytes]:
    """Return `orjson.dumps`; the first call loads orjson, for which many apps have no use."""
    from orjson import dumps

    return dumps


def denial(
    status: int, reason: str, headers: Iterable[Header], fields: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Gives the ASGI events that refuse a handshake, with a JSON body.

    Raises:
        ValueError: the status is none of an answer, or a header is none.
        TypeError: the fields cannot be JSON.
    """
    if not 200 <= status < 600:
        raise ValueError(f"{status} is no HTTP status to refuse with")
    body = json_writer()({"status": status, "detail": reason, **fields})
    own = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    start = {
        "type": "websocket.http.response.start",
        "status": status,
        "headers": own + checked_headers(headers),
    }
    return [start, {"type": "websocket.http.response.body", "body": body}]


def check_code(code: int) -> None:
    """Checks that an app may close with a code (RFC 6455 section 7.4).

    Raises:
        ValueError: it may not.
    """
    if not (1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999):
        raise ValueError(f"{code} is no code to close with")


def shortened(reason: str) -> str:
    """Gives as much of a reason as fits into a close frame, in whole characters."""
    return reason.encode("utf-8", "replace")[:_MAX_REASON].decode("utf-8", "ignore")
