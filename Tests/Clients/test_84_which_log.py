"""Which log it is: its id in states, backups and positions; prefixes; what else may lie in its streams; trimming; its password."""

import os
import re
import signal
import time

import pytest

import annex
import live
from annex import encode
from cluster import Cluster, slot_of
from cluster_network import Loopback
from redis_log import Redis, caught_up, info_line, key, log_line, replica
from worst_commands import anonymous_bytes

INDEX = "shop"
AT = live.CUT + 1


@pytest.fixture(scope="module")
def shop(folder):
    return live.make_shop(folder / "which-log", INDEX, items=400, users=40)


@pytest.fixture
def log(tmp_path):
    with Redis(tmp_path / "redis") as server:
        yield server


def backup(state, to):
    return annex.run_annctl("backup", state / INDEX, "--output", to)


def restore(file, state, *options):
    return annex.run_annctl("restore", file, "--state", state / INDEX, *options)


def block_of(user: str) -> int:
    return slot_of(user) >> 10


def follows(server) -> dict:
    with server.connect() as c:
        line = log_line(c, INDEX)
        annex.wait_until(lambda: (line.update(log_line(c, INDEX)) or line["status"] == "following"), 10, f"follows: {line}")
        return line


# --- Another log -------------------------------------------------------------------------------------------------------


def test_a_log_has_an_id_that_all_who_follow_it_know(shop, log, tmp_path):
    with replica(shop.index, tmp_path / "a", log) as a, replica(shop.index, tmp_path / "b", log) as b:
        first, second = follows(a), follows(b)
        given = log.call("GET", f"annex:{{{INDEX}}}:id").decode()
        assert first["id"] == second["id"] == given and re.fullmatch("[0-9a-f]{32}", given)
        with a.connect() as c:
            assert c.call("CLIENT", "CAPA", "position") == "OK"
            done, position = c.call("EVENT", "u1", shop.catalogue.ids[0])
            assert done == "OK" and position.decode().endswith(f":{given}")
            assert c.call("WAITPOS", "u1", position) == "OK"
            # A program that knew no ids gave the same without it.
            assert c.call("WAITPOS", "u1", position.rsplit(b":", 1)[0]) == "OK"
            other = position.rsplit(b":", 1)[0] + b":" + b"0" * 32
            began = time.monotonic()
            assert str(c.call("WAITPOS", "u1", other, "TIMEOUT", 5_000)).startswith("IGNORED ") and time.monotonic() - began < 1
    done = backup(tmp_path / "a" / "state", tmp_path / "a.backup")
    assert done.returncode == 0 and f"id {given}" in done.stdout and "slots 0-16383" in done.stdout


def test_a_replica_that_was_left_out_of_a_recovery_says_so(shop, tmp_path):
    """The log is lost; a is made anew from a backup, b is forgotten. The new log is soon beyond all that b has read."""
    ids = shop.catalogue.ids
    with Redis(tmp_path / "one") as log:
        with replica(shop.index, tmp_path / "a", log) as a, replica(shop.index, tmp_path / "b", log) as b:
            with a.connect() as c:
                for n in range(60):
                    live.event(c, f"u{n}", ids[n])
            caught_up([a, b], INDEX)
            assert backup(tmp_path / "a" / "state", tmp_path / "a.backup").returncode == 0
        old = log.call("GET", f"annex:{{{INDEX}}}:id")
        log.call("FLUSHALL")
        assert restore(tmp_path / "a.backup", tmp_path / "new", "--new-log").returncode == 0
        assert restore(tmp_path / "a.backup", tmp_path / "kept").returncode == 0
        (tmp_path / "c").mkdir()
        (tmp_path / "new").rename(tmp_path / "c" / "state")
        (tmp_path / "d").mkdir()
        (tmp_path / "kept").rename(tmp_path / "d" / "state")
        with replica(shop.index, tmp_path / "c", log) as fresh, fresh.connect() as c:
            for n in range(300):
                live.event(c, f"u{n % 60}", ids[n])
            new = follows(fresh)["id"]
            assert new != old.decode()
            for folder in ("b", "d"):
                with replica(shop.index, tmp_path / folder, log) as left, left.connect() as d:
                    annex.wait_until(lambda: log_line(d, INDEX)["status"] == "refusing", 10, "it meets another log")
                    problem = log_line(d, INDEX)["problem"]
                    assert "another log" in problem and new in problem and old.decode() in problem and "Restore" in problem, problem
                    error = str(d.error("EVENT", "u1", ids[1]))
                    assert "nothing was stored" in error and "another log" in error
            # What was advised.
            assert backup(tmp_path / "c" / "state", tmp_path / "c.backup").returncode == 0
            assert restore(tmp_path / "c.backup", tmp_path / "e" / "state").returncode == 0
            with replica(shop.index, tmp_path / "e", log) as again:
                assert follows(again)["id"] == new


def test_positions_of_a_log_that_was_replaced_hold_up_no_read(indexes, catalogues, tmp_path, fact):
    """E.4: connections through a router that had written read on at once when the log was lost and replaced."""
    index, ids = "ip-hnsw", catalogues["ip-hnsw"].ids
    with Loopback() as network, Cluster(indexes[index], tmp_path / "cluster", network, shards=1, replicas=2) as cluster:
        links = [cluster.router.connect(timeout=10) for _ in range(8)]
        for n, c in enumerate(links):
            assert c.call("EVENT", f"w{n}", ids[n]) == "OK" and c.call("SEEN", f"w{n}") == [ids[n].encode()]
        file = tmp_path / "a.backup"
        done = annex.run_annctl("backup", cluster.state(cluster.replicas[0]), "--output", file)
        assert done.returncode == 0, annex.said(done)
        for node in cluster.replicas:
            node.stop()
        with cluster.log.connect() as c:
            c.call("FLUSHALL")
        for node in cluster.replicas:
            cluster.state(node).rename(cluster.state(node).with_name("lost"))
            done = annex.run_annctl("restore", file, "--state", cluster.state(node), "--new-log")
            assert done.returncode == 0, annex.said(done)
            node.start()
        cluster.mend()
        slowest, failures = 0.0, []
        for n, c in enumerate(links):
            for _ in range(6):
                began = time.monotonic()
                c.send(encode("SEEN", f"w{n}"))
                reply = c.read()
                slowest = max(slowest, time.monotonic() - began)
                if reply != [ids[n].encode()]:
                    failures.append(str(reply))
        fact(f"{len(links)} connections that had written to a log that was replaced: 48 reads, {len(failures)} failures, slowest {slowest * 1e3:.0f} ms")
        assert not failures, failures[:3]
        # They go on as before: what they write now they read.
        for n, c in enumerate(links):
            assert c.call("EVENT", f"w{n}", ids[n + 20]) == "OK"
            assert all(len(c.call("SEEN", f"w{n}")) == 2 for _ in range(4))
            c.socket.close()


def test_two_clusters_share_a_database(shop, log, tmp_path):
    ids = shop.catalogue.ids
    with replica(shop.index, tmp_path / "a", log) as a, replica(shop.index, tmp_path / "b", f"{log.url}/?prefix=second") as b:
        with a.connect() as c, b.connect() as d:
            live.event(c, "both", ids[1])
            live.event(d, "both", ids[2])
            caught_up([a, b], INDEX)
            assert [live.seen(x, "both")[0][0] for x in (c, d)] == [ids[1], ids[2]] and len(live.seen(c, "both")) == 1
        assert follows(a)["id"] != follows(b)["id"]
        assert {k.split(b":")[0] for k in log.call("KEYS", "*")} == {b"annex", b"second"}
        assert backup(tmp_path / "b" / "state", tmp_path / "b.backup").returncode == 0
        done = annex.run_annctl("trim-log", INDEX, tmp_path / "b.backup", "--log", log.url)
        assert done.returncode == 64 and "is a backup of the log" in annex.said(done), annex.said(done)
        done = annex.run_annctl("trim-log", INDEX, tmp_path / "b.backup", "--log", f"{log.url}?prefix=second")
        assert done.returncode == 0, annex.said(done)
    # A state that meets the other's log.
    with replica(shop.index, tmp_path / "b", log) as b, b.connect() as d:
        annex.wait_until(lambda: "another log" in log_line(d, INDEX)["problem"], 10, "it is told")
        assert d.error("EVENT", "both", ids[3]).code == "MASTERDOWN"
    done = annex.run_annctl("serve", shop.index, "--port", 0, "--state", tmp_path / "x", "--log", f"{log.url}/?prefix={{x}}")
    assert done.returncode == 64 and "prefix=" in annex.said(done)


# --- What else may lie in a stream -------------------------------------------------------------------------------------


def test_entries_of_others_stop_nobody(shop, log, tmp_path, fact):
    """Entries above 16 MiB, with very many fields, outside a client's limits: passed over, counted, said once."""
    user, item = "fresh", shop.catalogue.ids[0]
    block = block_of(user)
    good = ["by", "a" * 32, "n"]
    with replica(shop.index, tmp_path / "a", log) as a, a.connect() as c:
        live.event(c, user, item, 1, AT)
        stream = key(INDEX, block)
        log.call("XADD", stream, "*", "do", "event", "user", user, "item", item, "blob", b"x" * (17 << 20))
        log.call("XADD", stream, "*", *[w for n in range(6_000) for w in (f"f{n}", "v")])
        log.call("XADD", stream, "*", "x", "y")
        outside = [("1e308", AT), ("inf", AT), ("nan", AT), ("1", 1_700_000_000), ("1", 4_102_444_800_000), ("2e30", AT)]
        for n, (weight, at) in enumerate(outside):
            log.call("XADD", stream, "*", "do", "event", "user", user, "item", item, "weight", weight, "at", at, *good, n)
        live.event(c, user, shop.catalogue.ids[1], 1, AT)
        caught_up([a], INDEX)
        line = log_line(c, INDEX)
        assert (line["unknown_entries"], line["outside_limits"]) == ("3", str(len(outside))), line
        assert sorted(live.seen(c, user)) == sorted([(item, AT), (shop.catalogue.ids[1], AT)])
        # One that starts afterwards reads all of it again.
        with replica(shop.index, tmp_path / "b", log) as b, b.connect() as d:
            caught_up([b], INDEX)
            assert sorted(live.seen(d, user)) == sorted(live.seen(c, user))
        said = [l for l in a.text().splitlines() if "passed over" in l]
        fact(f"{3 + len(outside)} entries of others, one of 17 MiB, one of 12,000 fields: passed over, {len(said)} lines in the log")
        assert 1 <= len(said) <= 2, said


def test_large_entries_take_a_stated_memory(shop, log, tmp_path, fact):
    """240 MiB of entries, of which one read would bring all: each is within the limits of its fields, so only their sum is large."""
    user, ids = "fresh", shop.catalogue.ids
    own, other = block_of(user), (block_of(user) + 1) % 16
    large = [word for n in range(500) for word in (f"f{n}", b"x" * 4_000)]
    with replica(shop.index, tmp_path / "a", log) as a:
        with a.connect() as c:
            live.event(c, user, ids[0], 1, AT)
            base = most = anonymous_bytes(a.process.pid)
            os.kill(a.process.pid, signal.SIGSTOP)
            try:
                for _ in range(60):
                    log.call("XADD", key(INDEX, own), "*", *large)
                    log.call("XADD", key(INDEX, other), "*", *large)
                # One that is more than is kept of a whole answer: it is passed over where it stands first.
                log.call("XADD", key(INDEX, own), "*", *[word for n in range(2_040) for word in (f"f{n}", b"x" * 4_090)])
            finally:
                os.kill(a.process.pid, signal.SIGCONT)
            end = time.monotonic() + 60
            while log_line(c, INDEX)["unknown_entries"] != "121":
                most = max(most, anonymous_bytes(a.process.pid))
                assert time.monotonic() < end, log_line(c, INDEX)
            caught_up([a], INDEX)
            live.event(c, user, ids[1], 1, AT + 1)
            assert sorted(live.seen(c, user)) == sorted([(ids[0], AT), (ids[1], AT + 1)])
            assert log_line(c, INDEX)["unknown_entries"] == "121"
    fact(f"121 entries of 2 to 8 MiB in two streams: a replica that reads them grew by {(most - base) >> 20} MiB of 64")
    assert most - base <= 64 << 20


def test_a_weight_that_would_drown_a_history_is_not_folded_in(shop, log, tmp_path):
    """It is within what every version takes, and beyond what this one's alpha allows: its item was seen, its weight does not count."""
    ids, clean, foreign = shop.catalogue.ids, "clean", "foreign"
    with replica(shop.index, tmp_path / "a", log) as a, a.connect() as c:
        assert "at most" in str(c.error("EVENT", foreign, ids[7], 1e12))
        for user in (clean, foreign):
            for n in (1, 2, 3):
                live.event(c, user, ids[n], 1 + n, AT + n)
        before = live.scores(c, shop.catalogue, foreign)
        log.call("XADD", key(INDEX, block_of(foreign)), "*", "do", "event", "user", foreign, "item", ids[7], "weight", "1e12", "at", AT + 9,
                 "by", "b" * 32, "n", 1)
        caught_up([a], INDEX)
        assert ids[7] in dict(live.seen(c, foreign))
        assert info_line(c, "users", INDEX)["weights_left_out"] == "0"
        after = live.scores(c, shop.catalogue, foreign)
        assert (after == before).all() and (after == live.scores(c, shop.catalogue, clean)).all()
        assert info_line(c, "users", INDEX)["weights_left_out"] == "1"
        # What comes then counts.
        for user in (clean, foreign):
            live.event(c, user, ids[4], 2, AT + 20)
        assert (live.scores(c, shop.catalogue, foreign) == live.scores(c, shop.catalogue, clean)).all()
        assert (live.scores(c, shop.catalogue, foreign) != before).any()


# --- Trimming and the password -----------------------------------------------------------------------------------------


def test_backups_know_their_slots(shop, log, tmp_path):
    """As deploy/README.md has it: the backups of both shards, in one call."""
    ids = shop.catalogue.ids
    topology = tmp_path / "cluster.yaml"
    ports = [annex.free_port(), annex.free_port()]
    topology.write_text("epoch: 1\nshards:\n" + "".join(
        f"  - slots: {slots}\n    replicas: [127.0.0.1:{port}]\n" for slots, port in zip(("0-8191", "8192-16383"), ports)))
    kept = []
    for turn in range(2):
        for number, (slots, port) in enumerate(zip(("0-8191", "8192-16383"), ports)):
            with replica(shop.index, tmp_path / f"s{number}", log, "--cluster", topology, "--slots", slots, "--announce",
                         f"127.0.0.1:{port}") as server, server.connect() as c:
                mine = [u for u in (f"u{n}" for n in range(400)) if (block_of(u) < 8) == (number == 0)]
                for n, user in enumerate(mine):
                    live.event(c, user, ids[n % 50], at=AT + turn)
                kept.append(tmp_path / f"{number}-{turn}.backup")
                done = backup(tmp_path / f"s{number}" / "state", kept[-1])
                assert done.returncode == 0 and f"slots {slots}" in done.stdout, annex.said(done)
    before = log.entries(INDEX)
    # One shard's alone: the other's streams stay whole.
    done = annex.run_annctl("trim-log", INDEX, kept[0], "--log", log.url, "--dry-run")
    assert done.returncode == 0 and "no backup has its slots, 8192-9215" in done.stdout, annex.said(done)
    done = annex.run_annctl("trim-log", INDEX, *kept, "--log", log.url)
    assert done.returncode == 0 and "stays whole" not in done.stdout, annex.said(done)
    assert log.entries(INDEX) == before - 400 + 16
    # Nothing to go by: that is an error.
    done = annex.run_annctl("trim-log", INDEX, kept[0], "--log", log.url, "--slots", "8192-16383")
    assert done.returncode == 64 and "nothing was removed" in annex.said(done), annex.said(done)


def test_the_log_says_how_long_and_old_it_is(shop, log, tmp_path):
    with replica(shop.index, tmp_path / "a", log) as a, a.connect() as c:
        for n in range(50):
            live.event(c, f"u{n}", shop.catalogue.ids[n])
        annex.wait_until(lambda: log_line(c, INDEX)["entries"] == "50", 5, "it knows the length")
        line = log_line(c, INDEX)
        assert int(line["oldest_s"]) < 60 and line["wants_trimming"] == "0"
        assert (line["entries_warning"], line["oldest_s_warning"]) == ("10000000", str(30 * 86_400))


def test_an_old_log_wants_trimming(shop, log, tmp_path):
    """Entries of 31 days ago: a number in INFO, one line in the server's log."""
    old = live.now() - 31 * 86_400_000
    log.call("XADD", key(INDEX, 5), f"{old}-0", "x", "y")
    with replica(shop.index, tmp_path / "a", log) as a, a.connect() as c:
        caught_up([a], INDEX)
        annex.wait_until(lambda: log_line(c, INDEX)["wants_trimming"] == "1", 5, "it wants trimming")
        assert int(log_line(c, INDEX)["oldest_s"]) // 86_400 == 31
        annex.lasting(0.3, "it is said once")
    assert a.text().count("The log should be trimmed") == 1 and "31 days old" in a.text()


def test_the_password_stands_in_no_command_line(shop, tmp_path):
    secret = "s3cret-of-the-log"
    (tmp_path / "password").write_text(secret + "\n")
    with Redis(tmp_path / "redis", ["--requirepass", secret]) as log:
        log.password = secret
        with replica(shop.index, tmp_path / "a", log, "--log-password-file", tmp_path / "password") as a, a.connect() as c:
            live.event(c, "u1", shop.catalogue.ids[0])
            assert backup(tmp_path / "a" / "state", tmp_path / "a.backup").returncode == 0
            assert secret not in a.text() and "command line" not in a.text()
        done = annex.run_annctl("trim-log", INDEX, tmp_path / "a.backup", "--log", log.url, "--log-password-file", tmp_path / "password")
        assert done.returncode == 0 and "command line" not in done.stderr, annex.said(done)
        exposed = log.url.replace("//", f"//:{secret}@")
        done = annex.run_annctl("trim-log", INDEX, tmp_path / "a.backup", "--log", exposed)
        assert done.returncode == 0 and "--log-password-file" in done.stderr and secret not in annex.said(done)
        with replica(shop.index, tmp_path / "b", exposed) as b:
            follows(b)
        assert "every user of this machine can read" in b.text() and secret not in b.text()
        # In the file of --config it stands in no command line; the file may name another.
        config = tmp_path / "annex.yaml"
        config.write_text(f"state: state\nlog: {log.url}\nlog-password-file: password\n")
        with live.serve(shop.index, state=None, log=tmp_path / "c.log", options=["--config", config]) as server:
            follows(server)
        assert "every user of this machine can read" not in server.text()
        done = annex.run_annctl("serve", shop.index, "--port", 0, "--state", tmp_path / "x", "--log", exposed, "--log-password-file",
                                tmp_path / "password")
        assert done.returncode == 64 and "password file" in annex.said(done) and secret not in annex.said(done)
        done = annex.run_annctl("serve", shop.index, "--port", 0, "--state", tmp_path / "x", "--log-password-file", tmp_path / "password")
        assert done.returncode == 64 and "needs --log" in annex.said(done)
