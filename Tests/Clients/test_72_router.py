"""A router: what it answers, byte for byte; and what it does when replicas stop, die and come back."""

import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import annex
from annex import Connection, Server, ServerError, encode
from routed import Routed, slot_of, topology

MIB = 1 << 20


@pytest.fixture(scope="module")
def catalogue(catalogues):
    return catalogues["ip-hnsw"]


@pytest.fixture(scope="module")
def pair(folder, indexes):
    """A router over two shards, and a server that has all users: of the same indexes, each with a state."""
    both = [indexes["ip-hnsw"], indexes["cosine-ivf"]]
    with Routed(*both, folder=folder / "routed-72", shards=2, state=True) as routed:
        with Server(*both, log=folder / "alone-72.log", options=["--state", folder / "alone-72"]) as alone:
            yield routed, alone


def raw(server, requests: bytes, replies: int, hello: int | None) -> list[bytes]:
    """The bytes of each reply."""
    with server.connect(timeout=60) as c:
        if hello:
            c.call("HELLO", str(hello))
        out = []
        c.send(requests)
        for _ in range(replies):
            out.append(frame(c))
        return out


def frame(c: Connection) -> bytes:
    """One reply as it came."""
    line = c._line()
    kind, rest = line[:1], line[1:]
    whole = line + b"\r\n"
    if kind in b"$=!" and int(rest) >= 0:
        return whole + c._exactly(int(rest)) + b"\r\n"
    if kind in b"*~%>" and int(rest) >= 0:
        return whole + b"".join(frame(c) for _ in range(int(rest) * (2 if kind == b"%" else 1)))
    return whole


def questions(catalogue, rng, count: int) -> list[list]:
    """Commands of every kind, right and wrong, that one server and many must answer alike."""
    users, items = catalogue.user_ids, catalogue.ids
    index = ["INDEX", "ip-hnsw"]
    asked = []
    for _ in range(count):
        user = rng.choice([*users, "nobody", "", "{a}b", "é", "x" * 255])
        some = rng.sample(items, 3)
        several = [rng.choice(users) for _ in range(rng.randint(1, 9))]
        asked.append(rng.choice([
            ["TOPK", user, rng.randint(1, 30), *index], ["topk", user, 5, *index, "WITHSCORES"], ["TOPK", user, 4, *index, "WITHSCORES", "WITHATTRIBS"],
            ["TOPK", user, 5, *index, "EXCLUDE", 3, *some], ["TOPK", user, 5, *index, "HISTORY", 3, *some, "WEIGHTS", 1, 2, 0.5, "WITHSCORES"],
            ["TOPK", user, 0, *index], ["TOPK", user, 5], ["TOPK", user], ["TOPK", user, 5, "INDEX", "absent"], ["TOPK", user, 5, *index, "NONSENSE"],
            ["MTOPK", len(several), *several, 4, *index, "WITHSCORES"], ["MTOPK", len(several) + 1, *several, "nobody", 3, *index],
            ["MTOPK", len(several) + 5, *several, 3, *index], ["MTOPK", 2, "a", "b", "x", *index], ["MTOPK", len(several), *several, 10_000, *index],
            ["MTOPK", len(several), *several, 3, "INDEX", "absent"], ["MTOPK", 0, 3, *index],
            ["SCORE", user, 3, *some, *index], ["SCORE", user, 2, some[0], "absent", *index], ["SCORE", user, 4, *some],
            ["SEEN", user, *index], ["SEEN", user, *index, "COUNT", 2], ["WHYNOT", user, some[0], 5, *index],
            ["EXPLAIN", user, some[0], *index], ["VSIM", "ip-hnsw", "ELE", some[0], "COUNT", 5, "WITHSCORES"], ["VSIM", "absent", "ELE", "x"],
            ["VEMB", "ip-hnsw", some[1]], ["VCARD", "cosine-ivf"], ["VDIM", "ip-hnsw"], ["VISMEMBER", "ip-hnsw", some[2]], ["VGETATTR", "ip-hnsw", some[0]],
            ["TYPE", "ip-hnsw"], ["EXISTS", "ip-hnsw", "absent"], ["DBSIZE"], ["SCAN", 0], ["PING"], ["ECHO", user], ["NOSUCH", user], ["GET", user],
            ["EVENT", user, "absent", *index], ["EVENT", user, some[0], "nan", *index], ["EVENT.DEL", "nobody", some[0], *index], ["FORGET", "nobody", *index],
        ]))
    return asked


@pytest.mark.parametrize("hello", [None, 3], ids=["resp2", "resp3"])
def test_answers_are_those_of_one_server_byte_for_byte(pair, catalogue, hello, fact):
    routed, alone = pair
    rng = random.Random(annex.SEED)
    asked = questions(catalogue, rng, 3_000)
    # What users did, first: with times of their own, so that both have the same.
    base = 1_700_000_000_000
    told = [["EVENT", rng.choice([*catalogue.user_ids[:20], "new-1", "new-2"]), rng.choice(catalogue.ids), rng.choice([1, 2, 0.5]), "AT", base + n,
             "INDEX", "ip-hnsw"] for n in range(300)]
    data = b"".join(encode(*words) for words in told + asked)
    through, direct = (raw(server, data, len(told) + len(asked), hello) for server in (routed, alone))
    assert through[:len(told)] == [b"+OK\r\n"] * len(told)
    different = [(words, a, b) for words, a, b in zip(told + asked, through, direct) if a != b]
    assert not different, f"{len(different)} differ; the first: {different[0]}"
    split = sum(words[0] == "MTOPK" and len({slot_of(str(u)) // 8192 for u in words[2:2 + words[1]]}) == 2 for words in asked if words[0] == "MTOPK")
    assert split > 50
    fact(f"answers equal in bytes: {len(asked)} and {len(told)} events, {split} MTOPK over both shards, RESP{hello or 2}")


def test_lines_are_answered_like_arrays(pair, catalogue):
    routed, alone = pair
    user, item = catalogue.user_ids[0], catalogue.ids[0]
    lines = [f"TOPK {user} 5 INDEX ip-hnsw", f'TOPK "{user}" 5 INDEX ip-hnsw WITHSCORES', f"SCORE '{user}' 1 {item} INDEX ip-hnsw", "", "  ", "PING",
             f"MTOPK 3 {' '.join(catalogue.user_ids[:3])} 2 INDEX ip-hnsw", "VCARD ip-hnsw", 'TOPK "\\x41" 3 INDEX ip-hnsw']
    data = "".join(line + "\r\n" for line in lines).encode()
    count = sum(bool(line.strip()) for line in lines)
    assert raw(routed, data, count, None) == raw(alone, data, count, None)


def test_a_read_sees_the_events_before_it_on_the_same_connection(pair, catalogue):
    routed, _ = pair
    with routed.connect(timeout=60) as c:
        data, expected = b"", []
        for n in range(400):
            user, item = f"order-{n % 7}", catalogue.ids[n]
            data += encode("EVENT", user, item, "INDEX", "ip-hnsw") + encode("SEEN", user, "INDEX", "ip-hnsw", "COUNT", 1)
            expected += ["OK", [item.encode()]]
        c.send(data)
        assert [c.read() for _ in expected] == expected


def test_10000_pipelined_commands_keep_their_order(pair, catalogue, fact):
    routed, _ = pair
    rng = random.Random(annex.SEED + 1)
    with routed.connect(timeout=120) as c:
        words = [rng.choice([["TOPK", rng.choice(catalogue.user_ids), 2, "INDEX", "ip-hnsw"], ["ECHO", f"e{n}"], ["VCARD", "ip-hnsw"],
                             ["SCORE", rng.choice(catalogue.user_ids), 1, catalogue.ids[n % 50], "INDEX", "ip-hnsw"]]) for n in range(10_000)]
        alone = {}
        threading.Thread(target=lambda: c.send(b"".join(encode(*w) for w in words)), daemon=True).start()
        for n, w in enumerate(words):
            reply = c.read()
            if w[0] == "ECHO":
                assert reply == f"e{n}".encode()
            else:
                assert alone.setdefault(tuple(w), reply) == reply
    fact("10000 pipelined commands to two shards and the router itself, in order")


def test_large_replies_pass_through_without_being_held(folder, indexes, catalogues, tmp_path, fact):
    index = indexes["ip-flat"]
    with Routed(index, folder=tmp_path / "large", shards=2, route=["--threads", "1"]) as routed:
        users = catalogues["ip-flat"].user_ids[:8]
        with routed.connect(timeout=120) as c:
            whole = c.call("TOPK", users[0], 1_200, "WITHSCORES", "WITHATTRIBS")
            before, total = routed.rss(), 0
            for _ in range(40):
                c.send(b"".join(encode("TOPK", user, 1_200, "WITHSCORES", "WITHATTRIBS") for user in users))
                for user in users:
                    total += len(frame(c))
            assert c.call("TOPK", users[0], 1_200, "WITHSCORES", "WITHATTRIBS") == whole
        grown = routed.rss() - before
        fact(f"large replies: {total / MIB:.0f} MiB through the router, RSS {grown / MIB:+.1f} MiB")
        assert grown < 32 * MIB


def test_a_password_is_the_routers_own(indexes, tmp_path):
    (tmp_path / "clients").write_text("of-clients\n")
    (tmp_path / "shards").write_text("of-shards\n")
    routed = Routed(indexes["ip-hnsw"], folder=tmp_path / "p", options=["--password-file", tmp_path / "shards"],
                    route=["--password-file", tmp_path / "clients", "--shard-password-file", tmp_path / "shards"])
    for process in routed.replicas:
        process.password = "of-shards"
    routed.password = "of-clients"
    with pytest.raises(ServerError, match="NOAUTH"):  # from the harness's first look
        with routed:
            pass
    routed = Routed(indexes["ip-hnsw"], folder=tmp_path / "q", options=["--password-file", tmp_path / "shards"],
                    route=["--password-file", tmp_path / "clients", "--shard-password-file", tmp_path / "shards"])
    routed.all_well = lambda: True
    for process in routed.replicas:
        process.password = "of-shards"
    routed.password = "of-clients"
    with routed, routed.connect() as c:
        assert c.error("TOPK", "a", 3).code == "NOAUTH"
        assert c.error("AUTH", "of-shards").code == "WRONGPASS"
        assert c.call("AUTH", "of-clients") == "OK"
        annex.wait_until(lambda: isinstance(answer(c, "VCARD", "ip-hnsw"), int), 5, "shards take the router's password")


def answer(c, *words):
    c.send(encode(*words))
    return c.read()


def test_hostile_traffic(indexes, tmp_path, fact):
    frames = annex.setting("ANNEX_FUZZ_FRAMES", 200_000) // 4
    program = Path(__file__).with_name("hostile_traffic.py")
    with Routed(*(indexes[name] for name in ("ip-hnsw", "ip-ivf", "l2-pq")), folder=tmp_path / "routed") as routed:
        watch, before, descriptors = annex.Watch(routed), routed.rss(), routed.descriptors()
        client = subprocess.Popen([sys.executable, program, str(routed.port), str(annex.SEED), str(frames)], stdout=subprocess.PIPE, text=True)
        watch.until(lambda: client.poll() is not None, 300)
        assert client.returncode == 0, client.stdout.read()
        # Connections to the shards stay: for each loop, shard, protocol and kind of command.
        annex.wait_until(lambda: routed.descriptors() <= descriptors + 32, 10, "descriptors back")
        routed.assert_alive()
        for process in routed.replicas:
            process.assert_alive()
        grown = routed.rss() - before
        fact(f"hostile frames at the router: {frames}; {watch}; RSS {grown / MIB:+.1f} MiB")
        assert grown <= 64 * MIB


# --- Replicas that stop ------------------------------------------------------------------------------------------------


class Load:
    """Reads at a constant rate, each connection by itself; what failed, and how long each took."""

    def __init__(self, routed, users, connections=4, pause=0.004):
        self.routed, self.users, self.pause = routed, users, pause
        self.stop, self.failures, self.times = threading.Event(), [], []
        self.threads = [threading.Thread(target=self._run, args=(n,)) for n in range(connections)]

    def _run(self, number):
        try:
            with self.routed.connect(timeout=10) as c:
                n = number
                while not self.stop.is_set():
                    began = time.monotonic()
                    reply = answer(c, "TOPK", self.users[n % len(self.users)], 3)
                    self.times.append((began, time.monotonic() - began))
                    if isinstance(reply, ServerError):
                        self.failures.append((began, str(reply)))
                    n += len(self.threads)
                    annex.pace(self.pause)
        except Exception as error:  # noqa: BLE001 - told by the test
            self.failures.append((time.monotonic(), repr(error)))

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join(20)

    def wait_for(self, count: int) -> None:
        """Until there are `count` more answers."""
        wanted = len(self.times) + count
        annex.wait_until(lambda: len(self.times) >= wanted or self.failures, 30, f"{count} more answers")


def quantile(times, q):
    ordered = sorted(times)
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))]


def test_a_killed_replica_costs_no_read(indexes, catalogue, tmp_path, fact):
    """R1: with one retry on the other replica no read fails."""
    with Routed(indexes["ip-hnsw"], folder=tmp_path / "c", shards=2, replicas=2) as routed:
        with Load(routed, catalogue.user_ids) as load:
            kills = 0
            for n in range(annex.setting("ANNEX_ROUTER_KILLS", 4)):
                load.wait_for(200)
                victim = routed.shards[n % 2][n // 2 % 2]
                victim.process.kill()
                victim.process.wait()
                kills += 1
                load.wait_for(300)
                victim.start().ready()
                annex.wait_until(routed.all_well, 10, "the replica is taken back")
        figures = routed.figures()
        assert not load.failures, load.failures[:3]
        assert kills > 0 and len(load.times) > 500
        fact(f"kill -9 of replicas: {kills}, {len(load.times)} reads, 0 failed, worst {max(t for _, t in load.times) * 1e3:.0f} ms, "
             f"{figures['router_retries']} retries, {figures['router_hedges']} hedges")


def test_a_stopped_replica_is_left_out_and_taken_back(indexes, catalogue, tmp_path, fact):
    """R5: reads end within their deadline; the replica is out after three misses and back after two answers."""
    with Routed(indexes["ip-hnsw"], folder=tmp_path / "c", shards=1, replicas=2) as routed:
        victim = routed.replicas[0]
        with Load(routed, catalogue.user_ids) as load:
            load.wait_for(300)
            victim.process.send_signal(signal.SIGSTOP)
            stopped = time.monotonic()
            try:
                annex.wait_until(lambda: "ejected" in routed.health(), 5, "the stopped replica is left out")
                out = time.monotonic() - stopped
                load.wait_for(300)
            finally:
                victim.process.send_signal(signal.SIGCONT)
            back = time.monotonic()
            annex.wait_until(routed.all_well, 10, "the replica is taken back")
            back = time.monotonic() - back
        assert not load.failures, load.failures[:3]
        worst = max(t for _, t in load.times)
        fact(f"a stopped replica: out after {out:.2f} s, back {back:.2f} s after it went on; {len(load.times)} reads, 0 failed, worst {worst * 1e3:.0f} ms")
        assert worst < 0.4 and out < 2.5 and back < 3


def test_a_shard_that_is_gone_hurts_only_its_users(indexes, catalogue, tmp_path, fact):
    """R4: its users get an error at once that names the slot, all others answers."""
    with Routed(indexes["ip-hnsw"], folder=tmp_path / "c", shards=2, replicas=2) as routed:
        homes = {user: slot_of(user) // 8192 for user in catalogue.user_ids}
        theirs, others = ([u for u, home in homes.items() if home == n] for n in (0, 1))
        with Load(routed, others) as load:
            load.wait_for(500)
            before = [t for _, t in load.times]
            for process in routed.shards[0]:
                process.process.kill()
                process.process.wait()
            load.wait_for(50)
            mark = time.monotonic()
            took = []
            with routed.connect() as c:
                for user in theirs[:20]:
                    began = time.monotonic()
                    error = c.error("TOPK", user, 3)
                    took.append(time.monotonic() - began)
                    assert error.code == "CLUSTERDOWN" and f"slot {slot_of(user)}" in str(error), error
                    if user == theirs[0]:
                        assert c.error("EVENT", user, catalogue.ids[0]).code == "CLUSTERDOWN"
                assert c.error("MTOPK", 2, theirs[0], others[0], 2).code == "CLUSTERDOWN"
                assert len(c.call("VSIM", "ip-hnsw", "ELE", catalogue.ids[0])) == 10, "any other shard answers"
            load.wait_for(500)
        after = [t for began, t in load.times if began > mark]
        assert not load.failures, load.failures[:3]
        ratio = quantile(after, 0.99) / quantile(before, 0.99)
        fact(f"a shard that is gone: its users' errors within {max(took) * 1e3:.1f} ms; others' p99 {ratio:.2f} × that before, 0 failures")
        assert max(took) < 0.1


def test_what_takes_too_long_is_a_timeout(indexes, catalogue, tmp_path):
    """Every request has a deadline: nothing hangs where the only replica is stuck."""
    with Routed(indexes["ip-hnsw"], folder=tmp_path / "c", shards=1, state=True, router={"deadline-ms": 150, "event-deadline-ms": 300}) as routed:
        victim = routed.replicas[0]
        with routed.connect(timeout=5) as c, routed.connect(timeout=5) as d:
            user, item = catalogue.user_ids[0], catalogue.ids[0]
            c.call("TOPK", user, 3)
            assert d.call("EVENT", user, item) == "OK"
            victim.process.send_signal(signal.SIGSTOP)
            try:
                began = time.monotonic()
                error = c.error("TOPK", user, 3)
                took = time.monotonic() - began
                assert error.code == "TIMEOUT" and f"slot {slot_of(user)}" in str(error) and 0.14 < took < 0.3, (error, took)
                began = time.monotonic()
                error = d.error("EVENT", user, item)
                took = time.monotonic() - began
                assert error.code == "TIMEOUT" and "may be stored or not" in str(error) and 0.28 < took < 0.6, (error, took)
            finally:
                victim.process.send_signal(signal.SIGCONT)
            # The late replies are nobody's: what comes next is answered right.
            annex.wait_until(lambda: isinstance(answer(c, "TOPK", user, 3), list), 5, "answers again")
            assert c.call("ECHO", "x") == b"x" and len(c.call("TOPK", user, 4)) == 4


def test_many_deadlines_at_once_answer_everybody_once(indexes, catalogue, tmp_path, fact):
    """Clients that are answered ask the next at once: nobody gets another's answer, nobody none."""
    with Routed(indexes["ip-hnsw"], folder=tmp_path / "c", shards=1, state=True, route=["--threads", "1"],
                router={"deadline-ms": 150, "event-deadline-ms": 400}) as routed:
        user, item, victim = catalogue.user_ids[0], catalogue.ids[0], routed.replicas[0]
        links = [routed.connect(timeout=5) for _ in range(40)]
        assert links[0].call("EVENT", user, item) == "OK" and len(links[0].call("TOPK", user, 3)) == 3
        victim.process.send_signal(signal.SIGSTOP)
        try:
            for n, c in enumerate(links):
                c.send(encode("TOPK", user, 3) + (encode("EVENT", user, item) if n % 2 else b""))
            for n, c in enumerate(links):
                first = str(c.read())
                assert first.startswith(("TIMEOUT", "CLUSTERDOWN")) and "may be stored" not in first, first
                if n % 2:
                    second = str(c.read())
                    assert second.startswith(("TIMEOUT", "CLUSTERDOWN")) and ("may be stored" in second or "nothing was changed" in second), second
        finally:
            victim.process.send_signal(signal.SIGCONT)
        annex.wait_until(lambda: isinstance(answer(links[0], "TOPK", user, 3), list), 10, "answers again")
        for n, c in enumerate(links):
            assert c.call("ECHO", str(n)) == str(n).encode()
            c.socket.close()
        fact(f"{len(links)} clients whose deadlines passed at once: each answered once, in order")


def test_waitpos_holds_up_nobody_else(indexes, catalogue, tmp_path):
    with Routed(indexes["ip-hnsw"], folder=tmp_path / "c", shards=1, route=["--threads", "1"]) as routed:
        user, others = catalogue.user_ids[0], catalogue.user_ids[1:9]
        block = slot_of(user) >> 10
        with routed.connect() as c, routed.connect() as d:
            assert c.call("WAITPOS", user, f"ip-hnsw:{block:02}:9999999999999-0", "TIMEOUT", 60_000) == "OK"
            assert c.error("WAITPOS", user, "nonsense").code == "ERR"
            assert c.error("TOPK", user, 3).code == "TIMEOUT", "a read that may not be answered from before that"
            for other in others:
                began = time.monotonic()
                assert len(d.call("TOPK", other, 3)) == 3 and time.monotonic() - began < 0.1


def test_shards_without_a_password_take_a_router_with_one(indexes, catalogue, tmp_path):
    (tmp_path / "clients").write_text("of-clients\n")
    routed = Routed(indexes["ip-hnsw"], folder=tmp_path / "c", route=["--password-file", tmp_path / "clients"])
    routed.password, routed.all_well = "of-clients", lambda: True
    with routed, routed.connect() as c:
        assert c.call("AUTH", "of-clients") == "OK"
        annex.wait_until(lambda: isinstance(answer(c, "TOPK", catalogue.user_ids[0], 3), list), 5, "answers")
        assert all(len(c.call("TOPK", user, 3)) == 3 for user in catalogue.user_ids)


def test_retries_and_hedges_are_bounded(indexes, catalogue, tmp_path, fact):
    """R6: never more than a fifth of requests, whatever fails."""
    with Routed(indexes["ip-hnsw"], folder=tmp_path / "c", shards=1, replicas=2) as routed:
        with Load(routed, catalogue.user_ids, connections=8, pause=0.001) as load:
            for _ in range(3):
                victim = routed.replicas[0]
                victim.process.send_signal(signal.SIGSTOP)
                annex.lasting(0.7, "it stands still, about until it is left out")
                victim.process.send_signal(signal.SIGCONT)
                annex.lasting(0.7, "it is taken back")
        annex.wait_until(lambda: routed.figures()["router_reads"] >= len(load.times), 5, "all reads are counted")
        figures = routed.figures()
        fact(f"3 stops under load: {figures['router_reads']} reads, {figures['router_retries']} retries, {figures['router_hedges']} hedges, "
             f"{figures['router_timeouts']} timeouts")
        assert figures["router_retries"] <= 0.2 * figures["router_requests"] + 10
        assert figures["router_hedges"] <= 0.05 * figures["router_reads"] + 1


def test_replicas_that_join_and_leave_are_followed(indexes, catalogue, tmp_path):
    """No connection is dropped when the file changes."""
    with Routed(indexes["ip-hnsw"], folder=tmp_path / "c", shards=1, replicas=2) as routed, routed.connect() as c:
        first, second = routed.replicas
        with Load(routed, catalogue.user_ids) as load:
            topology(routed.file, [(routed.slots[0], [second.port])], epoch=2)
            annex.wait_until(lambda: len(routed.health()) == 1, 5, "the router lets go of the first")
            load.wait_for(200)
            first.stop()
            load.wait_for(200)
            topology(routed.file, [(routed.slots[0], [first.port, second.port])], epoch=3)
            first.start()
            first.ready()
            annex.wait_until(lambda: routed.health() == ["healthy"] * 2, 5, "the router takes the first in")
            load.wait_for(200)
        assert not load.failures, load.failures[:3]
        assert c.call("PING") == "PONG"


def test_a_router_drains(indexes, catalogue, tmp_path):
    """D7: what was received is answered, exit 0."""
    with Routed(indexes["ip-hnsw"], folder=tmp_path / "c") as routed:
        with routed.connect(timeout=20) as c:
            c.send(b"".join(encode("TOPK", user, 5) for user in catalogue.user_ids * 5))
            replies = [c.read()]  # all were sent in one write
            routed.process.send_signal(signal.SIGTERM)
            replies += [c.read() for _ in (catalogue.user_ids * 5)[1:]]
            assert all(isinstance(reply, list) and len(reply) == 5 for reply in replies)
        assert routed.process.wait(6) == 0
