"""Real processes for tests: their output is read as it comes, and they end by their id."""

import os
import re
import signal
import socket
import subprocess
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep

PATIENCE = 60.0  # seconds until a test gives up; no test passes or fails by how long it took


class Process:
    """A child process whose output can be waited for.

    Attributes:
        pid: its process id, which is also its process group.
    """

    def __init__(
        self,
        *argv: str,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        pass_fds: Iterable[int] = (),
    ):
        self.argv = argv
        self._popen = subprocess.Popen(
            argv,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})},
            cwd=cwd,
            pass_fds=tuple(pass_fds),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.pid = self._popen.pid
        self._chunks: list[bytes] = []
        self._ended = False
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._popen.stdout is not None
        with self._popen.stdout as pipe:
            while chunk := os.read(pipe.fileno(), 65536):
                with self._news:
                    self._chunks.append(chunk)
                    self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    @property
    def output(self) -> str:
        """All that it has written to stdout and stderr so far."""
        return b"".join(self._chunks).decode(errors="replace")

    def memory(self, field: str) -> int:
        """Gives a size from /proc/PID/status in bytes: VmRSS, VmHWM, VmSize."""
        text = Path(f"/proc/{self.pid}/status").read_text()
        return 1024 * int(re.findall(rf"^{field}:\s+(\d+) kB$", text, re.MULTILINE)[0])

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Waits until its output matches a regular expression.

        Raises:
            AssertionError: it ended, or its time was up, without that.
        """
        deadline = monotonic() + PATIENCE
        with self._news:
            while (found := re.search(pattern, self.output, re.MULTILINE)) is None:
                in_time = self._news.wait(deadline - monotonic()) if not self._ended else False
                if not in_time:
                    why = "ended" if self._ended else "is still silent"
                    raise AssertionError(f"{self.argv} {why}, no {pattern!r} in:\n{self.output}")
        return found

    def wait_for_port(self, host: str, port: int) -> None:
        """Waits until somebody listens there; ends the process if that is in vain."""
        deadline = monotonic() + PATIENCE
        while True:
            try:
                socket.create_connection((host, port)).close()
            except ConnectionRefusedError:
                if monotonic() > deadline:
                    self.kill()
                    raise
                sleep(0.01)
            else:
                return

    def wait(self) -> int:
        """Waits for its end, and gives its exit code: minus the signal if one killed it."""
        code = self._popen.wait(PATIENCE)
        self._reader.join(PATIENCE)
        return code

    def stop(self, signum: int = signal.SIGTERM) -> int:
        """Ends it with a signal and gives its exit code."""
        self._popen.send_signal(signum)
        return self.wait()

    def kill(self) -> None:
        """Kills it and all processes that it started.

        Raises:
            AssertionError: a sanitizer had something to report (`make asan`).
        """
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.wait()
        assert not re.search(r"AddressSanitizer|: runtime error: ", self.output), self.output


class Server(Process):
    """A server process that has begun to listen.

    Attributes:
        host: the address that it listens on.
        port: the port that it listens on.
        scheme: ``http`` or ``https``.
    """

    def __init__(self, *argv: str, env: Mapping[str, str] | None = None):
        super().__init__(*argv, env=env)
        try:
            found = self.wait_for(r"running on (?:unix socket|(https?)://([\d.]+):(\d+))")
        except AssertionError:
            self.kill()
            raise
        self.scheme = found[1] or "http"
        self.host = found[2] or "127.0.0.1"
        self.port = int(found[3] or 0)
        if "Started server process" not in found.string[: found.start()]:
            # The parent of several workers has bound the port; the first worker listens, and
            # does not say so.
            self.wait_for_port(self.host, self.port)

    def http(self, path: str = "/") -> str:
        """Gives the http(s) address of a path."""
        return f"{self.scheme}://{self.host}:{self.port}{path}"

    def url(self, path: str = "/ws") -> str:
        """Gives the ws(s) address of a path."""
        return self.http(path).replace("http", "ws", 1)
