"""Shards by slot, asked by stock cluster clients that go straight to them; the file that says who serves what."""

import shutil
import signal
import subprocess
import threading
import time

import pytest
from redis.cluster import RedisCluster

import annex
from routed import Routed, slot_of, topology


@pytest.fixture(scope="module")
def cluster(folder, indexes):
    with Routed(indexes["ip-hnsw"], folder=folder / "cluster-71", shards=3, state=True) as running:
        yield running


@pytest.fixture(scope="module")
def catalogue(catalogues):
    return catalogues["ip-hnsw"]


def owner(cluster, user) -> int:
    return next(n for n, slots in enumerate(cluster.slots) if slot_of(user) <= int(slots.split("-")[1]))


KEYS = ["", "a", "user:1", "foo{}{bar}", "foo{{bar}}zap", "foo{bar}{zap}", "{bar", "bar", "{", "}", "{}", "x{y}z", "é", "{é}a", "a" * 255]


@pytest.mark.parametrize("key", KEYS)
def test_slots_are_redis_clusters(cluster, key):
    with cluster.shards[0][0].connect() as c:
        assert c.call("CLUSTER", "KEYSLOT", key) == slot_of(key)


@pytest.mark.parametrize("protocol", [2, 3])
def test_redis_py_cluster_goes_straight_to_the_shard(cluster, catalogue, protocol):
    client = RedisCluster(host="127.0.0.1", port=cluster.shards[0][0].port, protocol=protocol, decode_responses=True)
    asked = set()
    for user in catalogue.user_ids[:40]:
        answer = client.execute_command("TOPK", user, 5)
        assert answer == catalogue.order(catalogue.user(user))[:5] or catalogue.recall(answer, catalogue.user(user), 5) >= 0.8
        asked.add(owner(cluster, user))
    assert asked == {0, 1, 2}, "the users of one shard only: the test says too little"
    item = catalogue.ids[3]
    for user in ("new-1", "new-2", "new-3", "new-4"):
        assert client.execute_command("EVENT", user, item) == "OK"
        assert client.execute_command("SEEN", user) == [item]
        with cluster.shards[owner(cluster, user)][0].connect() as c:
            assert c.call("SEEN", user) == [item.encode()]
    assert client.execute_command("VCARD", "ip-hnsw") == len(catalogue.ids)
    assert client.execute_command("VSIM", "ip-hnsw", "ELE", item, "COUNT", 3)
    same = [f"{{tag}}{n}" for n in range(3)]
    assert len(client.execute_command("MTOPK", 3, *same, 2)) == 3
    moved = sum(process.connect().call("INFO", "errorstats").decode().count("MOVED") for process in cluster.replicas)
    assert moved == 0, "the client knows the slots, so nobody was sent on"
    client.close()


def test_users_of_others_are_moved(cluster, catalogue):
    for user in [*catalogue.user_ids[:30], "", "{a}b"]:
        home = owner(cluster, user)
        for number, (process,) in enumerate(cluster.shards):
            if number == home:
                continue
            with process.connect() as c:
                for command in (["TOPK", user, 3], ["SCORE", user, 1, "x"], ["EVENT", user, "x"], ["EVENT.DEL", user, "x"], ["SEEN", user],
                                ["FORGET", user], ["EXPLAIN", user, "x"], ["WHYNOT", user, "x", 3], ["MTOPK", 1, user, 3]):
                    error = c.error(*command)
                    assert str(error) == f"MOVED {slot_of(user)} 127.0.0.1:{cluster.shards[home][0].port}", command


def test_users_of_several_shards_are_crossslot(cluster, catalogue):
    by_shard = {owner(cluster, user): user for user in catalogue.user_ids}
    users = [by_shard[n] for n in range(3)]
    for process, in cluster.shards:
        with process.connect() as c:
            assert c.error("MTOPK", 3, *users, 2).code == "CROSSSLOT"
    with cluster.shards[0][0].connect() as c:
        others = [user for user in catalogue.user_ids if owner(cluster, user) == 1][:3]
        assert c.error("MTOPK", 3, *others, 2).code == "MOVED", "all of one other shard"
        own = [user for user in catalogue.user_ids if owner(cluster, user) == 0][:3]
        assert len(c.call("MTOPK", 3, *own, 2)) == 3


def test_a_moved_event_does_not_overtake_those_before_it(cluster, catalogue):
    """Events of one pipeline share a flush of the disk; a refusal among them keeps its place."""
    mine = [f"mine-{n}" for n in range(200) if owner(cluster, f"mine-{n}") == 0]
    theirs = [f"theirs-{n}" for n in range(200) if owner(cluster, f"theirs-{n}") != 0]
    with cluster.shards[0][0].connect(timeout=30) as c:
        users = [user for pair in zip(mine, theirs, mine[1:]) for user in pair][:90]
        c.send(b"".join(annex.encode("EVENT", user, catalogue.ids[5]) for user in users))
        for user in users:
            reply = c.read()
            if user in mine:
                assert reply == "OK", user
            else:
                assert str(reply).startswith(f"MOVED {slot_of(user)} "), (user, reply)


def test_slots_shards_nodes_and_info_agree(cluster):
    places = [process.port for process, in cluster.shards]
    for process, in cluster.shards:
        with process.connect() as c:
            slots = c.call("CLUSTER", "SLOTS")
            assert [(s[0], s[1], s[2][0], s[2][1]) for s in slots] == [
                (int(r.split("-")[0]), int(r.split("-")[1]), b"127.0.0.1", port) for r, port in zip(cluster.slots, places)]
            ids = [s[2][2] for s in slots]
            assert len(set(ids)) == 3 and all(len(i) == 40 and int(i, 16) for i in ids)
            own = c.call("CLUSTER", "MYID")
            assert own == ids[places.index(process.port)]
            lines = c.call("CLUSTER", "NODES").decode().splitlines()
            assert len(lines) == 3
            for line, identity, port, owned in zip(lines, ids, places, cluster.slots):
                fields = line.split(" ")
                assert fields[0] == identity.decode() and fields[1].split("@")[0] == f"127.0.0.1:{port}" and fields[8:] == [owned]
                assert ("myself" in fields[2]) == (identity == own) and "master" in fields[2]
            info = dict(line.split(":") for line in c.call("CLUSTER", "INFO").decode().split())
            assert info["cluster_state"] == "ok" and info["cluster_slots_assigned"] == "16384" and info["cluster_size"] == "3"
            c.call("HELLO", "3")
            shards = c.call("CLUSTER", "SHARDS")
            assert [dict(s)[b"slots"] for s in shards] == [[int(x) for x in r.split("-")] for r in cluster.slots]
            nodes = [dict(dict(s)[b"nodes"][0]) for s in shards]
            assert [n[b"id"] for n in nodes] == ids and [n[b"port"] for n in nodes] == places
            assert {n[b"health"] for n in nodes} == {b"online"} and {n[b"role"] for n in nodes} == {b"master"}


def test_redis_cli_follows(cluster, catalogue):
    port = str(cluster.shards[0][0].port)
    for user in catalogue.user_ids[:6]:
        done = subprocess.run(["redis-cli", "-c", "-p", port, "TOPK", user, "3"], capture_output=True, text=True, timeout=20)
        assert len(done.stdout.split()) == 3 and "MOVED" not in done.stdout, done


def test_redis_benchmark_spreads(cluster):
    port = str(cluster.shards[0][0].port)
    done = subprocess.run(
        ["redis-benchmark", "--cluster", "-p", port, "-n", "3000", "-c", "6", "-q", "TOPK", "u{tag}__rand_int__", "3"],
        capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "requests per second" in done.stdout, done
    assert done.stdout.count("Master ") == 3, done.stdout
    for process, in cluster.shards:
        with process.connect() as c:
            assert b"cmdstat_topk" in c.call("INFO", "commandstats")


def test_alone_a_server_is_no_cluster(single):
    with single.connect() as c:
        assert str(c.error("CLUSTER", "SLOTS")).startswith("ERR This instance has cluster support disabled")
        assert b"cluster_enabled:0" in c.call("CLUSTER", "INFO")


def test_the_first_that_is_well_is_master(folder, indexes, tmp_path, fact):
    with Routed(indexes["ip-hnsw"], folder=tmp_path / "pair", shards=1, replicas=2) as pair:
        first, second = pair.replicas

        def masters():
            with second.connect() as c:
                return [node[1] for node in c.call("CLUSTER", "SLOTS")[0][2:]]

        assert masters() == [first.port, second.port]
        first.process.send_signal(signal.SIGSTOP)
        try:
            since = time.monotonic()
            annex.wait_until(lambda: masters() == [second.port, first.port], 5, "the second is named as master")
            fact(f"a stopped replica is no master after {time.monotonic() - since:.2f} s")
        finally:
            first.process.send_signal(signal.SIGCONT)
        annex.wait_until(lambda: masters() == [first.port, second.port], 5, "the first is master again")


# --- The file ----------------------------------------------------------------------------------------------------------

GOOD = "epoch: 1\nshards:\n  - slots: 0-8191\n    replicas: [127.0.0.1:7001]\n  - slots: 8192-16383\n    replicas: [127.0.0.1:7002]\n"
BAD = {
    "a gap": (GOOD.replace("8192-16383", "8193-16383"), "no shard owns slots 8192"),
    "an overlap": (GOOD.replace("0-8191", "0-8200"), "more than one shard owns slots 8192-8200"),
    "twice": (GOOD.replace("7002", "7001"), "127.0.0.1:7001 is there twice"),
    "beyond": (GOOD.replace("16383", "16384"), "'slots' is like 0-8191"),
    "huge": (GOOD.replace("16383", "9223372036854775807"), "'slots' is like 0-8191"),
    "backwards": (GOOD.replace("0-8191", "8191-0"), "'slots' is like 0-8191"),
    "a port": (GOOD.replace("7001", "70010"), "a replica is HOST:PORT"),
    "no port": (GOOD.replace(":7001", ""), "a replica is HOST:PORT"),
    "a key": (GOOD + "nodes: 3\n", "unknown key 'nodes'"),
    "a key of a shard": (GOOD.replace("    replicas: [127.0.0.1:7001]", "    replicas: [127.0.0.1:7001]\n    weight: 3"), "unknown key 'weight'"),
    "an epoch": (GOOD.replace("epoch: 1", "epoch: 0"), "epoch is 0"),
    "no shards": ("epoch: 1\nshards: []\n", "there are no shards"),
    "no replicas": (GOOD.replace("[127.0.0.1:7001]", "[]"), "has no replicas"),
    "no YAML": ("shards: [", "not YAML"),
    "a router's key": (GOOD + "router:\n  speed: 3\n", "unknown key 'speed'"),
    "a router's value": (GOOD + "router:\n  deadline-ms: 0\n", "'deadline-ms' is '0'"),
    "a router's large value": (GOOD + "router:\n  deadline-ms: 9223372036854775808\n", "'deadline-ms' is"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_must_not_be_served_is_refused(tmp_path, name):
    text, why = BAD[name]
    file = tmp_path / "cluster.yaml"
    file.write_text(text)
    done = annex.run_annctl("route", "--config", file, "--port", annex.free_port(), timeout=20)
    assert done.returncode == 64 and why in annex.said(done) and str(file) in annex.said(done), annex.said(done)
    if not name.startswith("a router"):
        done = annex.run_annctl("cluster", "check", file, timeout=20)
        assert done.returncode == 1 and why in annex.said(done), annex.said(done)


def test_a_server_must_be_what_the_file_says(indexes, tmp_path):
    file = tmp_path / "cluster.yaml"
    file.write_text(GOOD)

    def refusal(*options):
        done = annex.run_annctl("serve", indexes["ip-hnsw"], *options, timeout=20)
        return done.returncode, annex.said(done)

    code, text = refusal("--cluster", file, "--port", 7005)
    assert code == 64 and "no replica of the topology is 127.0.0.1:7005" in text and "--announce" in text
    code, text = refusal("--cluster", file, "--port", 7001, "--slots", "0-8190")
    assert code == 64 and "--slots is 0-8190, and the topology gives 0-8191" in text
    code, text = refusal("--cluster", file, "--port", 7001, "--slots", "0-99999")
    assert code == 64 and "--slots is like" in text
    code, text = refusal("--slots", "0-8191")
    assert code == 64 and "--cluster" in text
    code, text = refusal("--cluster", file, "--announce", "nowhere")
    assert code == 64 and "--announce is HOST:PORT" in text


def test_a_changed_file_is_followed_and_a_bad_one_is_not(indexes, tmp_path):
    with Routed(indexes["ip-hnsw"], folder=tmp_path / "c", shards=2) as cluster:
        (a,), (b,) = cluster.shards
        with a.connect() as c, cluster.connect() as through:
            assert len(c.call("CLUSTER", "SLOTS")) == 2
            more = [(cluster.slots[0], [a.port]), (cluster.slots[1], [b.port, annex.free_port()])]
            topology(cluster.file, more, epoch=2)
            annex.wait_until(lambda: b"cluster_current_epoch:2" in c.call("CLUSTER", "INFO"), 5, "the shard follows")
            annex.wait_until(lambda: b"router_epoch:2" in through.call("INFO", "router"), 5, "the router follows")
            assert len(c.call("CLUSTER", "SLOTS")[1]) == 4
            topology(cluster.file, cluster.layout, epoch=1)
            annex.wait_until(lambda: "epoch is 1 and was 2" in a.text() and "epoch is 1 and was 2" in cluster.text(), 5, "an old file is refused")
            # Slots that move take users along: not by a changed file.
            topology(cluster.file, [("0-100", [a.port]), ("101-16383", [b.port])], epoch=3)
            annex.wait_until(lambda: "A new topology was refused" in a.text(), 5, "the shard refuses other slots")
            assert b"cluster_current_epoch:2" in c.call("CLUSTER", "INFO")
            cluster.file.write_text("shards: [")
            annex.wait_until(lambda: cluster.text().count("A new topology was refused") == 2, 5, "the router refuses what is no YAML")
            assert through.call("PING") == "PONG"
            assert cluster.process.poll() is None


# --- annctl cluster ----------------------------------------------------------------------------------------------------


def test_status_check_and_reload(small, tmp_path, fact):
    catalogue, files = small
    index = tmp_path / "small"
    annex.built(index, recall=0.9, **files)
    with Routed(index, folder=tmp_path / "c", shards=2, replicas=2, options=["--watch", "0"]) as cluster:
        done = annex.run_annctl("cluster", "check", cluster.file)
        assert done.returncode == 0 and "all is well" in done.stdout
        first = annex.versions_of(index)[-1]
        done = annex.run_annctl("cluster", "status", cluster.file, "--tsv")
        rows = [line.split("\t") for line in done.stdout.splitlines()]
        assert done.returncode == 0 and len(rows) == 4
        assert {row[3] for row in rows} == {"ok"} and {row[5] for row in rows} == {f"small {first}"}
        annex.built(index, recall=0.9, seed=2, index="IVF4,Flat", **files)
        second = annex.versions_of(index)[-1]
        assert second != first

        # A load through the router all the while: no request fails.
        stop, counts = [], {"ok": 0}

        def load():
            with cluster.connect() as c:
                while not stop:
                    for user in catalogue.user_ids:
                        assert len(c.call("TOPK", user, 5)) == 5
                        counts["ok"] += 1

        failures = []

        def guarded():
            try:
                load()
            except Exception as error:  # noqa: BLE001 - told below
                failures.append(error)

        threads = [threading.Thread(target=guarded) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            done = annex.run_annctl("cluster", "reload", cluster.file)
            assert done.returncode == 0 and done.stdout.count(f"{first} → {second}") == 4, annex.said(done)
            done = annex.run_annctl("cluster", "reload", cluster.file, "--version", first)
            assert done.returncode == 0, annex.said(done)
            # What does not answer could not be taken back.
            broken = cluster.shards[1][1]
            broken.process.send_signal(signal.SIGSTOP)
            done = annex.run_annctl("cluster", "reload", cluster.file, timeout=60)
            broken.process.send_signal(signal.SIGCONT)
            assert done.returncode == 1 and "nothing was reloaded" in annex.said(done), annex.said(done)
        finally:
            stop.append(True)
            for thread in threads:
                thread.join(20)
        assert not failures and counts["ok"] > 0, failures
        fact(f"rolling swaps of 4 replicas, twice: {counts['ok']} requests through the router, 0 failed")
        with cluster.shards[0][0].connect() as c:
            assert first.encode() in c.call("INFO", "indexes")
        folder, kept = index / "versions" / second, tmp_path / "kept"
        with cluster.shards[0][0].connect() as c:
            assert c.call("RELOAD", "small", second) == second
        done = annex.run_annctl("cluster", "check", cluster.file)
        assert done.returncode == 1 and "is served in 2 versions" in done.stdout
        # A version that cannot be loaded.
        shutil.move(folder, kept)
        try:
            done = annex.run_annctl("cluster", "reload", cluster.file, "--version", second)
            assert done.returncode == 1 and "failed" in done.stdout, annex.said(done)
        finally:
            shutil.move(kept, folder)
        cluster.shards[1][1].stop()
        done = annex.run_annctl("cluster", "check", cluster.file)
        assert done.returncode == 1 and f"127.0.0.1:{cluster.shards[1][1].port} does not answer" in done.stdout
        done = annex.run_annctl("cluster", "status", cluster.file)
        assert done.returncode == 1 and "down" in done.stdout
