"""A real redis-server for the tests of the log, and what a replica's INFO says of it."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

import annex
from live import serve


class Redis:
    """redis-server on a free loopback port, with its data in a folder; ended by its process id."""

    def __init__(self, folder: Path, options=()):
        if shutil.which("redis-server") is None:
            pytest.fail("redis-server is missing: tools/install-deps --test installs it")
        self.folder, self.options = Path(folder), [str(o) for o in options]
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = annex.free_port()
        self.password: str | None = None
        self.process: subprocess.Popen | None = None

    def __enter__(self) -> "Redis":
        self.start()
        return self

    def __exit__(self, *_) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.kill()

    def start(self) -> None:
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder), "--save", "",
                   "--daemonize", "no", *self.options]
        with open(self.folder / "redis.log", "ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        annex.wait_until(self.answers, 10, "redis-server answered")

    def answers(self) -> bool:
        assert self.process.poll() is None, (self.folder / "redis.log").read_text()
        try:
            with annex.Connection(self.port, timeout=1) as c:
                c.send(annex.encode("PING"))
                reply = c.read()
                return reply == "PONG" or "NOAUTH" in str(reply)
        except OSError:
            return False

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)

    def pause(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def call(self, *arguments):
        with annex.Connection(self.port, timeout=20) as c:
            if self.password:
                c.call("AUTH", self.password)
            return c.call(*arguments)

    def entries(self, index: str) -> int:
        """Entries of all streams of an index."""
        return sum(self.call("XLEN", key(index, block)) for block in range(16))

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"


def key(index: str, block: int) -> str:
    return f"annex:{{{index}}}:events:{block:02d}"


def replica(index: Path, folder: Path, redis: Redis | str, *options, **more):
    """A server that follows the log; its state and its log lie in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    url = redis if isinstance(redis, str) else redis.url
    return serve(index, state=folder / "state", log=folder / "server.log", options=["--log", url, *options], **more)


def log_line(c: annex.Connection, index: str) -> dict[str, str]:
    """INFO's line of an index's log."""
    return info_line(c, "log", index)


def info_line(c: annex.Connection, section: str, index: str) -> dict[str, str]:
    """INFO's line of an index in a section that has one for each."""
    info = c.call("INFO", section).decode()
    line = next(line for line in info.splitlines() if line.startswith(f"{section}_{index}:"))
    words = line.split(":", 1)[1]
    words, _, problem = words.partition(",problem=")
    found = dict(word.split("=", 1) for word in words.split(","))
    found["problem"] = problem
    return found


def caught_up(servers, index: str, within: float = 20) -> None:
    """Waits until each has said, of a moment after this call, that it had applied all that the log had."""
    for server in servers:
        start, line = time.monotonic(), {}
        with server.connect() as c:

            def knows() -> bool:
                nonlocal line
                line = log_line(c, index)
                # INFO's figures are up to a tenth of a second old.
                return line["status"] == "following" and 0 <= int(line["lag_ms"]) < (time.monotonic() - start) * 1000 - 100

            annex.wait_until(knows, within, f"the replica had all events: {line}")
