"""What the client tests share: running annctl, and a server as a process. Beside it: `resp`, `oracle` and `seeds`, whose names are
here too.

Nothing here sleeps for luck: every wait polls a condition and has an end.
"""

from __future__ import annotations

import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import numpy as np

from oracle import Catalogue, attributes_of, make_catalogue, save_catalogue, save_ids  # noqa: F401
from resp import Connection, Pairs, Push, ServerError, check_error_text, encode, pairs  # noqa: F401
from seeds import SEED, generator, setting  # noqa: F401

PROJECT = Path(__file__).resolve().parents[2]
VERSION_NAME = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{8}")


def annctl_path() -> str:
    path = os.environ.get("ANNCTL") or shutil.which("annctl")
    if not path:
        raise RuntimeError("set ANNCTL to the annctl to test, or run tools/test")
    return str(Path(path).resolve())


def run_annctl(*arguments, timeout: float = 120, check: bool = False, **options) -> subprocess.CompletedProcess:
    command = [annctl_path(), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL, **options)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(command)}\nexit {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


def said(done: subprocess.CompletedProcess) -> str:
    return done.stdout + done.stderr


# --- Indexes on disk ---------------------------------------------------------------------------------------------------


def build(output: Path, *, vectors, ids=None, metric="ip", index="Flat", recall=0.9, seed=1, threads=1, timeout=120, **more):
    """annctl build with flags; `more` becomes further flags (user_ids=… is --user-ids …)."""
    arguments = ["build", "--vectors", vectors, "--metric", metric, "--index", index]
    if ids is not None:
        arguments += ["--ids", ids]
    arguments += ["--recall", recall, "--output", output, "--threads", threads, "--seed", seed]
    for name, value in more.items():
        flag = "--" + name.replace("_", "-")
        arguments += [flag] if value is True else [flag, value]
    return run_annctl(*arguments, timeout=timeout)


def built(output: Path, **options) -> Path:
    done = build(output, **options)
    assert done.returncode == 0, f"build of {output} failed ({done.returncode}):\n{said(done)}"
    return output


def current_version(index: Path) -> Path:
    return index / os.readlink(index / "current")


def versions_of(index: Path) -> list[str]:
    folder = index / "versions"
    return sorted(e.name for e in folder.iterdir() if not e.name.startswith(".")) if folder.is_dir() else []


def leftovers_of(index: Path) -> list[str]:
    return sorted(str(p.relative_to(index)) for p in index.rglob(".tmp-*") if p.parent in (index, index / "versions"))


def flip_bit(path: Path, offset: int, bit: int) -> None:
    os.chmod(path, 0o644)
    with open(path, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ (1 << bit)]))


# --- A server as a process ---------------------------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """annctl serve on a free loopback port; a context manager that stops it by its process id."""

    def __init__(self, *indexes, log: Path, options=(), prefix=(), ready: float = 60, password: str | None = None):
        self.indexes, self.log, self.options, self.prefix = indexes, Path(log), list(options), list(prefix)
        self.ready_within, self.password = ready, password
        self.process: subprocess.Popen | None = None
        self.port = 0

    def __enter__(self) -> "Server":
        for _ in range(5):  # another process may take the port between the probe and the bind
            self.port = free_port()
            command = [*self.prefix, annctl_path(), "serve", *map(str, self.indexes)]
            command += ["--host", "127.0.0.1", "--port", str(self.port), *map(str, self.options)]
            with open(self.log, "ab") as log:
                self.process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=raise_descriptor_limit
                )
            if self._wait_until_ready():
                return self
            self.stop()
            if "in use" not in self.text().lower():
                break
        raise AssertionError(f"the server did not answer PING; exit {self.process.returncode}; log:\n{self.text()}")

    def __exit__(self, *_) -> None:
        self.stop()

    def _wait_until_ready(self) -> bool:
        deadline = time.monotonic() + self.ready_within
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                with Connection(self.port, timeout=1) as c:
                    if self.password:
                        c.call("AUTH", self.password)
                    if c.call("PING") == "PONG":
                        return True
            except (OSError, EOFError):
                pass
            pace(0.02)
        return False

    def stop(self, within: float = 10) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(within)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)
        return self.process.returncode

    def text(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def connect(self, timeout: float = 10) -> "Connection":
        return Connection(self.port, timeout=timeout)

    def rss(self) -> int:
        """Resident memory in bytes."""
        with open(f"/proc/{self.process.pid}/statm") as file:
            return int(file.read().split()[1]) * resource.getpagesize()

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def cpu_seconds(self) -> float:
        with open(f"/proc/{self.process.pid}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def assert_alive(self) -> None:
        assert self.process.poll() is None, f"the server ended with {self.process.returncode}:\n{self.text()[-4000:]}"
        with self.connect() as c:
            assert c.call("PING") == "PONG"


def raise_descriptor_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def wait_until(condition, within: float, what: str):
    """Polls until the condition is true, and fails where that takes longer than `within` seconds. What the condition gave."""
    deadline = time.monotonic() + within
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {within} s: {what}"
        pace(0.02)


# Tests do not sleep for luck: they wait until something is so (wait_until, and `wait_for` of what puts a load on a server). Three
# things have no condition; each has its name, and time.sleep stands nowhere else.


def pace(seconds: float) -> None:
    """Between two looks, or two requests of a load."""
    time.sleep(seconds)


def drawn_moment(rng: np.random.Generator, low: float, high: float) -> None:
    """Until a fault: its moment is what the seed draws."""
    time.sleep(float(rng.uniform(low, high)))


def lasting(seconds: float, what: str) -> None:
    """While something lasts whose length is the point: a fault, a measurement, or that nothing happens. `what` says which."""
    assert what
    time.sleep(seconds)


class Watch:
    """PINGs on a connection of its own, one every 10 ms, while `process` or another condition lasts.

    `late` counts answers after more than 100 ms that the server itself kept back. `starved` counts those that would have been
    in time had server and watcher not waited so long for a processor that somebody else had: as the kernel counts it
    (schedstat), with the time that a hypervisor took (steal).
    """

    LATE = 0.1

    def __init__(self, server: Server):
        self.server = server
        self.connection = server.connect(timeout=30)
        self.pings = self.late = self.starved = self.peak = 0
        self.longest = self.longest_starved = 0.0

    def _waited(self) -> float:
        """Seconds that the server's threads and this process were ready to run and did not, so far."""
        nanoseconds = 0
        for process in (self.server.process.pid, os.getpid()):
            for task in Path(f"/proc/{process}/task").iterdir():
                try:
                    nanoseconds += int((task / "schedstat").read_text().split()[1])
                except (OSError, IndexError):
                    pass  # a thread that ended, or a kernel that does not count
        with open("/proc/stat") as file:
            stolen = int(file.readline().split()[8])
        return nanoseconds / 1e9 + stolen / os.sysconf("SC_CLK_TCK")

    def step(self) -> None:
        waited = self._waited()
        started = time.monotonic()
        assert self.connection.call("PING") == "PONG"
        took = time.monotonic() - started
        self.pings += 1
        if took > self.LATE and took - (self._waited() - waited) <= self.LATE:
            self.starved, self.longest_starved = self.starved + 1, max(self.longest_starved, took)
        else:
            self.late, self.longest = self.late + (took > self.LATE), max(self.longest, took)
        if self.pings % 16 == 1:
            self.peak = max(self.peak, self.server.rss())
        pace(0.01)

    def until(self, condition, within: float) -> None:
        end = time.monotonic() + within
        while not condition():
            assert time.monotonic() < end, f"not within {within} s"
            self.step()

    def __str__(self) -> str:
        return (f"{self.late} of {self.pings} PINGs late (longest {self.longest * 1e3:.1f} ms; {self.starved} more, up to "
                f"{self.longest_starved * 1e3:.0f} ms, for want of a processor)")
