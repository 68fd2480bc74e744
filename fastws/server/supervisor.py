"""Several worker processes that serve as one.

It starts them, starts anew who has died or stands still, and on SIGHUP replaces them one at a time:
the next one serves before the last one drains. The sockets are its own, so a worker that ends takes
no connection with it that nobody has accepted.
"""

import asyncio
import logging
import os
import signal

from uvicorn.config import STARTUP_FAILURE

from fastws.server.config import Config
from fastws.server.listeners import Listeners
from fastws.server.systemd import Notifier
from fastws.server.worker import ABORT, DRAIN, RETIRE, Worker

logger = logging.getLogger("uvicorn.error")

# Seconds, until a replacement has begun to serve.
START_TIMEOUT = 60.0
# After what a worker may take to end by itself.
GRACE = 2.0
# A worker that has lived this long did not die of its start.
STEADY = 10.0
# Between the deaths of one that does, doubled each time.
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
# Between two looks at who stands still.
WATCH = 0.5


class Supervisor:
    """The parent of the workers.

    Args:
        config: what they serve, and how many there are.
        listeners: what they accept from.
        notifier: who wants to know how it is going.
    """

    def __init__(self, config: Config, listeners: Listeners, notifier: Notifier) -> None:
        self._config = config
        self._listeners = listeners
        self._notifier = notifier
        self._workers: list[Worker] = []
        # Those that have not ended, also who is on the way in or out.
        self._alive: set[Worker] = set()

    def run(self) -> int:
        """Supervises until a signal comes; gives the exit code."""
        return asyncio.run(self._supervise())

    async def _supervise(self) -> int:
        logger.info("Started parent process [%d]", os.getpid())
        loop = asyncio.get_running_loop()
        self._stop, self._reload = asyncio.Event(), asyncio.Event()
        for signum in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(signum, self._on_stop)
        loop.add_signal_handler(signal.SIGHUP, self._reload.set)
        self._locks = [asyncio.Lock() for _ in range(self._config.workers)]
        self._workers = [self._start(index) for index in range(self._config.workers)]
        tasks = [asyncio.create_task(self._stop.wait()), asyncio.create_task(self._serve())]
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await self._end()
        failed = tasks[0] not in done
        if failed:
            tasks[1].result()
        return STARTUP_FAILURE if failed else 0

    async def _serve(self) -> None:
        """Has workers for ever; returns if they do not even start."""
        for worker in self._workers:
            await worker.settled.wait()
            if not worker.ready:
                logger.error("%s did not start, so nothing does", worker.name)
                return
        for url in self._listeners.urls:
            logger.info("Uvicorn running on %s (Press CTRL+C to quit)", url)
        self._notifier.ready(self._status())
        async with asyncio.TaskGroup() as group:
            for index in range(len(self._workers)):
                group.create_task(self._keep(index))
            group.create_task(self._watch())
            group.create_task(self._reload_when_told())

    def _start(self, index: int) -> Worker:
        worker = Worker(self._config, self._listeners.of_workers[index], index + 1)
        self._alive.add(worker)
        return worker

    def _try_to_start(self, index: int) -> Worker | None:
        """Starts a worker, unless there is no memory or descriptor for one: others go on."""
        try:
            return self._start(index)
        except OSError as error:
            logger.error("worker %d cannot be started: %s", index + 1, error)
            return None

    def _status(self) -> str:
        return f"serving with {len(self._workers)} workers"

    # Those that do not go on.

    async def _keep(self, index: int) -> None:
        """Starts a worker whenever the last one has died."""
        pause = 0.0
        while True:
            worker = self._workers[index]
            await worker.ended.wait()
            self._alive.discard(worker)
            async with self._locks[index]:
                if self._workers[index] is not worker:
                    continue
                if worker.ready and self._age(worker) >= STEADY:
                    pause = 0.0
                how = "has died (exit code %s), the next one starts in %g s"
                logger.error(f"%s {how}", worker.name, worker.exit_code, pause)
                successor = None
                while successor is None:
                    await asyncio.sleep(pause)
                    pause = min(LONGEST_PAUSE, max(FIRST_PAUSE, 2 * pause))
                    successor = self._try_to_start(index)
                self._workers[index] = successor

    def _age(self, worker: Worker) -> float:
        return asyncio.get_running_loop().time() - worker.since

    async def _watch(self) -> None:
        """Kills who has not been heard for too long."""
        loop = asyncio.get_running_loop()
        patience = self._config.timeout_worker_healthcheck
        while True:
            await asyncio.sleep(WATCH)
            self._notifier.alive()
            for worker in self._workers:
                silent = loop.time() - worker.heard
                if worker.ready and not worker.ended.is_set() and silent > patience:
                    logger.error("%s stands still for %.0f s, and is killed", worker.name, silent)
                    worker.kill()

    # Replacing them.

    async def _reload_when_told(self) -> None:
        while True:
            await self._reload.wait()
            self._reload.clear()
            logger.info("Replacing %d workers, one at a time", len(self._workers))
            self._notifier.reloading("replacing workers")
            for index in range(len(self._workers)):
                if not await self._replace(index):
                    break
            else:
                logger.info("Replaced all workers")
            self._notifier.ready(self._status())

    async def _replace(self, index: int) -> bool:
        """Has a new worker in the place of one, unless it does not start."""
        async with self._locks[index]:
            old, new = self._workers[index], self._try_to_start(index)
            if new is None:
                return False
            try:
                async with asyncio.timeout(START_TIMEOUT):
                    await new.settled.wait()
            except TimeoutError:
                new.kill()
            if not new.ready:
                logger.error("%s did not start, so %s and the rest stay", new.name, old.name)
                await self._gone([new])
                return False
            self._workers[index] = new
        old.tell(RETIRE)
        await self._gone([old])
        logger.info("%s has replaced %s", new.name, old.name)
        return True

    async def _gone(self, workers: list[Worker]) -> None:
        """Waits for the end of workers, which does not last for ever."""
        try:
            async with asyncio.timeout((self._config.timeout_graceful_shutdown or 0) + GRACE):
                for worker in workers:
                    await worker.ended.wait()
        except TimeoutError:
            for worker in workers:
                if not worker.ended.is_set():
                    logger.error("%s does not end, and is killed", worker.name)
                    worker.kill()
            for worker in workers:
                await worker.ended.wait()
        self._alive.difference_update(workers)

    # The end.

    def _on_stop(self) -> None:
        if self._stop.is_set():
            for worker in self._alive:
                worker.tell(ABORT)
            asyncio.get_running_loop().call_later(GRACE, self._kill_all)
        self._stop.set()

    def _kill_all(self) -> None:
        for worker in self._alive:
            worker.kill()

    async def _end(self) -> None:
        self._notifier.stopping("draining")
        # Whoever connects from now on is told by a worker; after the last one, by the kernel.
        self._listeners.close()
        for worker in self._alive:
            worker.tell(DRAIN)
        await self._gone(list(self._alive))
        logger.info("Stopping parent process [%d]", os.getpid())
