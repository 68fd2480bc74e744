from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from fastws.app.admission import Admission
from fastws.errors import HandshakeError
from fastws.limits import Limits


@contextmanager
def admitted(admission: Admission, client: tuple[str, int] | None) -> Iterator[None]:
    admission.admit(client)
    try:
        yield
    finally:
        admission.dismiss(client)


def test_in_all() -> None:
    admission = Admission(Limits(max_connections=2))
    with ExitStack() as stack:
        for port in range(2):
            stack.enter_context(admitted(admission, ("a", port)))
        with pytest.raises(HandshakeError) as refused, admitted(admission, None):
            pass
    assert refused.value.status == 503
    assert (b"retry-after", b"5") in refused.value.headers
    with admitted(admission, None), admitted(admission, None):
        pass


def test_of_one_client() -> None:
    admission = Admission(Limits(max_connections_per_client=1))
    with admitted(admission, ("a", 1)), admitted(admission, ("b", 1)), admitted(admission, None):
        with pytest.raises(HandshakeError) as refused, admitted(admission, ("a", 2)):
            pass
        assert refused.value.status == 429
    with admitted(admission, ("a", 3)):
        pass


def test_one_that_is_refused_or_fails_is_not_counted() -> None:
    admission = Admission(Limits(max_connections=1, max_connections_per_client=1))
    with pytest.raises(ZeroDivisionError), admitted(admission, ("a", 1)):
        raise ZeroDivisionError
    with admitted(admission, ("a", 1)):
        for _ in range(2):
            with pytest.raises(HandshakeError), admitted(admission, ("b", 1)):
                pass
    assert admission.total == 0
    assert not admission.clients


def test_of_one_user() -> None:
    admission = Admission(Limits(max_connections_per_user=2))
    admission.enter("ada")
    admission.enter("ada")
    admission.enter("bob")
    with pytest.raises(HandshakeError) as refused:
        admission.enter("ada")
    assert refused.value.status == 429
    admission.leave("ada")
    admission.enter("ada")
    for user in ("ada", "ada", "bob"):
        admission.leave(user)
    assert not admission.users


def test_of_one_network() -> None:
    admission = Admission(Limits(max_connections_per_client=1))
    with admitted(admission, ("2001:db8::1", 1)):
        for host in ("2001:db8::2", "2001:0DB8:0:0:ffff::", "2001:db8::3%eth0"):
            with pytest.raises(HandshakeError), admitted(admission, (host, 1)):
                pass
        with admitted(admission, ("2001:db8:0:1::1", 1)), admitted(admission, ("10.0.0.1", 1)):
            with pytest.raises(HandshakeError), admitted(admission, ("::ffff:10.0.0.1", 1)):
                pass
            with admitted(admission, (":not an address", 1)), admitted(admission, ("", 0)):
                assert admission.total == 5
    assert (admission.total, +admission.clients) == (0, {})
