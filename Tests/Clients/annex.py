"""What the client tests share: running annctl, a server as a process, RESP by hand, an oracle in NumPy.

Nothing here sleeps for luck: every wait polls a condition and has an end.
"""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import time
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

SEED = int(os.environ.get("ANNEX_SEED", "20240229"))
PROJECT = Path(__file__).resolve().parents[2]
VERSION_NAME = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{8}")


def setting(name: str, default: int) -> int:
    return int(os.environ.get(name, default))


def generator(label: str) -> np.random.Generator:
    """A generator of its own for each use, so that a test alone draws what it draws in the whole run."""
    return np.random.default_rng([SEED, zlib.crc32(label.encode())])


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


def save_ids(path: Path, ids: list[str]) -> Path:
    path.write_text("".join(i + "\n" for i in ids), encoding="utf-8")
    return path


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
            time.sleep(0.02)
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
    deadline = time.monotonic() + within
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {within} s: {what}"
        time.sleep(0.02)


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
        time.sleep(0.01)

    def until(self, condition, within: float) -> None:
        end = time.monotonic() + within
        while not condition():
            assert time.monotonic() < end, f"not within {within} s"
            self.step()

    def __str__(self) -> str:
        return (f"{self.late} of {self.pings} PINGs late (longest {self.longest * 1e3:.1f} ms; {self.starved} more, up to "
                f"{self.longest_starved * 1e3:.0f} ms, for want of a processor)")


# --- RESP by hand ------------------------------------------------------------------------------------------------------


class ServerError(Exception):
    @property
    def code(self) -> str:
        return str(self).split(" ", 1)[0]


@dataclass
class Push:
    items: list = field(default_factory=list)


def encode(*arguments) -> bytes:
    out = [b"*%d\r\n" % len(arguments)]
    for argument in arguments:
        data = argument if isinstance(argument, bytes) else str(argument).encode()
        out.append(b"$%d\r\n%s\r\n" % (len(data), data))
    return b"".join(out)


class Connection:
    """One connection with a strict RESP2 and RESP3 parser: a malformed reply is a failure, never skipped."""

    def __init__(self, port: int, timeout: float = 10, host: str = "127.0.0.1"):
        self.socket = socket.create_connection((host, port), timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.position = 0

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def call(self, *arguments):
        """The reply; an error reply is raised as ServerError."""
        self.send(encode(*arguments))
        reply = self.read()
        if isinstance(reply, ServerError):
            raise reply
        return reply

    def error(self, *arguments) -> ServerError:
        """The error reply; anything else fails."""
        self.send(encode(*arguments))
        reply = self.read()
        assert isinstance(reply, ServerError), f"{arguments!r:.200} answered {reply!r:.200}, not an error"
        check_error_text(str(reply))
        return reply

    def at_end(self) -> bool:
        """Whether the server closed, after reading what it still sent."""
        try:
            while self._fill():
                pass
        except TimeoutError:
            return False
        except ConnectionError:
            return True
        return True

    def _fill(self) -> bool:
        if self.position > 1 << 20:
            self.buffer, self.position = self.buffer[self.position:], 0
        data = self.socket.recv(1 << 18)
        self.buffer += data
        return bool(data)

    def _line(self) -> bytes:
        while (end := self.buffer.find(b"\r\n", self.position)) < 0:
            if not self._fill():
                raise EOFError("closed within a reply" if len(self.buffer) > self.position else "closed")
        line = self.buffer[self.position:end]
        assert b"\n" not in line and b"\r" not in line, f"raw line end within {line!r:.100}"
        self.position = end + 2
        return line

    def _exactly(self, count: int) -> bytes:
        while len(self.buffer) - self.position < count + 2:
            if not self._fill():
                raise EOFError("closed within a bulk")
        data = self.buffer[self.position:self.position + count]
        assert self.buffer[self.position + count:self.position + count + 2] == b"\r\n", "a bulk without its CR LF"
        self.position += count + 2
        return data

    def read(self):
        line = self._line()
        kind, rest = line[:1], line[1:]
        if kind == b"+":
            return rest.decode()
        if kind == b"-":
            return ServerError(rest.decode(errors="replace"))
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == b"-1" else self._exactly(int(rest))
        if kind == b"=":
            return self._exactly(int(rest))[4:]
        if kind in b"*~":
            return None if rest == b"-1" else [self.read() for _ in range(int(rest))]
        if kind == b">":
            return Push([self.read() for _ in range(int(rest))])
        if kind == b"%":
            return Pairs((self.read(), self.read()) for _ in range(int(rest)))
        if kind == b"_" and rest == b"":
            return None
        if kind == b"#" and rest in b"tf":
            return rest == b"t"
        if kind == b",":
            return float(rest)
        if kind == b"(":
            return int(rest)
        raise AssertionError(f"not a RESP reply: {line!r:.100}")


class Pairs(list):
    """A RESP3 map in the order it came."""

    def get(self, key, default=None):
        key = key.encode() if isinstance(key, str) else key
        return next((v for k, v in self if k == key or (isinstance(k, str) and k.encode() == key)), default)


def check_error_text(text: str) -> None:
    """An error has a code in capitals and a sentence, and no control byte of the client's comes back raw (P12)."""
    assert re.match(r"^[A-Z][A-Z0-9]* \S", text), f"no code and sentence: {text!r}"
    assert not re.search(r"[\x00-\x1f\x7f]", text), f"raw control byte in {text!r}"


def pairs(reply) -> list[tuple]:
    """[(id, score)] of a reply with scores in either protocol."""
    if isinstance(reply, Pairs):
        return [(k, float(v)) for k, v in reply]
    if reply and isinstance(reply[0], list):
        return [(i, float(s)) for i, s in reply]
    return [(reply[n], float(reply[n + 1])) for n in range(0, len(reply), 2)]


# --- The oracle --------------------------------------------------------------------------------------------------------


@dataclass
class Catalogue:
    """A seeded data set and its exact answers, computed in float64 from the float32 rows that the index holds."""

    ids: list[str]
    items: np.ndarray
    user_ids: list[str]
    users: np.ndarray
    metric: str

    def __post_init__(self):
        self.rows = {i: n for n, i in enumerate(self.ids)}
        self.user_rows = {i: n for n, i in enumerate(self.user_ids)}

    def user(self, user: str) -> np.ndarray:
        return self.users[self.user_rows[user]]

    def item(self, item: str) -> np.ndarray:
        return self.items[self.rows[item]]

    def scores(self, query: np.ndarray) -> np.ndarray:
        x = self.items.astype(np.float32).astype(np.float64)
        q = np.asarray(query, dtype=np.float32).astype(np.float64)
        if self.metric == "l2":
            return ((x - q) ** 2).sum(axis=1)
        dots = x @ q
        if self.metric == "ip":
            return dots
        lengths = np.linalg.norm(x, axis=1) * np.linalg.norm(q)
        return np.divide(dots, lengths, out=np.zeros_like(dots), where=lengths > 0)

    def tolerance(self, query: np.ndarray) -> np.ndarray:
        """1e-5 relative; near zero, what float32 sums of these magnitudes can lose to cancellation."""
        x = np.linalg.norm(self.items.astype(np.float64), axis=1)
        q = np.linalg.norm(np.asarray(query, dtype=np.float64))
        size = {"ip": x * q, "cosine": np.ones_like(x), "l2": (x + q) ** 2}[self.metric]
        return 1e-5 * np.abs(self.scores(query)) + 1e-6 * size

    def order(self, query: np.ndarray, leave_out=()) -> list[str]:
        """All ids best first, ties by the bytes of the id."""
        scores = self.scores(query)
        sign = 1 if self.metric == "l2" else -1
        kept = [i for i in self.ids if i not in set(leave_out)]
        return sorted(kept, key=lambda i: (sign * scores[self.rows[i]], i.encode()))

    def check_exact(self, answer: list[tuple], query: np.ndarray, k: int, leave_out=(), map_score=None) -> None:
        """`answer` [(id bytes, score)] is the exact top k: right scores, right order, ties by id, nothing better left out.

        `map_score` is a rising function that the command applies to the metric's score. Rounding may make two mapped
        scores equal that were not, so ties are judged only without one.
        """
        mapped = map_score or float
        scores, tolerance = self.scores(query), self.tolerance(query)
        left_out = set(leave_out)
        eligible = [i for i in self.ids if i not in left_out]
        ids = [i.decode() if isinstance(i, bytes) else i for i, _ in answer]
        assert len(ids) == min(k, len(eligible)), f"{len(ids)} answers for k={k} of {len(eligible)}"
        assert len(set(ids)) == len(ids), "an id came twice"
        assert not left_out & set(ids), "an excluded id came"
        for (_, score), i in zip(answer, ids):
            wanted, slack = scores[self.rows[i]], tolerance[self.rows[i]]
            low, high = mapped(wanted - slack), mapped(wanted + slack)
            assert low <= score <= high, f"score of {i}: {score}, exact {mapped(wanted)}"
        sign = 1 if self.metric == "l2" else -1
        keys = [(sign * s, i.encode() if map_score is None else b"") for (_, s), i in zip(answer, ids)]
        assert keys == sorted(keys), f"not in order, or a tie not broken by id: {answer[:20]}"
        if ids and len(ids) < len(eligible):
            better = 1 if self.metric == "l2" else -1
            worst = max(better * scores[self.rows[i]] for i in ids)
            chosen = set(ids)
            for i in eligible:
                if i not in chosen:
                    assert better * scores[self.rows[i]] >= worst - 2 * tolerance[self.rows[i]], f"{i} was left out"

    def recall(self, ids, query: np.ndarray, k: int) -> float:
        """Share of the answer that is as good as the exact k-th, so that ties count."""
        scores, sign = self.scores(query), (1 if self.metric == "l2" else -1)
        kth = np.sort(sign * scores)[min(k, len(self.ids)) - 1]
        got = [sign * scores[self.rows[i.decode() if isinstance(i, bytes) else i]] for i in ids[:k]]
        return sum(g <= kth + 1e-6 * abs(kth) for g in got) / min(k, len(self.ids))


def make_catalogue(label: str, metric: str, items=1200, users=60, dimension=24, integers=False) -> Catalogue:
    rng = generator(label)
    if integers:  # sums of small integers are exact in float32 in any order, so ties are real ties
        x = rng.integers(-2, 3, (items, dimension)).astype(np.float32)
        u = rng.integers(-2, 3, (users, dimension)).astype(np.float32)
    else:
        x = rng.standard_normal((items, dimension)).astype(np.float32) * rng.lognormal(0, 0.5, (items, 1)).astype(np.float32)
        u = rng.standard_normal((users, dimension)).astype(np.float32)
    # Ids whose byte order is neither the order of the rows nor the order of their numbers; some are not ASCII.
    numbers = rng.permutation(items)
    ids = [f"i{n}" if n % 7 else f"é{n}:ü" for n in numbers]
    return Catalogue(ids, x, [f"u{n}" for n in range(users)], u, metric)


def save_catalogue(catalogue: Catalogue, folder: Path) -> dict:
    """Files as a trainer would leave them; the keyword arguments for `build`."""
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "items.npy", catalogue.items)
    np.save(folder / "users.npy", catalogue.users)
    attributes = [{"id": i, "n": n, "text": f"row {n} \"quoted\""} for n, i in enumerate(catalogue.ids) if n % 3 == 0]
    with open(folder / "attributes.jsonl", "w", encoding="utf-8") as file:
        file.writelines(json.dumps(a, ensure_ascii=False) + "\n" for a in attributes)
    return dict(
        vectors=folder / "items.npy", ids=save_ids(folder / "ids.txt", catalogue.ids), metric=catalogue.metric,
        attributes=folder / "attributes.jsonl",
        users=folder / "users.npy", user_ids=save_ids(folder / "user_ids.txt", catalogue.user_ids),
    )


def attributes_of(catalogue: Catalogue, item: str) -> dict | None:
    n = catalogue.rows[item]
    return {"id": item, "n": n, "text": f"row {n} \"quoted\""} if n % 3 == 0 else None
