"""Where a coroutine waits: the line that its author knows, and not one of what it calls."""

import gc
import sys
from collections.abc import Iterator
from enum import IntEnum
from inspect import isasyncgen, iscoroutine
from pathlib import Path
from types import FrameType
from typing import Any


class Owner(IntEnum):
    """Whose code a frame runs, in the order of how much it says to the author of a test."""

    KIT = 0
    FASTWS = 1
    FRAMEWORK = 2
    USER = 3


# Each has a frame, and what it waits for.
_KINDS = (("cr_frame", "cr_await"), ("gi_frame", "gi_yieldfrom"), ("ag_frame", "ag_await"))


def innermost(coroutine: Any) -> FrameType | None:
    """Return the user's frame nearest to what a coroutine waits for.

    Without one, return the nearest one of a framework, else of fastws; None if there is none.
    """
    found, best = None, Owner.FASTWS
    for frame in _frames(coroutine):
        owner = _owner(frame)
        if owner >= best:
            found, best = frame, owner
    return found


def _frames(awaited: Any) -> Iterator[FrameType]:
    """Yield the frames through which a coroutine waits, the outermost first."""
    while awaited is not None:
        for frame, inner in _KINDS:
            if hasattr(awaited, inner):
                if getattr(awaited, frame) is not None:
                    yield getattr(awaited, frame)
                awaited = getattr(awaited, inner)
                break
        else:
            # `async for` and `__await__` wait through objects of their own. Only the collector
            # sees the generator or the coroutine in them.
            behind = gc.get_referents(awaited)
            awaited = next((it for it in behind if isasyncgen(it) or iscoroutine(it)), None)


def _owner(frame: FrameType) -> Owner:
    module: str = frame.f_globals.get("__name__", "")
    package = module.partition(".")[0]
    if package in sys.stdlib_module_names or module.startswith("fastws.testing."):
        return Owner.KIT
    if package == "fastws" and not module.startswith("fastws.examples."):
        return Owner.FASTWS
    installed = {"site-packages", "dist-packages"} & {*Path(frame.f_code.co_filename).parts}
    return Owner.FRAMEWORK if installed else Owner.USER
