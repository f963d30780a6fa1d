"""What replicas promise while their log is cut, paused, killed, emptied, and while they are killed themselves.

Redis is the oracle: what its streams hold was stored, and nothing else was; each change bears a name of its own.
"""

import collections
import signal
import socket
import threading
import time

import pytest

import annex
import live
from annex import ServerError, encode
from live import seen
from redis_log import Redis, caught_up, key, log_line, replica
from test_70_log import agree, backup, restore

INDEX = "shop"
NOT_STORED, UNKNOWN = "nothing was stored", ("may or may not have been stored", "it is stored in the log")


@pytest.fixture(scope="module")
def shop(folder):
    return live.make_shop(folder / "log faults", INDEX, items=400, users=40)


@pytest.fixture
def log(tmp_path):
    with Redis(tmp_path / "redis") as server:
        yield server


class Writer(threading.Thread):
    """Events that each differ from all others by (user, item), stamped by the server, so that one applied twice shows.
    What was acknowledged, refused for sure, and left open."""

    def __init__(self, server, name: str, items, depth: int = 4):
        super().__init__(daemon=True)
        self.server, self.name, self.items, self.depth = server, name, items, depth
        self.acknowledged, self.refused, self.unknown = set(), set(), set()
        self.slowest, self.failure, self.over = 0.0, None, threading.Event()

    def run(self):
        sent = collections.deque()
        n = 0
        try:
            with self.server.connect(timeout=30) as c:
                while not self.over.is_set() or sent:
                    while len(sent) < self.depth and not self.over.is_set():
                        event = (f"{self.name}-{n // 300}", self.items[20 + n % 300])
                        sent.append((event, time.monotonic()))
                        n += 1
                        c.send(encode("EVENT", *event))
                    if not sent:
                        break
                    reply = c.read()
                    event, since = sent.popleft()
                    self.slowest = max(self.slowest, time.monotonic() - since)
                    if reply == "OK":
                        self.acknowledged.add(event)
                    elif isinstance(reply, ServerError) and NOT_STORED in str(reply):
                        assert reply.code in ("ERR", "OVERLOADED", "MASTERDOWN"), reply
                        self.refused.add(event)
                        annex.pace(0.005)
                    elif isinstance(reply, ServerError) and reply.code == "TIMEOUT" and any(u in str(reply) for u in UNKNOWN):
                        self.unknown.add(event)
                    else:
                        self.failure = reply
                        return
        except (OSError, EOFError):
            pass  # the server was killed, as it should be
        self.unknown |= {event for event, _ in sent}


def in_the_log(log) -> collections.Counter:
    """(user, item) of every event that Redis holds."""
    found = collections.Counter()
    for block in range(16):
        for _, words in log.call("XRANGE", key(INDEX, block), "-", "+"):
            fields = dict(zip(words[::2], words[1::2]))
            found[fields[b"user"].decode(), fields[b"item"].decode()] += 1
    return found


def check(log, servers, writers, shop) -> collections.Counter:
    """No acknowledged event lost, none that was refused stored, none appended or applied twice, replicas equal."""
    assert not [w.failure for w in writers if w.failure], [w.failure for w in writers if w.failure][:3]
    counted = collections.Counter()
    caught_up(servers, INDEX, within=30)
    stored = in_the_log(log)
    assert set(stored.values()) <= {1}, "an event was appended twice"
    for writer in writers:
        assert writer.acknowledged <= stored.keys(), "an acknowledged event is lost"
        assert not writer.refused & stored.keys(), "an event is stored of which the reply said that it is not"
        counted["acknowledged"] += len(writer.acknowledged)
        counted["refused"] += len(writer.refused)
        counted["open"] += len(writer.unknown)
        counted["open, stored"] += len(writer.unknown & stored.keys())
    users = sorted({user for user, _ in stored})
    for server in servers:
        with server.connect(timeout=30) as c:
            assert int(live.state_line(c, INDEX)["events"]) == len(stored), "applied twice, or not"
            for user in users:
                assert {i for i, _ in seen(c, user, "COUNT", 1000)} == {i for u, i in stored if u == user}
    agree(servers, shop.catalogue, users[:40])
    return counted


def started(servers, shop, label: str, per_server: int = 4, depth: int = 4) -> list[Writer]:
    writers = [Writer(s, f"{label}{n}{p}", shop.catalogue.ids, depth) for n, s in enumerate(servers) for p in range(per_server)]
    for writer in writers:
        writer.start()
    return writers


def wait_for_more(writers, count: int = 40) -> None:
    """Until so many more of their events were acknowledged."""
    acknowledged = lambda: sum(len(writer.acknowledged) for writer in writers)  # noqa: E731
    wanted = acknowledged() + count
    annex.wait_until(lambda: acknowledged() >= wanted or any(w.failure for w in writers), 30, f"{count} more events acknowledged")


def ended(writers) -> None:
    for writer in writers:
        writer.over.set()
    for writer in writers:
        writer.join(60)
        assert not writer.is_alive()


@pytest.mark.parametrize("ack", ["replica", "log"])
def test_kill_9_of_replicas(shop, log, tmp_path, fact, ack):
    kills = annex.setting("ANNEX_LOG_KILLS", 8)
    rng, total = annex.generator(f"log kills {ack}"), collections.Counter()
    with replica(shop.index, tmp_path / "b", log, "--ack", ack) as b:
        writers = []
        for turn in range(kills // 2):
            with replica(shop.index, tmp_path / "a", log, "--ack", ack) as a:
                fresh = started([a, b], shop, f"k{turn}")
                annex.drawn_moment(rng, 0.15, 0.6)
                a.process.send_signal(signal.SIGKILL)
                a.process.wait(10)
                # Its users go on through the other one at once.
                with b.connect(timeout=2) as c:
                    start = time.monotonic()
                    live.event(c, f"after{turn}", shop.catalogue.ids[20])
                    assert time.monotonic() - start < 1
                wait_for_more(fresh)
                ended(fresh)
                writers += fresh
        with replica(shop.index, tmp_path / "a", log, "--ack", ack) as a:
            total += check(log, [a, b], writers, shop)
    assert total["acknowledged"] > 0
    fact(f"log, --ack {ack}: {kills // 2} replicas killed by kill -9 under events, {total['acknowledged']} acknowledged, 0 lost, "
         f"0 twice; {total['open, stored']} of {total['open']} left open were stored")


class Proxy:
    """Between a replica and Redis: passes bytes on, until told to cut or to swallow."""

    def __init__(self, target: int):
        self.target, self.pairs, self.over = target, [], False
        self.swallows = ""
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while not self.over:
            try:
                client, _ = self.listener.accept()
                server = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                return
            with self.lock:
                self.pairs.append((client, server))
            for source, sink, back in ((client, server, False), (server, client, True)):
                threading.Thread(target=self.pump, args=(source, sink, back), daemon=True).start()

    def pump(self, source, sink, back):
        try:
            while data := source.recv(1 << 16):
                if self.swallows == ("answers" if back else "questions"):
                    continue  # what was asked for happens and nobody hears of it; or it never happens
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def cut(self):
        with self.lock:
            pairs, self.pairs = self.pairs, []
        for pair in pairs:
            for end in pair:
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def close(self):
        self.over = True
        self.listener.close()
        self.cut()


def test_connections_to_the_log_that_are_cut(shop, log, tmp_path, fact):
    """Half of the cuts come after answers of the log were lost, so that only reading back tells what was stored, or what was asked of
    it."""
    cuts = annex.setting("ANNEX_LOG_CUTS", 16)
    rng = annex.generator("log cuts")
    proxy = Proxy(log.port)
    try:
        with replica(shop.index, tmp_path / "a", f"redis://127.0.0.1:{proxy.port}") as a, replica(shop.index, tmp_path / "b", log) as b:
            writers = started([a, b], shop, "c")
            swallowed = collections.Counter()
            for turn in range(cuts):
                annex.drawn_moment(rng, 0.1, 0.35)
                if turn % 2:
                    proxy.swallows = "answers" if turn % 4 == 1 else "questions"
                    swallowed[proxy.swallows] += 1
                    annex.drawn_moment(rng, 0.01, 0.15)
                proxy.cut()
                proxy.swallows = ""
            wait_for_more(writers)
            ended(writers)
            counted = check(log, [a, b], writers, shop)
            assert counted["refused"] > 0 and counted["acknowledged"] > 0 and counted["open"] > counted["open, stored"]
            slowest = max(w.slowest for w in writers)
            # What a connection sends while an earlier change is unanswered is read behind that: twice the deadline.
            assert slowest < 4.5, f"an event waited {slowest:.1f} s"
    finally:
        proxy.close()
    fact(f"log: {cuts} times cut off, {swallowed['answers']} of them after answers were lost, {swallowed['questions']} after questions were: {counted['acknowledged']} events acknowledged, 0 lost, "
         f"{counted['refused']} refused, 0 of them stored, {counted['open, stored']} of {counted['open']} left open were stored, 0 twice; "
         f"none waited longer than {slowest:.2f} s")


def test_a_log_that_says_nothing(shop, log, tmp_path, fact):
    """SIGSTOP: events are refused within their deadline and then at once, reads go on until the stated lag, all comes back."""
    pauses = annex.setting("ANNEX_LOG_PAUSES", 2)
    slowest, back, at_once = 0.0, 0.0, 0.0
    with replica(shop.index, tmp_path / "a", log, "--max-lag", "3") as a, replica(shop.index, tmp_path / "b", log, "--max-lag", "0") as b:
        with a.connect() as c, b.connect() as d:
            live.event(c, "u1", shop.catalogue.ids[20])
            caught_up([a, b], INDEX)
            opened = 0
            for turn in range(pauses):
                item = shop.catalogue.ids[30 + turn]
                log.pause()
                paused = time.monotonic()
                error = c.error("EVENT", "u1", item)
                slowest = max(slowest, time.monotonic() - paused)
                assert error.code == "TIMEOUT" and UNKNOWN[0] in str(error), error
                for _ in range(20):
                    start = time.monotonic()
                    error = c.error("EVENT", "u1", item)
                    at_once = max(at_once, time.monotonic() - start)
                    assert error.code == "MASTERDOWN" and NOT_STORED in str(error) and log.url.split("//")[1] in str(error)
                assert len(c.call("TOPK", "u1", 5)) == 5 and log_line(c, INDEX)["status"] == "cut-off"
                assert 0 < int(log_line(c, INDEX)["cut_off_ms"]) < 3000
                # Too old now; the one that never minds goes on.
                annex.wait_until(lambda: time.monotonic() - paused > 3.4, 5, "the lag was reached")
                for words in (("TOPK", "u1", 5), ("SEEN", "u1"), ("SCORE", "u1", 1, item), ("MTOPK", 1, "u1", 5), ("EXPLAIN", "u1", item),
                              ("WHYNOT", "u1", item, 5)):
                    error = c.error(*words)
                    assert error.code == "MASTERDOWN" and "replica" in str(error), words
                    d.send(encode(*words))
                    assert not isinstance(d.read(), ServerError)
                assert len(c.call("VSIM", INDEX, "ELE", item, "COUNT", 3)) == 3 and c.call("PING") == "PONG"
                assert 3000 < int(log_line(c, INDEX)["lag_ms"]) < 10_000
                log.resume()
                resumed = time.monotonic()

                def works() -> bool:
                    c.send(encode("EVENT", "u1", shop.catalogue.ids[60 + turn]))
                    return c.read() == "OK"

                annex.wait_until(works, 10, "events were taken again")
                annex.wait_until(lambda: not isinstance((c.send(encode("TOPK", "u1", 5)), c.read())[1], ServerError), 10, "reads were answered")
                back = max(back, time.monotonic() - resumed)
                opened += in_the_log(log)["u1", item]
            agree([a, b], shop.catalogue, ["u1"])
            assert int(live.state_line(c, INDEX)["events"]) == sum(in_the_log(log).values())
    assert slowest < 3 and at_once < 0.1 and back < 3
    fact(f"log: stopped {pauses} times: the event on its way refused after {slowest:.2f} s ({opened} were stored all the same), those after it "
         f"within {at_once * 1000:.0f} ms; works again {back:.2f} s after the log does")


def test_replicas_that_are_stopped_while_others_go_on(shop, log, tmp_path, fact):
    pauses = annex.setting("ANNEX_LOG_PAUSES", 2)
    with replica(shop.index, tmp_path / "a", log) as a, replica(shop.index, tmp_path / "b", log) as b:
        writers = started([a, b], shop, "s")
        for turn in range(pauses):
            wait_for_more(writers)
            (a, b)[turn % 2].process.send_signal(signal.SIGSTOP)
            annex.lasting(2.6, "longer than the log waits for an answer, and than a change may take")
            (a, b)[turn % 2].process.send_signal(signal.SIGCONT)
        wait_for_more(writers)
        ended(writers)
        counted = check(log, [a, b], writers, shop)
    fact(f"log: {pauses} replicas stopped for longer than every deadline: {counted['acknowledged']} events acknowledged, 0 lost, 0 twice")


def test_a_log_that_is_killed_and_keeps_what_it_has(shop, tmp_path, fact):
    """appendfsync always: nothing that was acknowledged may go."""
    kills = annex.setting("ANNEX_LOG_REDIS_KILLS", 4)
    rng = annex.generator("redis kills")
    with Redis(tmp_path / "redis", ["--appendonly", "yes", "--appendfsync", "always"]) as log:
        with replica(shop.index, tmp_path / "a", log, "--ack", "log") as a, replica(shop.index, tmp_path / "b", log) as b:
            writers = started([a, b], shop, "r")
            for _ in range(kills):
                annex.drawn_moment(rng, 0.2, 0.5)
                log.kill()
                annex.drawn_moment(rng, 0, 0.3)
                log.start()
                wait_for_more(writers)
            ended(writers)
            counted = check(log, [a, b], writers, shop)
            assert counted["refused"] > 0 and counted["acknowledged"] > 0
    fact(f"log: redis-server killed by kill -9 {kills} times (appendfsync always): {counted['acknowledged']} events acknowledged, 0 lost, "
         f"{counted['refused']} refused, 0 of them stored, 0 twice")


def test_a_log_that_lost_its_disk(shop, log, tmp_path, fact):
    """It comes back empty: no replica takes a change, all read on, and all begin anew from one backup."""
    with replica(shop.index, tmp_path / "a", log, "--max-lag", "2") as a, replica(shop.index, tmp_path / "b", log, "--max-lag", "2") as b:
        writers = started([a, b], shop, "d")
        wait_for_more(writers)
        ended(writers)
        before = check(log, [a, b], writers, shop)["acknowledged"]
        log.kill()
        log.start()
        with a.connect() as c, b.connect() as d:
            for connection in (c, d):
                annex.wait_until(lambda: log_line(connection, INDEX)["status"] == "refusing", 10, "the loss was noticed")
                error = connection.error("EVENT", "u1", shop.catalogue.ids[20])
                assert NOT_STORED in str(error) and "lost" in str(error) and "estore" in str(error)
                assert "lost" in log_line(connection, INDEX)["problem"]
            annex.lasting(2.5, "longer than --max-lag")
            for connection in (c, d):
                # There is nothing newer anywhere, so that nothing is too old.
                assert len(connection.call("TOPK", "u1", 5)) == 5
                assert int(live.state_line(connection, INDEX)["events"]) == before
            assert "lost what this replica has applied" in a.text() and log.entries(INDEX) == 0
        assert backup(tmp_path / "a" / "state", tmp_path / "x.backup").returncode == 0
    for name in ("c", "d"):
        done = restore(tmp_path / "x.backup", tmp_path / name / "state", "--new-log")
        assert done.returncode == 0 and "from its first entry" in done.stdout, annex.said(done)
    with replica(shop.index, tmp_path / "c", log) as a, replica(shop.index, tmp_path / "d", log) as b, a.connect() as c, b.connect() as d:
        for n in range(50):
            live.event((c, d)[n % 2], "u1", shop.catalogue.ids[n])
        agree([a, b], shop.catalogue, ["u1", *{u for w in writers for u, _ in w.acknowledged}])
        assert int(live.state_line(d, INDEX)["events"]) == before + 50
    fact(f"log: came back empty once: both replicas refused events, kept {before} and began anew from one backup")


def test_a_log_that_forgot_the_last_of_it(shop, log, tmp_path):
    """It comes back as it was a while ago, and others go on with it: who knows more than it says so, and is told from the rest."""
    with replica(shop.index, tmp_path / "a", log) as a, a.connect() as c:
        for n in range(100):
            live.event(c, f"u{n % 30}", shop.catalogue.ids[n])
        assert backup(tmp_path / "a" / "state", tmp_path / "x.backup").returncode == 0
        log.call("SAVE")
        kept = (log.folder / "dump.rdb").read_bytes()
        for n in range(100):
            live.event(c, f"u{n % 30}", shop.catalogue.ids[100 + n])
        log.kill()
        (log.folder / "dump.rdb").write_bytes(kept)
        log.start()
        assert log.entries(INDEX) == 100
        annex.wait_until(lambda: log_line(c, INDEX)["status"] == "refusing", 10, "the loss was noticed")
        assert restore(tmp_path / "x.backup", tmp_path / "b" / "state").returncode == 0
        with replica(shop.index, tmp_path / "b", log) as b, b.connect() as d:
            for n in range(150):
                live.event(d, f"u{n % 30}", shop.catalogue.ids[200 + n])
            # The log has more entries by now than the other one has read of it, and still it is another log.
            assert log.entries(INDEX) == 250
            annex.lasting(1.5, "it goes on refusing")
            assert NOT_STORED in str(c.error("EVENT", "u1", shop.catalogue.ids[20])) and log_line(c, INDEX)["status"] == "refusing"
            assert int(live.state_line(c, INDEX)["events"]) == 200 and int(live.state_line(d, INDEX)["events"]) == 250


def test_streams_that_are_trimmed_or_deleted_under_way(shop, log, tmp_path):
    with replica(shop.index, tmp_path / "a", log) as a, replica(shop.index, tmp_path / "b", log, "--max-lag", "2") as b:
        with a.connect() as c, b.connect() as d:
            live.event(c, "u1", shop.catalogue.ids[20])
            caught_up([a, b], INDEX)
            # A replica that sleeps while the log is trimmed beyond what it has.
            b.process.send_signal(signal.SIGSTOP)
            for n in range(60):
                live.event(c, "u1", shop.catalogue.ids[30 + n])
            block = next(n for n in range(16) if log.call("EXISTS", key(INDEX, n)))
            assert log.call("XTRIM", key(INDEX, block), "MAXLEN", 10) == 51
            b.process.send_signal(signal.SIGCONT)
            annex.wait_until(lambda: log_line(d, INDEX)["status"] == "refusing", 10, "the gap was noticed")
            assert "trimmed" in log_line(d, INDEX)["problem"] or "could be read" in log_line(d, INDEX)["problem"]
            assert NOT_STORED in str(d.error("EVENT", "u1", shop.catalogue.ids[20]))
            annex.wait_until(lambda: isinstance((d.send(encode("SEEN", "u1")), d.read())[1], ServerError), 10, "reads were refused")
            live.event(c, "u1", shop.catalogue.ids[21])  # the other one had all of it
            # And a stream that goes under everybody's feet.
            log.call("DEL", key(INDEX, block))
            annex.wait_until(lambda: log_line(c, INDEX)["status"] == "refusing", 10, "the loss was noticed")
            assert "lost" in str(c.error("EVENT", "u1", shop.catalogue.ids[20]))


def test_a_log_without_memory(shop, log, tmp_path):
    with replica(shop.index, tmp_path / "a", log) as a, a.connect() as c:
        live.event(c, "u1", shop.catalogue.ids[20])
        log.call("CONFIG", "SET", "maxmemory", "1")
        error = c.error("EVENT", "u1", shop.catalogue.ids[21])
        assert NOT_STORED in str(error) and "OOM" in str(error)
        log.call("CONFIG", "SET", "maxmemory", "0")
        live.event(c, "u1", shop.catalogue.ids[22])
        caught_up([a], INDEX)
        assert set(in_the_log(log)) == {("u1", shop.catalogue.ids[n]) for n in (20, 22)}


def test_a_server_starts_and_stops_without_its_log(shop, tmp_path):
    url = f"redis://127.0.0.1:{annex.free_port()}"
    with replica(shop.index, tmp_path / "a", url) as a, a.connect() as c:
        assert NOT_STORED in str(c.error("EVENT", "u1", shop.catalogue.ids[20]))
        assert c.error("TOPK", "u1", 5).code == "MASTERDOWN", "it cannot know how old it is"
        assert log_line(c, INDEX)["lag_ms"] == "-1" and "refused" in log_line(c, INDEX)["problem"].lower()
        start = time.monotonic()
        assert a.stop() == 0 and time.monotonic() - start < 3


def test_sigterm_answers_what_was_accepted(shop, log, tmp_path):
    with replica(shop.index, tmp_path / "a", log) as a:
        writers = started([a], shop, "t", per_server=8)
        wait_for_more(writers)
        a.process.send_signal(signal.SIGTERM)
        start = time.monotonic()
        assert a.process.wait(8) == 0 and time.monotonic() - start < 5
        ended(writers)
        assert "error" not in a.text().lower(), a.text()[-2000:]
    with replica(shop.index, tmp_path / "a", log) as a:
        assert check(log, [a], writers, shop)["acknowledged"] > 100
