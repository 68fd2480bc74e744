from contextlib import ExitStack

import pytest

from fastws.app.admission import Admission
from fastws.errors import HandshakeError
from fastws.limits import Limits


def test_in_all() -> None:
    admission = Admission(Limits(max_connections=2))
    with ExitStack() as stack:
        for port in range(2):
            stack.enter_context(admission.admit(("a", port)))
        with pytest.raises(HandshakeError) as refused, admission.admit(None):
            pass
    assert refused.value.status == 503
    assert (b"retry-after", b"5") in refused.value.headers
    with admission.admit(None), admission.admit(None):
        pass


def test_of_one_client() -> None:
    admission = Admission(Limits(max_connections_per_client=1))
    with admission.admit(("a", 1)), admission.admit(("b", 1)), admission.admit(None):
        with pytest.raises(HandshakeError) as refused, admission.admit(("a", 2)):
            pass
        assert refused.value.status == 429
    with admission.admit(("a", 3)):
        pass


def test_one_that_is_refused_or_fails_is_not_counted() -> None:
    admission = Admission(Limits(max_connections=1, max_connections_per_client=1))
    with pytest.raises(ZeroDivisionError), admission.admit(("a", 1)):
        raise ZeroDivisionError
    with admission.admit(("a", 1)):
        for _ in range(2):
            with pytest.raises(HandshakeError), admission.admit(("b", 1)):
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
    with admission.admit(("2001:db8::1", 1)):
        for host in ("2001:db8::2", "2001:0DB8:0:0:ffff::", "2001:db8::3%eth0"):
            with pytest.raises(HandshakeError), admission.admit((host, 1)):
                pass
        with admission.admit(("2001:db8:0:1::1", 1)), admission.admit(("10.0.0.1", 1)):
            with pytest.raises(HandshakeError), admission.admit(("::ffff:10.0.0.1", 1)):
                pass
            with admission.admit((":not an address", 1)), admission.admit(("", 0)):
                assert admission.total == 5
    assert (admission.total, +admission.clients) == (0, {})
