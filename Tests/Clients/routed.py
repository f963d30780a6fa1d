"""Shards and a router before them, to be used by tests as if they were one server."""

from __future__ import annotations

import binascii
import subprocess
from pathlib import Path

import annex

SLOTS = 16_384


def slot_of(key: bytes | str) -> int:
    """As Redis Cluster has it, hash tags honoured; CRC16 is Python's own."""
    key = key.encode() if isinstance(key, str) else key
    start = key.find(b"{")
    end = key.find(b"}", start + 1)
    if start >= 0 and end > start + 1:
        key = key[start + 1:end]
    return binascii.crc_hqx(key, 0) % SLOTS


def topology(path: Path, shards, epoch=1, router=None) -> Path:
    """Writes `[(slots, [port, …]), …]`; in one step, as a router may look at it any time."""
    lines = [f"epoch: {epoch}", "shards:"]
    for slots, ports in shards:
        lines += [f"  - slots: {slots}", f"    replicas: [{', '.join(f'127.0.0.1:{port}' for port in ports)}]"]
    if router:
        lines += ["router:", *(f"  {key}: {value}" for key, value in router.items())]
    new = path.with_suffix(".new")
    new.write_text("\n".join(lines) + "\n")
    new.replace(path)
    return path


class Process(annex.Server):
    """`annctl serve` or `route` on a port that was chosen before it started, since the topology names it."""

    def __init__(self, port: int, words, log: Path, password: str | None = None):
        super().__init__(log=log, password=password)
        self.port, self.words = port, words

    def start(self) -> "Process":
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [annex.annctl_path(), *map(str, self.words), "--port", str(self.port)], stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, preexec_fn=annex.raise_descriptor_limit)
        return self

    def __enter__(self) -> "Process":
        self.start()
        return self.ready()

    def ready(self) -> "Process":
        if not self._wait_until_ready():
            self.stop()
            raise AssertionError(f"{self.words[0]} did not answer PING; exit {self.process.returncode}; log:\n{self.text()}")
        return self


def ranges(shards: int) -> list[str]:
    ends = [SLOTS * n // shards for n in range(shards + 1)]
    return [f"{a}-{b - 1}" for a, b in zip(ends, ends[1:])]


class Routed(Process):
    """A router with `shards` × `replicas` of the same indexes; without a log, so events need one replica a shard."""

    def __init__(self, *indexes, folder: Path, shards=2, replicas=1, options=(), route=(), state=False, router=None):
        folder.mkdir(parents=True, exist_ok=True)
        self.file = folder / "cluster.yaml"
        self.slots = ranges(shards)
        ports = [[annex.free_port() for _ in range(replicas)] for _ in range(shards)]
        self.layout = list(zip(self.slots, ports))
        topology(self.file, self.layout, router=router)
        self.shards = []
        for number, (slots, places) in enumerate(self.layout):
            row = []
            for place, port in enumerate(places):
                live = ["--state", folder / f"state-{number}-{place}"] if state else []
                words = ["serve", *indexes, "--slots", slots, "--cluster", self.file, *live, *options]
                row.append(Process(port, words, folder / f"shard-{number}-{place}.log"))
            self.shards.append(row)
        super().__init__(annex.free_port(), ["route", "--config", self.file, *route], folder / "router.log")

    @property
    def replicas(self) -> list[Process]:
        return [process for row in self.shards for process in row]

    def __enter__(self) -> "Routed":
        try:
            for process in self.replicas:
                process.start()
            for process in self.replicas:
                process.ready()
            super().__enter__()
            annex.wait_until(self.all_well, 10, "the router holds all replicas to be healthy")
            return self
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_) -> None:
        for process in [self, *self.replicas]:
            if process.process is not None:
                process.stop()

    def health(self) -> list[str]:
        with self.connect() as c:
            lines = c.call("INFO", "replicas").decode().splitlines()
        return [line.split("state=")[1].split(",")[0] for line in lines if line.startswith("replica_")]

    def all_well(self) -> bool:
        return set(self.health()) == {"healthy"}

    def figures(self) -> dict[str, int]:
        """INFO router; counted twice a second."""
        with self.connect() as c:
            lines = c.call("INFO", "router").decode().splitlines()
        return {k: int(v) for k, v in (line.split(":") for line in lines if ":" in line)}
