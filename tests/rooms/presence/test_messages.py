"""What workers send each other: in pieces that an engine takes."""

import msgspec
import pytest

from fastws.rooms.presence.messages import PIECE_SIZE, Entry, decode_entries, pieces


@pytest.mark.parametrize(
    ("count", "size", "expected"),
    [(0, 1, 1), (1, 1, 1), (1, 100_000, 1), (3, 100_000, 3), (500, 300, 5), (5000, 1, 3)],
)
def test_pieces_are_bounded_and_complete(count: int, size: int, expected: int) -> None:
    """No piece has more than one entry beyond the bound, and none is empty without need."""
    entries = [Entry(f"{i}", "x" * size) for i in range(count)]
    some = list(pieces(entries))
    assert [entry for piece in some for entry in decode_entries(piece)] == entries
    assert len(some) == expected
    assert all(len(bytes(piece)) <= PIECE_SIZE + size + 100 for piece in some)


def test_no_entries_are_a_piece_too() -> None:
    """Else nothing would say that a worker has nobody there."""
    assert list(pieces([])) == [msgspec.Raw(b"[]")]
