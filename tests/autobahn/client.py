"""fastws as the client: it goes through the cases of the suite's fuzzing server."""

import asyncio
import socket
from pathlib import Path

import uvloop

import fastws
from fastws.limits import MIB, Limits
from tests.autobahn import suite

# Cases that take longer than their 480 s have failed anyway.
CASE_TIMEOUT = 500.0
# Cases 9.1.6 and 9.2.6 send 16 MiB; all other limits are the defaults.
LIMITS = Limits(max_message_size=16 * MIB)


def run(loop: str, cases: list[str], jobs: int, outdir: Path) -> None:
    """Lets the suite test our client; its reports are then below ``outdir``.

    Raises:
        Trouble: the client raised what it should not raise.
    """
    short, long = suite.plan(cases)
    errors: list[str] = []

    async def run_all() -> None:
        slots = asyncio.Semaphore(jobs)

        async def run_in_slot(name: str, part: list[str]) -> None:
            async with slots:
                errors.extend(await _run_part(part, outdir / name))

        if short:
            await run_in_slot("short", short)
        async with asyncio.TaskGroup() as group:
            for number, part in enumerate(long, 1):
                group.create_task(run_in_slot(f"long-{number}", part))

    factory = uvloop.new_event_loop if loop == "uvloop" else asyncio.SelectorEventLoop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(run_all())
    if errors:
        raise suite.Trouble("\n".join(errors))


async def _run_part(cases: list[str], outdir: Path) -> list[str]:
    """Goes through the cases, one connection each; gives the unforeseen errors."""
    paths = {case: f"runCase?case={n}" for n, case in enumerate(cases, 1)}
    paths["reports"] = "updateReports?"
    errors = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"ws://127.0.0.1:{listener.getsockname()[1]}"
        wstest = suite.wstest("fuzzingserver", {"url": url, "cases": cases}, outdir, listener)
        with wstest:
            listener.close()  # it is wstest's now; if that ends, connections are refused
            for what, path in paths.items():
                try:
                    async with asyncio.timeout(CASE_TIMEOUT):
                        await _echo(f"{url}/{path}&agent={suite.AGENT}")
                except Exception as error:  # the other cases are worth their run all the same
                    errors.append(f"{what}: the client raises {error!r}")
    return errors


async def _echo(url: str) -> None:
    try:
        async with fastws.connect(url, limits=LIMITS) as ws:
            async for message in ws:
                await ws.send(message)
    except fastws.Disconnected:
        pass  # what most cases are about; how it happened is for the suite to judge
