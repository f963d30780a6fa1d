"""Copies of changes that come late: through a router in front of replicas, or a log, that stood still."""

import re
import subprocess
import threading
import time

import pytest

import annex
import live
from annex import encode
from cluster import PASSWORD, Cluster
from cluster_network import Loopback

INDEX = "ip-hnsw"
AT = 1_700_000_000_000
USERS = 40


@pytest.fixture
def cluster(indexes, tmp_path):
    with Loopback() as network, Cluster(indexes[INDEX], tmp_path / "cluster", network, shards=1, replicas=2) as cluster:
        yield cluster


def figures(node) -> dict[str, int]:
    """The numbers of INFO's line of the log."""
    with node.connect() as c:
        line = next(l for l in c.call("INFO", "log").decode().splitlines() if l.startswith(f"log_{INDEX}:"))
    return {name: int(value) for name, value in re.findall(r"(\w+)=(-?\d+)", line.split(",problem=")[0])}


def caught_up(cluster) -> None:
    """Each says of a moment after this call that it had all that the log has; INFO's figures are up to a tenth of a second old."""
    begun = time.monotonic()

    def has_all(node) -> bool:
        found, age = figures(node), 1000 * (time.monotonic() - begun) - 100
        return found["lag_events"] == 0 and 0 <= found["lag_ms"] < min(age, 1_000)

    annex.wait_until(lambda: all(has_all(node) for node in cluster.replicas), 20, "all is applied")


def send_from_each(cluster, commands) -> list:
    """Each on a connection of its own, all at once; the replies."""
    connections = [cluster.router.connect(timeout=10) for _ in commands]
    try:
        for c, command in zip(connections, commands):
            c.send(encode(*command))
        return [c.read() for c in connections]
    finally:
        for c in connections:
            c.socket.close()


@pytest.mark.parametrize("ack", ["replica", "log"])
def test_a_forgotten_user_does_not_come_back(indexes, catalogues, tmp_path, fact, ack):
    """A replica stops while it owes the router replies to events; these are taken by the other, acknowledged, and their users
    are forgotten. Then the first goes on, with the events in its sockets."""
    item = catalogues[INDEX].ids[0]
    users = [f"late{n}" for n in range(USERS)]
    with Loopback() as network, Cluster(indexes[INDEX], tmp_path / "cluster", network, shards=1, replicas=2, ack=ack) as cluster:
        stopped, other = cluster.replicas
        # The router has connections for changes to both.
        assert set(send_from_each(cluster, [("EVENT", f"warm{n}", item, 1, "AT", AT) for n in range(20)])) == {"OK"}
        stopped.pause()
        replies = send_from_each(cluster, [("EVENT", user, item, 1, "AT", AT) for user in users])
        assert set(replies) == {"OK"}, replies
        with other.connect() as c:
            annex.wait_until(lambda: all(c.call("SEEN", user) == [item.encode()] for user in users), 10, "the other has all")
            assert [c.call("FORGET", user) for user in users] == [1] * USERS
            before = c.call("INFO", "errorstats")
        stopped.resume()
        annex.wait_until(lambda: stopped.answers(), 5, "the replica answers again")
        caught_up(cluster)
        with stopped.connect() as c:
            refused = re.search(r"errorstat_TIMEOUT:count=(\d+)", c.call("INFO", "errorstats").decode())
        back = {node.name: sum(cluster.seen(node, user) != [] for user in users) for node in cluster.replicas}
        late = int(refused.group(1)) if refused else 0
        fact(f"--ack {ack}: {USERS} events acknowledged beside a stopped replica, users forgotten, {late} late copies refused, "
             f"users that came back: {back}")
        assert late > 0 or set(back.values()) != {0}, f"no copy was late, the test says too little: {before}"
        assert set(back.values()) == {0}, back


def test_what_the_log_gets_too_late_counts_at_no_replica(cluster, catalogues, fact):
    """The log stands still with changes in its sockets. What it takes afterwards stands behind its end: no replica counts it, and
    all count how many there were."""
    item = catalogues[INDEX].ids[0]
    users = [f"log{n}" for n in range(USERS)]
    assert set(send_from_each(cluster, [("EVENT", f"warm{n}", item, 1, "AT", AT) for n in range(20)])) == {"OK"}
    caught_up(cluster)
    cluster.log.pause()
    replies = send_from_each(cluster, [("EVENT", user, item, 1, "AT", AT) for user in users])
    annex.lasting(0.3, "the log stands still")
    cluster.log.resume()
    assert all(str(reply).startswith("TIMEOUT") or "MASTERDOWN" in str(reply) or "CLUSTERDOWN" in str(reply) for reply in replies), replies
    annex.wait_until(lambda: all(node.answers("READY") for node in cluster.replicas), 10, "the replicas follow again")
    caught_up(cluster)
    found = [figures(node) for node in cluster.replicas]
    stored = [[user for user in users if cluster.seen(node, user)] for node in cluster.replicas]
    fact(f"{USERS} events into a log that stands still: {[f['expired'] for f in found]} entries came too late, {len(stored[0])} count; "
         f"clock of the log ahead by {[f['clock_ahead_ms'] for f in found]} ms")
    assert found[0]["expired"] == found[1]["expired"] > 0
    assert stored == [[], []]
    assert all(abs(f["clock_ahead_ms"]) < 50 for f in found)
    # All is well again.
    assert set(send_from_each(cluster, [("EVENT", user, item, 1, "AT", AT) for user in users[:5]])) == {"OK"}


def test_a_change_says_that_it_was_too_late(cluster, catalogues):
    """DEADLINE by hand: refused at the door, stored before its end, with a limit of its own in the log."""
    item = catalogues[INDEX].ids[0]
    with cluster.replicas[0].connect() as c:
        for command in (("EVENT", "u", item), ("EVENT", "u", item, 1, "AT", AT), ("EVENT.DEL", "u", item), ("FORGET", "u")):
            assert c.call("DEADLINE", live.now() - 1) == "OK"
            error = c.error(*command)
            assert error.code == "TIMEOUT" and "nothing was stored" in str(error), error
        assert c.call("SEEN", "u") == []
        until = live.now() + 5_000
        assert c.call("DEADLINE", until) == "OK" and c.call("EVENT", "u", item) == "OK"
        assert c.call("SEEN", "u") == [item.encode()]
        assert c.call("FORGET", "u") == 1
    with cluster.log.connect() as c:
        entries = [entry for block in range(16) for _, entry in c.call("XRANGE", f"annex:{{{INDEX}}}:events:{block:02d}", "-", "+")]
    assert [entry[entry.index(b"until") + 1] for entry in entries if b"until" in entry and b"u" in entry] == [str(until).encode()]
    assert sum(b"until" not in entry for entry in entries) >= 1, "one that nobody sent with an end has none"


def test_equal_stamps_keep_their_order_while_replicas_stop(cluster, catalogues, tmp_path, fact):
    """`annctl ingest` through a router: four weights in a row for each user, item and time. The last one stays, whatever stops."""
    ids, rounds = catalogues[INDEX].ids, annex.setting("ANNEX_STAMP_ROUNDS", 6)
    users = [f"stamp{n}" for n in range(800)]
    rows = [(user, ids[turn], weight, AT + turn) for turn in range(rounds) for weight in (1, 2, 3, 4) for user in users]
    file, password = tmp_path / "events.tsv", tmp_path / "password"
    file.write_text("".join(f"{user}\t{item}\t{weight}\t{at}\n" for user, item, weight, at in rows))
    password.write_text(PASSWORD + "\n")
    stops, over = 0, threading.Event()

    def trouble():
        nonlocal stops
        while not over.is_set() and stops < 6:
            node = cluster.replicas[stops % 2]
            node.pause()
            stops += 1
            annex.lasting(0.8, "the replica stands still")
            node.resume()
            over.wait(0.9)

    thread = threading.Thread(target=trouble)
    thread.start()
    began = time.monotonic()
    done = subprocess.run(
        [annex.annctl_path(), "ingest", str(file), "--host", cluster.router.address, "--port",
         str(cluster.router.port), "--index", INDEX, "--password-file", str(password)],
        capture_output=True, text=True, timeout=120)
    took = time.monotonic() - began
    over.set()
    thread.join()
    assert done.returncode == 0, done.stderr[-2_000:]
    caught_up(cluster)
    wrong = {}
    for node in cluster.replicas:
        node.stop()
        stored = {(u, i, at): weight for u, i, at, weight in live.stored_events(cluster.state(node) / live.STATE)}
        assert len(stored) >= len(users) * rounds
        wrong[node.name] = sum(stored[user, ids[turn], AT + turn] != 4 for user in users for turn in range(rounds))
    fact(f"{len(rows)} events of {len(users)} users in {took:.1f} s through {stops} stops: weights that are not the last {wrong}")
    assert stops > 1, "too little went wrong"
    assert set(wrong.values()) == {0}, wrong


def test_a_pipeline_of_changes_that_meet(cluster, catalogues):
    """Of one user, at one stamp, with removals and FORGET between: answered in order, and the end is that of the order sent."""
    ids, words = catalogues[INDEX].ids, b""
    for n in range(200):
        words += encode("EVENT", "me", ids[n % 7], n, "AT", AT) + encode("EVENT", f"other{n}", ids[1])
        if n % 50 == 49:
            words += encode("EVENT.DEL", "me", ids[3])
    words += encode("FORGET", "me") + encode("EVENT", "me", ids[9], 2.5, "AT", AT) + encode("SEEN", "me", "WITHTIMES")
    with cluster.router.connect(timeout=20) as c:
        c.send(words)
        replies = [c.read() for _ in range(407)]
    assert replies[:404].count("OK") == 400 and replies[:404].count(1) == 4, replies[:20]
    assert replies[404:] == [1, "OK", [ids[9].encode(), AT]], replies[404:]
