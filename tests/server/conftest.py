"""Fixtures of the tests of the server."""

from collections.abc import AsyncIterator

import pytest

from fastws.testing import Clock


@pytest.fixture
async def clock() -> AsyncIterator[Clock]:
    """Time moves by what the test says, so that no deadline passes since the machine is busy.

    A test that takes it is to be marked with `tests.server.serving.ON_CLOCK`.
    """
    with Clock() as clock:
        yield clock
