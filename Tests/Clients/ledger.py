"""Clients that ask and tell at a constant rate, note what was acknowledged when, and afterwards hold a cluster to it."""

from __future__ import annotations

import functools
import itertools
import threading
import time
from collections import Counter, defaultdict
from dataclasses import dataclass

import lmdb
import numpy as np

import annex
import live
from cluster import Cluster, Node

CUT = 1_790_000_000_000  # events with a time of their own get one from here on


class Differ(AssertionError):
    """Replicas have not all of the same."""


@dataclass
class Entry:
    """One request, with what became of it. Times are seconds of time.monotonic()."""

    shard: int
    kind: str  # TOPK, EVENT (stamped by the server) or EVENT AT
    user: str
    item: str | None
    at: int | None
    due: float
    done: float = 0.0
    ok: bool = False
    errors: tuple[str, ...] = ()  # of the first try, and of the second
    longest_try: float = 0.0  # from sending to the answer

    @property
    def reading(self) -> bool:
        return self.kind == "TOPK"

    @property
    def seconds(self) -> float:
        """From when it was due, so that a wait before it was sent counts."""
        return self.done - self.due


class Worker(threading.Thread):
    """One connection, one shard's users, one request at a time. What fails is tried once more, unless it is an event without
    a time: doing that twice could count it twice."""

    def __init__(self, ledger: "Ledger", shard: int, number: int, rate: float):
        super().__init__(daemon=True)
        self.ledger, self.shard, self.number, self.interval = ledger, shard, number, 1 / rate
        self.users = ledger.cluster.users(shard, 12, f"w{ledger.number}-{number}-{shard}-")
        self.connection: annex.Connection | None = None
        self.entries: list[Entry] = []
        self.broken: BaseException | None = None

    def run(self) -> None:
        try:
            self._run()
        except BaseException as error:  # a reply that is no RESP, say: the test fails with it
            self.broken = error

    def _run(self) -> None:
        started = time.monotonic() + self.interval * self.number / self.ledger.workers_a_shard
        for n in itertools.count():
            due = started + n * self.interval
            if self.ledger.stopping.wait(max(0.0, due - time.monotonic())):
                return
            entry = self._next(n, due)
            tries = 1 if entry.kind == "EVENT" else 2
            for _ in range(tries):
                sent = time.monotonic()
                error = self._try(entry)
                entry.done = time.monotonic()
                entry.longest_try = max(entry.longest_try, entry.done - sent)
                if error is None:
                    entry.ok = True
                    break
                entry.errors += (error,)
            self.entries.append(entry)

    def _next(self, n: int, due: float) -> Entry:
        user, turn = self.users[n % len(self.users)], n // len(self.users)
        if n % 2:
            return Entry(self.shard, "TOPK", user, None, None, due)
        items = self.ledger.items
        item = items[(turn * 31 + self.number) % len(items)]  # no item twice for one user, as long as there are enough
        assert turn < len(items), "the run is too long for so few items"
        # Half of each kind of event to half of the users.
        timed = (n // 2) % 2 == 0
        return Entry(self.shard, "EVENT AT" if timed else "EVENT", user, item, CUT + n if timed else None, due)

    def _try(self, entry: Entry) -> str | None:
        """What went wrong."""
        try:
            if self.connection is None:
                self.connection = self.ledger.connect(self.shard, self.number)
            if entry.reading:
                reply = self.connection.call("TOPK", entry.user, 10, "HISTORY", 1, self.ledger.items[0])
                assert len(reply) == 10, f"{len(reply)} answers"
            else:
                reply = self.connection.call("EVENT", entry.user, entry.item, *(["AT", entry.at] if entry.at is not None else []))
                assert reply == "OK", reply
            return None
        except annex.ServerError as error:
            return str(error)
        except (OSError, EOFError) as error:
            if self.connection is not None:
                self.connection.socket.close()
            self.connection = None
            return f"connection: {error!r}"


class Ledger:
    """`with Ledger(…) as ledger:` is load; `entries` is what became of it.

    `rate` is requests a second of each shard's users, half of them TOPK, half EVENTs, half of those with a time of their own.
    Each shard has workers of its own, so that one that hangs does not slow down the others' clients. With `direct` they ask
    no router but one replica of their shard, half of them each, and stay there, as a client does that is cut off together with it.
    """

    _made = itertools.count()

    def __init__(self, cluster: Cluster, items: list[str], rate: float = 120, workers_a_shard: int = 4, direct: bool = False,
                 timeout: float = 3):
        self.cluster, self.items, self.timeout, self.direct = cluster, items, timeout, direct
        self.number, self.workers_a_shard, self.stopping = next(self._made), workers_a_shard, threading.Event()
        self.workers = [Worker(self, shard, n, rate / workers_a_shard)
                        for shard in range(len(cluster.shards)) for n in range(workers_a_shard)]

    def connect(self, shard: int, number: int) -> annex.Connection:
        replicas = self.cluster.shards[shard]
        return (replicas[number % len(replicas)] if self.direct else self.cluster.router).connect(self.timeout)

    def __enter__(self) -> "Ledger":
        for worker in self.workers:
            worker.start()
        return self

    def __exit__(self, *_) -> None:
        self.stopping.set()
        for worker in self.workers:
            worker.join(3 * self.timeout)
            if worker.connection is not None:
                worker.connection.socket.close()
            assert not worker.is_alive(), "a client hangs"

    def wait_for(self, count: int, within: float = 30, shards=None, where=lambda entry: True) -> None:
        """While the load runs: until each shard's users have `count` more answers (all, or those that `where` says)."""
        workers = {shard: [w for w in self.workers if w.shard == shard] for shard in shards or range(len(self.cluster.shards))}
        before = {worker: len(worker.entries) for worker in self.workers}

        def fresh(shard: int) -> int:
            return sum(bool(where(entry)) for worker in workers[shard] for entry in worker.entries[before[worker]:])

        annex.wait_until(lambda: self._broken or all(fresh(shard) >= count for shard in workers), within, f"{count} answers of each shard")

    @property
    def _broken(self) -> BaseException | None:
        return next((worker.broken for worker in self.workers if worker.broken is not None), None)

    @functools.cached_property
    def entries(self) -> list[Entry]:
        """All requests, by the time of their answers; of a ledger that is closed."""
        assert self.stopping.is_set(), "the ledger is still written"
        if self._broken is not None:
            raise self._broken
        return sorted((entry for worker in self.workers for entry in worker.entries), key=lambda e: e.done)

    @functools.cached_property
    def successes(self) -> dict[tuple[int, bool], np.ndarray]:
        """(shard, reading) -> times of answers, ascending."""
        found: dict[tuple[int, bool], list[float]] = defaultdict(list)
        for e in self.entries:
            if e.ok:
                found[e.shard, e.reading].append(e.done)
        return {key: np.array(times) for key, times in found.items()}

    # What happened.

    def of(self, shards=None, reading: bool | None = None, begin: float = 0, end: float = float("inf")) -> list[Entry]:
        """Entries that were due in a stretch of time."""
        return [e for e in self.entries if begin <= e.due <= end and (shards is None or e.shard in shards)
                and (reading is None or e.reading == reading)]

    def outage(self, shard: int, reading: bool, begin: float, end: float) -> float:
        """The longest time without a success for a shard's users that touches a stretch of time; one that lasts to the end of
        what was written counts."""
        times = self.successes.get((shard, reading), np.array([]))
        first, last = np.searchsorted(times, begin), np.searchsorted(times, end)
        before = times[first - 1] if first > 0 else begin
        after = times[last] if last < len(times) else max(end, self.entries[-1].done)
        return float(np.max(np.diff([before, *times[first:last], after])))

    def failed(self, **which) -> list[Entry]:
        return [e for e in self.of(**which) if not e.ok]

    def errors(self, **which) -> Counter:
        """First words of what went wrong, first tries too."""
        return Counter(error.split(" ")[0] for e in self.of(**which) for error in e.errors)

    # What has to be.

    @functools.cached_property
    def acknowledged(self) -> dict[tuple[str, str], int | None]:
        """(user, item) -> its time, where the client gave one."""
        return {(e.user, e.item): e.at for e in self.entries if e.ok and not e.reading}

    def missing(self, node: Node, shard: int) -> list[tuple[str, str]]:
        """Acknowledged events that a replica does not say that it has seen, with their times."""
        users: dict[str, dict[str, int | None]] = {}
        for (user, item), at in self.acknowledged.items():
            if self.cluster.shard_of(user) == shard:
                users.setdefault(user, {})[item] = at
        lost = []
        with node.connect() as c:
            for user, events in users.items():
                seen = dict(live.seen(c, user))
                lost += [(user, item) for item, at in events.items() if item not in seen or at not in (None, seen[item])]
        return lost

    def check_nothing_lost(self, within: float = 30) -> int:
        """Every acknowledged event is on every replica of its shard; how many there are."""
        for shard, nodes in enumerate(self.cluster.shards):
            for node in nodes:
                annex.wait_until(lambda: not self.missing(node, shard), within, f"{node.name} has all: {self.missing(node, shard)[:5]}")
        return len(self.acknowledged)

    def check_files(self) -> int:
        """Of stopped replicas, by LMDB's own Python package: all that was acknowledged, once each, and nothing that was not
        sent; the replicas of a shard hold the same. How many records there are.

        Raises Differ where they differ in what was not acknowledged: of a command that was on its way when its connection was
        cut, the log may have got the bytes just now, and only one of them read it before it was stopped.
        """
        sent = {(e.user, e.item): e.at for e in self.entries if not e.reading}
        mine, total = {user for worker in self.workers for user in worker.users}, 0
        for shard, nodes in enumerate(self.cluster.shards):
            found = []
            for node in nodes:
                try:
                    records = [r for r in live.stored_events(self.cluster.state(node) / live.STATE) if r[0] in mine]
                except lmdb.Error as error:
                    raise AssertionError(f"{node.name}'s state cannot be read: {error}") from error
                keys = [(user, item) for user, item, _, _ in records]
                foreign = [user for user, _ in keys if self.cluster.shard_of(user) != shard]
                assert not foreign, f"{node.name} keeps {len(foreign)} events of users of other shards, of {foreign[0]} for one"
                assert len(keys) == len(set(keys)), f"{node.name}: counted twice: {[k for k, n in Counter(keys).items() if n > 1][:5]}"
                assert set(keys) <= set(sent), f"{node.name}: never sent: {sorted(set(keys) - set(sent))[:5]}"
                wrong = [k for k, (_, _, at, _) in zip(keys, records) if sent[k] not in (None, at)]
                assert not wrong, f"{node.name}: other times: {wrong[:5]}"
                lost = {k for k in self.acknowledged if self.cluster.shard_of(k[0]) == shard} - set(keys)
                assert not lost, f"{node.name}: lost: {sorted(lost)[:5]}"
                found.append(sorted(records))
                total += len(records)
            for node, records in zip(nodes, found):
                other = set(records) ^ set(found[0])
                known = [r for r in other if r[:2] in self.acknowledged]
                assert not known, f"{node.name} and {nodes[0].name} differ in acknowledged events: {sorted(known)[:4]}"
                if other:
                    raise Differ(f"{node.name} and {nodes[0].name} differ in {len(other)} events: {sorted(other)[:4]}")
        return total
