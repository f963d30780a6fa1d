"""Commands that ask for as much as they may: every command, its options at their limits, and clients that do not read.

`Draw` is a seeded generator. What it draws is legal, or refused with an error; it is meant to be sent by many clients at once
while somebody watches memory and a PING.
"""

from __future__ import annotations

import select
import socket
import threading

import numpy as np

import annex
import latency_probe


class Draw:
    """- `items`: ids of the index; `users`: ids that it knows; `dimension`: of its vectors."""

    def __init__(self, seed: int, index: str, items: list[str], users: list[str], dimension: int):
        self.random = np.random.default_rng(seed)
        self.index, self.items, self.users, self.dimension = index, items, users, dimension
        self.kinds = [getattr(self, name) for name in sorted(dir(self)) if name.startswith("draw_")]

    def next(self) -> tuple:
        return self.kinds[self.random.integers(len(self.kinds))]()

    # --- Pieces -----------------------------------------------------------------------------------------------------------

    def pick(self, *choices):
        return choices[self.random.integers(len(choices))]

    def user(self) -> str:
        return self.pick(self.users[self.random.integers(len(self.users))], "nobody", "x" * 255)

    def item(self) -> str:
        return self.pick(self.items[self.random.integers(len(self.items))], "absent")

    def many_items(self, at_most: int) -> list[str]:
        count = int(self.pick(1, 100, 5_000, at_most))
        known = [self.items[n] for n in self.random.integers(len(self.items), size=min(count, 2_000))]
        # The longest ids that there are: 65,000 of them are a command of nearly 16 MiB.
        return known + [f"{n:0>240}" for n in range(count - len(known))]

    def options(self) -> list:
        words: list = []
        if self.random.random() < 0.6:
            words.append("WITHATTRIBS")
        if self.random.random() < 0.5:
            words.append("WITHSCORES")
        if self.random.random() < 0.3:
            words.append("WITHSEEN")
        if self.random.random() < 0.2:
            words.append("TRUTH")
        if self.random.random() < 0.3:
            out = self.many_items(60_000)
            words += ["EXCLUDE", len(out), *out]
        elif self.random.random() < 0.2:
            history = self.many_items(60_000)
            words += ["HISTORY", len(history), *history]
        return words

    # --- Commands ---------------------------------------------------------------------------------------------------------

    def draw_topk(self):
        return ("TOPK", self.user(), self.pick(1, 100, 10_000), *self.options())

    def draw_mtopk(self):
        count = int(self.pick(1, 1_000, 25_000))
        users = [self.users[n] for n in self.random.integers(len(self.users), size=count)]
        return ("MTOPK", count, *users, max(1, min(10_000, 100_000 // count)), "WITHATTRIBS",
                *(["WITHSCORES"] if self.random.random() < 0.5 else []))

    def draw_score(self):
        items = self.many_items(60_000)
        return ("SCORE", self.user(), len(items), *items)

    def draw_vsim(self):
        query = self.pick(("ELE", self.item()), ("FP32", self.random.normal(size=self.dimension).astype("<f4").tobytes()),
                          ("FP32", bytes(4 * self.dimension)))
        return ("VSIM", self.index, *query, "COUNT", self.pick(1, 1_000, 10_000), "WITHATTRIBS",
                *(["WITHSCORES"] if self.random.random() < 0.5 else []))

    def draw_members(self):
        return self.pick(("VRANDMEMBER", self.index, self.pick(-10_000, 10_000, 1)), ("VGETATTR", self.index, self.item()),
                         ("VEMB", self.index, self.item()), ("VLINKS", self.index, self.item(), "WITHSCORES"),
                         ("VINFO", self.index))

    def draw_of_users(self):
        user = self.user()
        return self.pick(("SEEN", user, "WITHTIMES"), ("SEEN", user, "COUNT", 10), ("EXPLAIN", user, self.item(), "COUNT", 10_000),
                         ("WHYNOT", user, self.item(), 10_000))

    def draw_events(self):
        user = f"w{self.random.integers(500)}"
        return self.pick(("EVENT", user, self.item()), ("EVENT", user, self.item(), "2.5"), ("EVENT.DEL", user, self.item()),
                         ("FORGET", f"w{self.random.integers(50_000)}"))

    def draw_together(self):
        words: list = []
        for n in range(int(self.pick(1, 100, 500, 501))):
            user = f"{{w}}{self.random.integers(50_000)}"
            change = self.pick(("EVENT", user, self.item()), ("EVENT.DEL", user, self.item()), ("FORGET", user))
            words += [len(change), *change]
        return ("ATOMIC", "{w}", *words)

    def draw_transaction(self):
        return (self.pick("MULTI", "MULTI", "EXEC", "DISCARD"),)

    def draw_server(self):
        return self.pick(("INFO", "everything"), ("COMMAND", "DOCS"), ("COMMAND",), ("CLIENT", "LIST"), ("SLOWLOG", "GET", -1),
                         ("LATENCY", "HISTOGRAM"), ("CONFIG", "GET", "*"), ("INDEXES",), ("SCAN", 0), ("DBSIZE",),
                         ("MEMORY", "USAGE", self.index))

    def draw_long(self):
        return self.pick(("ECHO", "e" * (1 << 20)), ("PING", "p" * (1 << 20)),
                         ("EXISTS", *self.many_items(60_000)), ("x" * 65_000, *["y" * 1_000] * 50),
                         ("TOPK", "u" * (1 << 20), 5))


class Client(threading.Thread):
    """Sends what its generator draws until told to stop; reads all, or nothing for a while, or leaves in the middle."""

    def __init__(self, port: int, draw: Draw, version: int, stop: threading.Event):
        super().__init__(daemon=True)
        self.port, self.draw, self.version, self.stop = port, draw, version, stop
        self.sent = self.read_bytes = self.left = self.dropped = 0

    def run(self) -> None:
        latency_probe.behind_others()
        while not self.stop.is_set():
            try:
                self.session()
            except (ConnectionError, TimeoutError, OSError):
                self.dropped += 1  # an eviction, or a limit: the server may do that to a client, and goes on itself
                annex.pace(0.01)

    def session(self) -> None:
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as connection:
            if self.version == 3:
                connection.sendall(annex.encode("HELLO", 3))
            manner = self.draw.pick("reads", "reads", "reads", "slow", "leaves")
            for _ in range(int(self.draw.pick(1, 4, 16))):
                if self.stop.is_set():
                    return
                connection.sendall(annex.encode(*self.draw.next()))
                self.sent += 1
                if manner == "reads":
                    self.take(connection, 0.3)
            if manner == "slow":
                annex.pace(0.3)
                self.take(connection, 0.3)
            self.left += manner == "leaves"

    def take(self, connection: socket.socket, quiet: float) -> None:
        """Reads until nothing comes any more."""
        while select.select([connection], [], [], quiet)[0]:
            piece = connection.recv(1 << 20)
            if not piece:
                raise ConnectionError("closed")
            self.read_bytes += len(piece)
            quiet = 0.02


def anonymous_bytes(pid: int) -> int:
    """RssAnon: what a process holds for itself, without mapped files."""
    with open(f"/proc/{pid}/status") as file:
        for line in file:
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) << 10
    raise AssertionError("no RssAnon in /proc")
