"""A worker in a process of its own: `python -m tests.rooms.presence.program URL LEASE COUNT`.

It has so many members in the room "room", and says what the first of them is told.
"""

import asyncio
import signal
import sys

from tests.rooms.presence.workers import Visitor, Worker


async def main(url: str, lease: float, count: int) -> None:
    worker = Worker(url, presence_lease=lease)
    await worker.rooms.start()
    visitors: list[Visitor] = [worker.enter(data=i) for i in range(count)]
    await worker.rooms.presence("room")
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    print("there are", *(each.id for each in visitors))
    told = visitors[0].got
    while not stop.is_set():
        while told:
            print(told.pop(0))
        await asyncio.sleep(0.01)
    await worker.rooms.stop()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2]), int(sys.argv[3])))
