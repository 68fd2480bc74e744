"""RFC 7692 sections 5 and 7.1, RFC 6455 section 9.1: what is agreed on, and what is declined."""

import pytest

from fastws.errors import HandshakeError
from fastws.wire import Deflate, Params
from fastws.wire.deflate import accepted, negotiate, offer, parse_extensions
from tests.wire.drive import SHARED, TAKEOVER

KEEP = Deflate(context_takeover=True)
NAME = b"permessage-deflate"


def agreed(header: bytes, options: Deflate = KEEP) -> bytes | None:
    """Gives the response, without the name."""
    found = negotiate(header, options)
    return None if found is None else found[1].removeprefix(NAME).lstrip(b"; ")


@pytest.mark.parametrize(
    ("header", "params", "response"),
    [
        ("", TAKEOVER, ""),
        ("; client_max_window_bits", TAKEOVER, ""),
        (
            "; server_no_context_takeover",
            Params(False, True, 15, 15),
            "server_no_context_takeover",
        ),
        (
            "; client_no_context_takeover",
            Params(True, False, 15, 15),
            "client_no_context_takeover",
        ),
        (
            "; server_max_window_bits=10; client_max_window_bits=11",
            Params(True, True, 10, 11),
            "server_max_window_bits=10; client_max_window_bits=11",
        ),
        ("; server_max_window_bits=15", TAKEOVER, "server_max_window_bits=15"),
        ('; server_max_window_bits="10"', Params(True, True, 10, 15), "server_max_window_bits=10"),
        # zlib reads a window of 9 bits where a client keeps to 8.
        ("; client_max_window_bits=8", Params(True, True, 15, 9), "client_max_window_bits=8"),
    ],
)
def test_7_1_offers_that_are_accepted(header: str, params: Params, response: str) -> None:
    found = negotiate(NAME + header.encode(), KEEP)
    assert found is not None
    assert found[0] == params
    assert found[1] == (f"permessage-deflate; {response}" if response else NAME.decode()).encode()


def test_by_default_no_context_is_kept() -> None:
    found = negotiate(NAME + b"; client_max_window_bits", Deflate())
    assert found == (SHARED, NAME + b"; server_no_context_takeover; client_no_context_takeover")


def test_a_smaller_window_of_ours() -> None:
    """7.1.2.2: only a client that offered client_max_window_bits may be given one."""
    options = Deflate(context_takeover=True, window_bits=11)
    assert agreed(NAME, options) == b"server_max_window_bits=11"
    both = b"server_max_window_bits=11; client_max_window_bits=11"
    assert agreed(NAME + b"; client_max_window_bits", options) == both
    assert agreed(NAME + b"; client_max_window_bits=15", options) == both
    smaller = NAME + b"; server_max_window_bits=9; client_max_window_bits=10"
    assert agreed(smaller, options) == b"server_max_window_bits=9; client_max_window_bits=10"


DECLINED = [
    "; server_max_window_bits",
    "; server_max_window_bits=7",
    "; server_max_window_bits=8",
    "; server_max_window_bits=16",
    "; server_max_window_bits=08",
    "; server_max_window_bits=010",
    "; server_max_window_bits=+10",
    "; server_max_window_bits=1e1",
    "; server_max_window_bits=99999999999999999999999",
    '; server_max_window_bits=""',
    "; server_max_window_bits=",
    "; client_max_window_bits=7",
    "; client_max_window_bits=16",
    "; client_max_window_bits=09",
    "; client_max_window_bits=",
    "; server_no_context_takeover=1",
    "; client_no_context_takeover=true",
    "; server_no_context_takeover; server_no_context_takeover",
    "; client_max_window_bits; client_max_window_bits=10",
    "; server_max_window_bits=10; server_max_window_bits=10",
    "; unknown",
    "; unknown=1",
    "; __proto__=1",
    "; SERVER_NO_CONTEXT_TAKEOVER=1",
    ";",
    "; ;",
    "; =",
    "; =10",
    "; server_max_window_bits=10 11",
    '; server_max_window_bits="10',
    '; server_max_window_bits=10"',
    "; client_max_window_bits\x00",
    "; client_max_window_bits é",
]


@pytest.mark.parametrize("header", DECLINED)
def test_7_1_offers_that_are_declined(header: str) -> None:
    """T2, T15."""
    assert negotiate(NAME + header.encode(), KEEP) is None
    assert negotiate(NAME + header.encode() + b", ", KEEP) is None


@pytest.mark.parametrize(
    "header",
    [
        "",
        ",",
        "x-webkit-deflate-frame",
        "permessage-bzip2",
        "permessage-deflates",
        "permessage",
        "permessage deflate",
        '"permessage-deflate"',
        "__proto__; permessage-deflate",
        "x; y=permessage-deflate",
        'x; y="a, permessage-deflate"',
        "permessage-deflate/x",
    ],
)
def test_other_extensions_are_declined(header: str) -> None:
    assert negotiate(header.encode(), KEEP) is None


def test_5_1_the_first_offer_that_will_do_is_taken() -> None:
    """5.1: offers are in the client's order of preference."""
    declined = b"permessage-deflate; server_max_window_bits=8"
    offers = b",".join([b"other; x=1", declined, NAME + b"; server_max_window_bits=12", NAME])
    assert agreed(offers) == b"server_max_window_bits=12"
    assert agreed(declined + b" , " + NAME) == b""


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", []),
        (" , ,\t", []),
        ("a", [("a", [])]),
        ("a,b ;\tc", [("a", []), ("b", [("c", None)])]),
        ("a; b=c; d", [("a", [("b", "c"), ("d", None)])]),
        ('a; b="c"; d = e', [("a", [("b", "c"), ("d", "e")])]),
    ],
)
def test_6455_9_1_the_grammar(
    header: str, expected: list[tuple[str, list[tuple[str, str | None]]]]
) -> None:
    assert parse_extensions(header.encode()) == [
        (name.encode(), [(key.encode(), value and value.encode()) for key, value in params])
        for name, params in expected
    ]


@pytest.mark.parametrize(
    "header", ['a; b="', '"', 'a; b="\\', 'a; b="c,d"', "a b", "a; b=c=d", "=", ";", "a;", "é"]
)
def test_6455_9_1_what_is_not_of_the_grammar(header: str) -> None:
    with pytest.raises(ValueError, match=r"token|quotes"):
        parse_extensions(header.encode())


LONG = {
    "spaces in a name": b"b" + b" " * 1_000_000 + b"x",
    "spaces around =": b"a; b" + b" " * 1_000_000 + b"=" + b"\t" * 1_000_000 + b"c",
    "backslashes in quotes": b'a; b="' + b"\\" * 1_000_001,
    "separators in open quotes": b'a; b="' + b",;" * 500_000,
    "commas": b"," * 1_000_000,
    "offers": b"permessage-deflate; server_max_window_bits=8," * 30_000,
    "parameters": b"permessage-deflate" + b"; a=1" * 200_000,
    "one parameter": b"permessage-deflate" + b"; server_no_context_takeover" * 30_000,
    "quotes": b'a; b="c", ' * 100_000,
}


@pytest.mark.parametrize("header", LONG.values(), ids=LONG)
def test_parsing_is_linear(header: bytes) -> None:
    """T15: a million bytes; quadratic work would take hours."""
    assert negotiate(header, KEEP) is None


# As the client.


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (
            Deflate(),
            "; server_no_context_takeover; client_no_context_takeover; client_max_window_bits",
        ),
        (KEEP, "; client_max_window_bits"),
        (
            Deflate(context_takeover=True, window_bits=12),
            "; server_max_window_bits=12; client_max_window_bits",
        ),
    ],
)
def test_what_a_client_offers(options: Deflate, expected: str) -> None:
    assert offer(options) == NAME + expected.encode()


@pytest.mark.parametrize("bits", range(9, 16))
@pytest.mark.parametrize("ours", [False, True])
@pytest.mark.parametrize("theirs", [False, True])
def test_both_sides_agree_on_the_same(ours: bool, theirs: bool, bits: int) -> None:
    client = Deflate(context_takeover=ours, window_bits=bits)
    for server in (
        Deflate(context_takeover=theirs),
        Deflate(context_takeover=theirs, window_bits=10),
    ):
        found = negotiate(offer(client), server)
        assert found is not None
        params = accepted(found[1], client)
        # A client may keep to a smaller window than the one it could use.
        assert params.client_bits == min(found[0].client_bits, bits)
        assert params._replace(client_bits=0) == found[0]._replace(client_bits=0)


@pytest.mark.parametrize(
    "response",
    [
        "",
        "permessage-bzip2",
        "permessage-deflate, permessage-deflate",
        "permessage-deflate; client_max_window_bits",
        "permessage-deflate; client_max_window_bits=8",
        "permessage-deflate; server_max_window_bits=16",
        "permessage-deflate; unknown",
        "permessage-deflate; server_no_context_takeover=1",
        'permessage-deflate; x="',
    ],
)
def test_5_1_a_server_that_accepts_what_was_not_offered(response: str) -> None:
    for options in (KEEP, Deflate()):
        with pytest.raises(HandshakeError) as caught:
            accepted(response.encode(), options)
        assert caught.value.status == 502


def test_7_1_1_1_a_server_has_to_confirm_that_it_keeps_no_context() -> None:
    with pytest.raises(HandshakeError):
        accepted(NAME, Deflate())
    response = NAME + b"; server_no_context_takeover"
    assert accepted(response, Deflate()) == SHARED
    assert accepted(NAME, KEEP) == TAKEOVER


@pytest.mark.parametrize("confirmed", ["", "; server_max_window_bits=13"])
def test_7_1_2_1_a_server_has_to_confirm_its_window(confirmed: str) -> None:
    """7.1.2.1: it accepts "server_max_window_bits" with "the same or smaller value"."""
    options = Deflate(context_takeover=True, window_bits=12)
    with pytest.raises(HandshakeError):
        accepted(NAME + confirmed.encode(), options)
    for bits in (8, 9, 11, 12):
        params = accepted(NAME + b"; server_max_window_bits=%d" % bits, options)
        assert params == Params(True, True, max(bits, 9), 12)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("window_bits", 8),
        ("window_bits", 16),
        ("level", 0),
        ("level", 10),
        ("memory_level", 0),
        ("memory_level", 10),
        ("threshold", -1),
    ],
)
def test_options_are_checked(name: str, value: int) -> None:
    with pytest.raises(ValueError, match=name):
        Deflate(**{name: value})  # type: ignore[arg-type]
