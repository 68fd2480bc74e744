import pytest

from fastws.closing import CLOSINGS, CloseCode, Closing, label


def test_the_table_has_every_code() -> None:
    assert set(CLOSINGS) == set(CloseCode)


@pytest.mark.parametrize("closing", CLOSINGS.values(), ids=lambda closing: closing.label)
def test_a_reason_fits_a_close_frame(closing: Closing) -> None:
    # RFC 6455 section 5.5: 125 bytes, two of which are the code.
    assert len(closing.reason.encode()) <= 123


def test_no_two_codes_share_a_label() -> None:
    labels = [closing.label for closing in CLOSINGS.values()]
    assert len(set(labels)) == len(labels)


@pytest.mark.parametrize("code", CloseCode)
def test_label_takes_plain_numbers(code: CloseCode) -> None:
    assert label(int(code)) == CLOSINGS[code].label


@pytest.mark.parametrize("code", [0, 999, 1004, 1015, 3000, 4000, 4999, 65535])
def test_codes_that_peers_choose_share_one_label(code: int) -> None:
    assert label(code) == "other"


def test_clients_come_back_after_what_is_not_their_fault() -> None:
    again = {code for code, closing in CLOSINGS.items() if closing.then == "reconnect"}
    assert again == {1001, 1006, 1011, 1012, 1013, 1014}
