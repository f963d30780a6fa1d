"""A shard is restarted replica by replica while the next one is far behind its log: nothing fails, and nothing is old.

The steps are those of systemd's units and of a StatefulSet: stop one, start it, wait for READY, go on to the next.
ANNEX_BEHIND: events that are written while a replica is away.
"""

import random
import subprocess
import threading
import time

import annex
from cluster import PASSWORD, Cluster
from cluster_network import Loopback

INDEX = "ip-hnsw"
AT = 1_700_000_000_000


class Reader(threading.Thread):
    """Asks the router for answers and for what users have seen, until told to stop; keeps what failed.

    `known`: users of the version; `users`: users who have events."""

    def __init__(self, router, known: list[str], users: list[str]):
        super().__init__(daemon=True)
        self.router, self.known, self.users, self.over = router, known, users, threading.Event()
        self.asked, self.failed = 0, []
        self.random = random.Random(annex.SEED)

    def run(self) -> None:
        with self.router.connect(timeout=30) as c:
            while not self.over.is_set():
                for command in (("TOPK", self.random.choice(self.known), 5), ("SEEN", self.random.choice(self.users))):
                    self.asked += 1
                    try:
                        c.call(*command)
                    except annex.ServerError as error:
                        self.failed.append(str(error))
                annex.pace(0.002)


def ingest(cluster, rows, folder) -> float:
    """Sends events as an operator would; the seconds that it took."""
    file, password = folder / f"events-{rows[0][2]}.tsv", folder / "password"
    file.write_text("".join(f"{user}\t{item}\t1\t{at}\n" for user, item, at in rows))
    password.write_text(PASSWORD + "\n")
    began = time.monotonic()
    done = subprocess.run(
        [annex.annctl_path(), "ingest", str(file), "--host", cluster.router.address, "--port", str(cluster.router.port), "--index", INDEX,
         "--password-file", str(password)], capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-2_000:]
    return time.monotonic() - began


def wait_for_ready(cluster, node) -> float:
    """What the unit runs behind a start; the seconds that it took."""
    began = time.monotonic()
    done = annex.run_annctl("query", "--host", node.address, "--port", node.port, "--password-file", cluster.folder / "password", "--wait", 900,
                            "READY", timeout=960)
    assert done.returncode == 0 and done.stdout.strip() == "OK", annex.said(done)
    return time.monotonic() - began


def test_a_rolling_restart_far_behind_the_log(indexes, catalogues, tmp_path, fact):
    behind = annex.setting("ANNEX_BEHIND", 20_000)
    ids = catalogues[INDEX].ids
    with Loopback() as network, Cluster(indexes[INDEX], tmp_path / "cluster", network, shards=1, replicas=2) as cluster:
        users = [f"roll{n}" for n in range(500)]
        ingest(cluster, [(user, ids[0], AT) for user in users], tmp_path)
        reader = Reader(cluster.router, catalogues[INDEX].user_ids, users)
        reader.start()
        told, seconds = [], []
        for turn, node in enumerate(cluster.replicas):
            node.stop()
            rows = [(users[n % 500], ids[n % len(ids)], AT + 1 + turn * behind + n) for n in range(behind)]
            sending = ingest(cluster, rows, tmp_path)
            node.start()
            annex.wait_until(lambda: node.answers(), 60, "it listens")
            with node.connect() as c:
                try:
                    told.append(c.call("READY"))
                except annex.ServerError as error:
                    told.append(str(error))
            seconds.append((sending, wait_for_ready(cluster, node)))
            # Ready is caught up: what was written while it was away is there.
            assert all(ids[n % len(ids)].encode() in cluster.seen(node, users[n % 500]) for n in range(behind - 50, behind))
        reader.over.set()
        reader.join(60)
    fact(f"each of two replicas restarted {behind} events behind: {reader.asked} reads meanwhile, {len(reader.failed)} failed; first READY "
         f"{told}; seconds to write and to be ready {[(round(a, 1), round(b, 1)) for a, b in seconds]}")
    assert reader.asked > 100
    assert not reader.failed, reader.failed[:5]
    assert all(text.startswith("LOADING not ready: log") for text in told) or behind < 100_000, told


def test_the_next_replica_stops_as_soon_as_the_last_is_ready(indexes, catalogues, tmp_path, fact):
    """The router tries ever less often to connect to a replica that is down: it must not be the last to know that it is back."""
    users = catalogues[INDEX].user_ids
    with Loopback() as network, Cluster(indexes[INDEX], tmp_path / "cluster", network, shards=1, replicas=2) as cluster:
        reader = Reader(cluster.router, users, users)
        reader.start()
        for _ in range(3):
            for node in cluster.replicas:
                node.stop()
                annex.lasting(2.5, "the replica is away: the next attempt to connect is up to 2 s off by then")
                node.start()
                annex.wait_until(lambda: node.answers(), 60, "it listens")
                wait_for_ready(cluster, node)
        reader.over.set()
        reader.join(60)
    fact(f"six stops in a row, each as soon as the other replica was ready: {reader.asked} reads meanwhile, {len(reader.failed)} failed")
    assert reader.asked > 500
    assert not reader.failed, reader.failed[:5]
