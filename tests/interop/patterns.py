"""Bare ASGI apps that call ``receive`` and ``send`` in all the ways that asyncio knows."""

import asyncio
import sys
from asyncio import FIRST_COMPLETED
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.lowlevel
from asgiref.sync import async_to_sync, sync_to_async

from tests.interop.serving import App

Receive = Callable[[], Any]
Send = Callable[[Any], Any]
Way = Callable[[Receive], Awaitable[Any]]
Heard = Callable[[], Awaitable[Any]]  # gives an event, or None if it was interrupted before

apps: dict[str, App] = {}


def app(function: App) -> App:
    """Serves a function, under its name, once its connection was accepted."""
    apps[function.__name__] = function
    return function


async def dispatch(scope: Any, receive: Receive, send: Send) -> None:
    """Accepts, and runs the app that the path names."""
    await receive()
    await send({"type": "websocket.accept"})
    await apps[scope["path"].split("/")[1]](scope, receive, send)


def text(message: object) -> dict[str, str]:
    """Makes the event that sends a text."""
    return {"type": "websocket.send", "text": str(message)}


async def echo(receive: Receive, send: Send) -> None:
    """Sends back what comes, until the peer goes."""
    while (event := await receive())["type"] == "websocket.receive":
        await send(text(event["text"]))


# Ways to receive that end with an event.


async def awaited(receive: Receive) -> Any:
    return await receive()


async def created_task(receive: Receive) -> Any:
    return await asyncio.create_task(receive())


async def loops_task(receive: Receive) -> Any:
    return await asyncio.get_running_loop().create_task(receive(), name="receiver")


async def task_class(receive: Receive) -> Any:
    return await asyncio.Task(receive())


async def ensured_future(receive: Receive) -> Any:
    return await asyncio.ensure_future(receive())


async def shielded(receive: Receive) -> Any:
    return await asyncio.shield(receive())


async def gathered(receive: Receive) -> Any:
    return (await asyncio.gather(receive(), asyncio.sleep(0)))[0]


async def first_completed(receive: Receive) -> Any:
    return await next(iter(asyncio.as_completed([receive()])))


async def waited_for(receive: Receive) -> Any:
    return await asyncio.wait_for(receive(), timeout=None)


async def waited_with_another(receive: Receive) -> Any:
    tasks = {asyncio.create_task(receive()), asyncio.create_task(asyncio.Event().wait())}
    done, pending = await asyncio.wait(tasks, return_when=FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    return done.pop().result()


async def task_group(receive: Receive) -> Any:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(receive())
    return task.result()


async def anyio_task_group(receive: Receive) -> Any:
    events = []

    async def store() -> None:
        events.append(await receive())

    async with anyio.create_task_group() as group:
        group.start_soon(store)
        group.start_soon(anyio.sleep, 0)
    return events[0]


async def threadsafe(receive: Receive) -> Any:
    loop = asyncio.get_running_loop()

    def in_thread() -> Any:
        return asyncio.run_coroutine_threadsafe(receive(), loop).result()

    return await asyncio.to_thread(in_thread)


async def sync_thread(receive: Receive) -> Any:
    return await sync_to_async(async_to_sync(receive))()  # as Channels' sync consumers


async def closed_before(receive: Receive) -> Any:
    receive().close()  # never started: takes no message
    return await receive()


async def eager_task(receive: Receive) -> Any:
    loop = asyncio.get_running_loop()
    return await asyncio.Task(receive(), loop=loop, eager_start=True)  # type: ignore[call-arg,unused-ignore]


WAYS: list[Way] = [
    awaited,
    created_task,
    loops_task,
    task_class,
    ensured_future,
    shielded,
    gathered,
    first_completed,
    waited_for,
    waited_with_another,
    task_group,
    anyio_task_group,
    threadsafe,
    sync_thread,
    closed_before,
    *([eager_task] if sys.version_info >= (3, 12) else []),
]


# Ways to receive that give up when no message is there yet.


def wait_for(receive: Receive) -> Heard:
    async def heard() -> Any:
        try:
            return await asyncio.wait_for(receive(), 0.0001)
        except TimeoutError:
            return None

    return heard


def timeout(receive: Receive) -> Heard:
    async def heard() -> Any:
        try:
            async with asyncio.timeout(0.0001):
                return await receive()
        except TimeoutError:
            return None

    return heard


def move_on_after(receive: Receive) -> Heard:
    async def heard() -> Any:
        with anyio.move_on_after(0.0001):
            return await receive()
        return None

    return heard


def fail_after(receive: Receive) -> Heard:
    async def heard() -> Any:
        try:
            with anyio.fail_after(0.0001):
                return await receive()
        except TimeoutError:
            return None

    return heard


def cancelled_task(receive: Receive) -> Heard:
    async def heard() -> Any:
        task = asyncio.ensure_future(receive())
        await asyncio.sleep(0)
        task.cancel("enough")
        try:
            return await task
        except asyncio.CancelledError as error:
            if error.args != ("enough",):
                raise
            return None

    return heard


def cancelled_scope(receive: Receive) -> Heard:
    async def heard() -> Any:
        events = []

        async def store() -> None:
            events.append(await receive())

        async with anyio.create_task_group() as group:
            group.start_soon(store)
            await anyio.lowlevel.checkpoint()
            group.cancel_scope.cancel()
        return events[0] if events else None

    return heard


def failed_sibling(receive: Receive) -> Heard:
    class Fault(Exception):
        pass

    async def fail() -> None:
        await asyncio.sleep(0)
        raise Fault

    async def heard() -> Any:
        task = None
        try:
            async with asyncio.TaskGroup() as group:
                task = group.create_task(receive())
                group.create_task(fail())
        except* Fault:
            pass
        return None if task is None or task.cancelled() else task.result()

    return heard


def kept_task(receive: Receive) -> Heard:
    tasks: list[Any] = []

    async def heard() -> Any:
        tasks[:] = tasks or [asyncio.create_task(receive())]
        done, _ = await asyncio.wait(tasks, timeout=0.0001)
        return tasks.pop().result() if done else None

    return heard


def shielded_task(receive: Receive) -> Heard:
    tasks: list[Any] = []

    async def heard() -> Any:
        tasks[:] = tasks or [asyncio.create_task(receive())]
        try:
            event = await asyncio.wait_for(asyncio.shield(tasks[0]), 0.0001)
        except TimeoutError:
            return None
        tasks.clear()
        return event

    return heard


INTERRUPTIONS: list[Callable[[Receive], Heard]] = [
    wait_for,
    timeout,
    move_on_after,
    fail_after,
    cancelled_task,
    cancelled_scope,
    failed_sibling,
    kept_task,
    shielded_task,
]

# anyio's task groups do not work on a loop on which all tasks are eager, whatever the server.
NOT_EAGER = [anyio_task_group, cancelled_scope]
