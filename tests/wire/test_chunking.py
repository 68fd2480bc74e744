"""Metamorphic rules: how bytes are cut, and whether they are compressed, changes nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastws.wire import Connection, Opcode, Params, Role
from tests.wire.drive import SHARED, TAKEOVER, connect, encoded, every, outcome, receive
from tests.wire.model import Window, expected
from tests.wire.oracles import by_websockets
from tests.wire.reference import KEY
from tests.wire.streams import PROFILE, cuts, streams
from tests.wire.vectors import broken, deflate, plain

ROLES = {"server": KEY, "client": None}
STREAMS = {
    f"{name}{' with takeover' if params is TAKEOVER else ''}": (role, params, data)
    for role, key in ROLES.items()
    for params, kind in ((None, plain), (None, broken), (SHARED, deflate), (TAKEOVER, deflate))
    for name, data in ((f"{role}: {name}", data) for name, data in kind(key).items())
}


def fresh(role: str, params: Params | None) -> Connection:
    return connect(Role.SERVER if role == "server" else Role.CLIENT, params)


@pytest.mark.parametrize(("role", "params", "data"), STREAMS.values(), ids=STREAMS)
def test_the_model_says_the_same(role: str, params: Params | None, data: bytes) -> None:
    window = None if params is None else Window(takeover=params is TAKEOVER)
    want = expected(data, server=role == "server", window=window).outcome
    assert outcome(fresh(role, params), data) == want


@pytest.mark.parametrize(("role", "params", "data"), STREAMS.values(), ids=STREAMS)
def test_cuts_change_nothing(role: str, params: Params | None, data: bytes) -> None:
    """D: every place, every pair of places in short ones, one byte at a time."""
    want = outcome(fresh(role, params), data)
    places = range(min(len(data), 64) + 1)
    for one in places:
        assert outcome(fresh(role, params), data, [one]) == want
        if len(data) <= 24:
            for other in range(one, len(data) + 1):
                assert outcome(fresh(role, params), data, [one, other]) == want
    for size in (1, 2, 3, 7):
        if len(data) < 4096:
            assert outcome(fresh(role, params), data, every(size, data)) == want


@pytest.mark.parametrize("takeover", [None, False, True])
@pytest.mark.parametrize("raw", [False, True])
def test_cuts_of_generated_streams_change_nothing(raw: bool, takeover: bool | None) -> None:
    """D."""
    params = None if takeover is None else TAKEOVER if takeover else SHARED

    @PROFILE
    @given(st.data())
    def run(draw: st.DataObject) -> None:
        data = draw.draw(streams(takeover=takeover))
        found = []
        for places in ([], every(1, data) if len(data) < 2000 else [], draw.draw(cuts(data))):
            connection = connect(params=params)
            connection.raw = raw
            found.append(outcome(connection, data, places))
        assert found[0] == found[1] == found[2]

    run()


MESSAGES = st.lists(
    st.one_of(st.text(max_size=300), st.binary(max_size=300), st.just("ab" * 500)), max_size=8
)


def send(connection: Connection, messages: list[str | bytes]) -> bytes:
    for message in messages:
        if isinstance(message, str):
            connection.send_text(message)
        else:
            connection.send_binary(message)
    return connection.data_to_send()


@PROFILE
@given(MESSAGES, st.sampled_from(Role), st.data())
def test_compression_changes_nothing(
    messages: list[str | bytes], role: Role, draw: st.DataObject
) -> None:
    """D: with it, with context takeover and without, the same messages arrive."""
    want = [(Opcode.TEXT if isinstance(m, str) else Opcode.BINARY, m) for m in messages]
    for params in (None, SHARED, TAKEOVER, Params(True, False, 9, 15), Params(False, True, 15, 9)):
        data = send(connect(role, params), messages)
        assert receive(connect(Role(1 - role), params), data, draw.draw(cuts(data))) == want


@PROFILE
@given(MESSAGES, st.sampled_from(Role), st.sampled_from([None, False, True]))
def test_another_library_reads_what_we_send(
    messages: list[str | bytes], role: Role, takeover: bool | None
) -> None:
    """D: encoding, then decoding by `websockets`, is identity, for both roles."""
    params = None if takeover is None else TAKEOVER if takeover else SHARED
    data = send(connect(role, params), messages)
    found = by_websockets(data, server=role is Role.CLIENT, takeover=takeover)
    assert found.events == [(1 if isinstance(m, str) else 2, encoded(m)) for m in messages]
    assert found.close is None
