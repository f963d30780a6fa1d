"""What can happen to a cluster under test, in any order drawn by a seed, and the proof afterwards that nothing was lost."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

import numpy as np

import annex
from cluster import Cluster, Node
from ledger import Differ, Ledger


@dataclass
class Fault:
    kind: str
    shard: int
    node: Node
    begin: float
    end: float = 0.0


class Trouble(threading.Thread):
    """Faults of one shard's replicas, one after the other, drawn by a seed, until told to stop; each is mended before the next."""

    def __init__(self, cluster: Cluster, shard: int, kinds: list[str], stop: threading.Event):
        super().__init__(daemon=True)
        self.cluster, self.shard, self.kinds, self.stop = cluster, shard, kinds, stop
        self.rng, self.faults, self.broken = annex.generator(f"trouble {shard}"), [], None

    def run(self) -> None:
        try:
            while not self.stop.wait(float(self.rng.uniform(0.3, 1.5))):
                self._one()
        except BaseException as error:
            self.broken = error

    def _one(self) -> None:
        node = self.cluster.shards[self.shard][int(self.rng.integers(2))]
        kind = self.kinds[len(self.faults)] if len(self.faults) < len(self.kinds) else str(self.rng.choice(self.kinds))  # each at least once
        fault = Fault(kind, self.shard, node, time.monotonic())
        inject(self.cluster, kind, node)
        self.stop.wait(float(self.rng.uniform(0.5, 3)))
        mend(self.cluster, kind, node)
        fault.end = time.monotonic()
        self.faults.append(fault)
        annex.wait_until(lambda: self._is_whole(node), 20, f"{node.name} is whole again after {kind}")

    def _is_whole(self, node: Node) -> bool:
        user, item = self.cluster.users(self.shard, 1, f"whole-again{len(self.faults)}-")[0], self.cluster.item
        return (self.cluster.health(self.cluster.router)[node.name] == "healthy" and node.answers("EVENT", user, item)
                and node.answers("SEEN", user))


def inject(cluster: Cluster, kind: str, node: Node) -> None:
    match kind:
        case "kill": node.kill()
        case "stop": node.pause()
        case "cut": cluster.cut(node)
        case "cut from log": cluster.cut(node, cluster.log)
        case "cut from router": cluster.cut(node, *cluster.routers)


def mend(cluster: Cluster, kind: str, node: Node) -> None:
    match kind:
        case "kill": node.start()
        case "stop": node.resume()
        case _: cluster.heal(node)


def kinds(cluster: Cluster) -> list[str]:
    """Of faults that this cluster's network allows."""
    return ["kill", "stop"] + (["cut", "cut from log", "cut from router"] if cluster.network.can_cut else [])


def prove(cluster: Cluster, *ledgers: Ledger) -> str:
    """Nothing acknowledged is lost: by SEEN of every replica, then in the files of stopped ones. What was counted."""
    cluster.mend()
    acknowledged = sum(ledger.check_nothing_lost() for ledger in ledgers)
    for last in (False, False, True):
        for node in cluster.replicas:
            assert node.stop() == 0, node.text()[-2000:]
        try:
            records = sum(ledger.check_files() for ledger in ledgers)
            break
        except Differ:
            if last:
                raise
            cluster.mend()  # each reads the rest
    assert acknowledged > 0
    return f"{acknowledged} events acknowledged, 0 lost, 0 twice, {records} records on {len(cluster.replicas)} replicas"


# Seconds: what a read of a shard takes that waits for another shard's deadline.
LATE = 0.1


def ratio(ledger: Ledger, windows: list[tuple[int, float, float]]) -> tuple[float, float, int]:
    """Of reads of shards while something happened to another, `windows` of (shard, begin, end): their p99 by that of other times,
    below 5 ms taken for 5 ms, as this is no benchmark; the share that came late; how many reads.

    One read in a hundred may have waited for the machine: a shard that waits for another has many."""
    during = {id(e) for shard, begin, end in windows for e in ledger.of([shard], True, begin, end)}
    reads = [e for e in ledger.of({shard for shard, _, _ in windows}, True) if e.ok]
    touched = [e.seconds for e in reads if id(e) in during]
    quiet = [e.seconds for e in reads if id(e) not in during]
    p99 = float(np.percentile(touched, 99))
    return p99 / max(0.005, float(np.percentile(quiet, 99))), sum(s > LATE for s in touched) / len(touched), len(touched)
