"""Events from clients of every kind, and the order of replies that have to wait."""

import hashlib
import socket
import struct
import threading

import pytest
import redis
from redis.exceptions import ResponseError

import annex
import live
from annex import ServerError, encode, pairs
from live import CUT, event, fields, seen, text
from live_place import place_of
from live_place import als, c, items  # noqa: F401 (fixtures)


@pytest.mark.parametrize("protocol", [2, 3])
def test_redis_py(als, protocol, items):
    user = f"redis{protocol}"
    with redis.Redis(port=als.server.port, protocol=protocol, socket_timeout=10, decode_responses=True) as r:
        assert r.execute_command("EVENT", user, items[3], 2.5, "AT", CUT + 9) in ("OK", True)
        assert r.execute_command("EVENT", user, items[4]) in ("OK", True)
        assert r.execute_command("SEEN", user) == [items[4], items[3]]
        times = r.execute_command("SEEN", user, "WITHTIMES")
        if protocol == 2:
            assert times[0] == items[4] and times[2:] == [items[3], times[3]] and int(times[3]) == CUT + 9
        else:
            assert times[1] == [items[3], CUT + 9]
        trained = r.execute_command("SEEN", "u36", "WITHTIMES")
        assert trained[1] is None if protocol == 2 else trained[0][1] is None
        als.model.event(user, items[3], 2.5, CUT + 9)
        als.model.event(user, items[4], 1, CUT + 10)
        answer = pairs(r.execute_command("TOPK", user, 10, "TRUTH", "WITHSCORES"))
        als.shop.catalogue.check_exact(answer, als.model.vector(user), 10, leave_out=set(items[3:5]))
        explained = r.execute_command("EXPLAIN", user, items[9])
        explained = explained if isinstance(explained, dict) else dict(zip(explained[::2], explained[1::2]))
        assert set(explained) == {"score", "method", "events", "baseline", "contributions", "rest"} and float(explained["baseline"]) == 0
        assert explained["method"] == "als" and int(explained["events"]) == 2
        why = r.execute_command("WHYNOT", user, items[3], 10)
        why = why if isinstance(why, dict) else dict(zip(why[::2], why[1::2]))
        assert set(why) == {"reason", "rank", "score", "kth-score"} and why["reason"] == "seen"
        assert r.execute_command("EVENT.DEL", user, items[3]) in (1, True)
        assert r.execute_command("FORGET", user) in (1, True)
        with pytest.raises(ResponseError, match="NOUSER"):
            r.execute_command("TOPK", user, 10)
        with pytest.raises(ResponseError, match="NOITEM"):
            r.execute_command("EVENT", user, "no such item")
        table = {str(name).lower(): entry for name, entry in r.command().items()}
        for name in ("event", "event.del", "seen", "forget", "explain", "whynot"):
            assert table[name]["first_key_pos"] == 1 and r.command_getkeys(name, "ann", "x", "3") == ["ann"], name
        flags = {name: {str(f) for f in table[name]["flags"]} for name in ("event", "event.del", "forget", "seen", "topk")}
        assert all("write" in flags[name] for name in ("event", "event.del", "forget")) and "readonly" in flags["seen"]


def test_a_plain_line_is_enough(als, items):
    with als.server.connect() as c:
        c.send(b"EVENT line 1 2 AT 1700000000009\r\nSEEN line WITHTIMES\r\n")
        assert c.read() == "OK" and text(c.read()[0]) == "1"


def test_a_read_on_another_connection_sees_an_acknowledged_write(als, items, fact):
    """As many connections as there could be event loops, several times over."""
    connections = [als.server.connect() for _ in range(16)]
    rng, wrong = annex.generator("other connections"), 0
    for n in range(400):
        writer, reader = (connections[int(k)] for k in rng.choice(16, 2, replace=False))
        item, user = items[n], f"other{n % 3}"
        event(writer, user, item, 1, CUT + n)
        wrong += reader.call("SEEN", user, "COUNT", 1) != [item.encode()]
        wrong += item.encode() in reader.call("TOPK", user, 500)
        if n % 10 == 9:
            assert writer.call("EVENT.DEL", user, item) == 1
            wrong += item.encode() in reader.call("SEEN", user)
            wrong += item.encode() not in reader.call("TOPK", user, 500)
    for connection in connections:
        connection.socket.close()
    fact(f"reads on another connection after an acknowledged write: 880, {wrong} stale")
    assert wrong == 0


def test_events_of_many_connections_on_one_item_add_up(als, items):
    def send(n):
        with als.server.connect(timeout=30) as c:
            c.send(encode("EVENT", "crowded", items[20]) * 100 + encode("EVENT", "crowded", items[20], 1, "AT", n))
            replies.extend(c.read() for _ in range(101))

    replies: list = []
    threads = [threading.Thread(target=send, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert replies == ["OK"] * 808
    als.model.event("crowded", items[20], 808, CUT + 1)
    with als.server.connect() as c:
        als.check_vector(c, "crowded")
        found = fields(c.call("EXPLAIN", "crowded", items[21]))
        assert [(i, w) for i, w, _ in live.contributions(found)] == [(items[20], 808.0)]


# --- Replies that have to wait -----------------------------------------------------------------------------------------


def test_replies_keep_their_order(als, c, items):
    """Events wait for the disk, long histories are worked out elsewhere, a PING is ready at once: all come in order."""
    rng, expected = annex.generator("order of replies"), []
    long = [items[n % 300] for n in range(3000)]
    for n in range(300):
        kind = int(rng.integers(6))
        words, reply = [
            (("EVENT", "inorder", items[n], 1, "AT", CUT + n), "OK"), (("ECHO", f"number {n}"), f"number {n}".encode()),
            (("TOPK", "inorder-absent", 4, "HISTORY", 3000, *long), 4), (("SEEN", "inorder-absent"), []),
            (("WHYNOT", "u1", "no such item", 3), 8), (("MTOPK", 2, "u1", "inorder-absent", 3, "HISTORY", 3000, *long), 2),
        ][kind]
        c.send(encode(*words))
        expected.append(reply)
    for n, wanted in enumerate(expected):
        reply = c.read()
        assert (len(reply) if isinstance(wanted, int) else reply) == wanted, f"reply {n}: {reply!r:.100}"


@pytest.mark.parametrize("end", ["quit", "half-close", "reset"])
def test_an_event_before_the_end_of_a_connection(als, items, end):
    """`printf 'EVENT …' | nc` closes its half at once: the answer comes all the same, and then the end."""
    user = f"ending-{end}"
    with als.server.connect() as c:
        c.send(b"".join(encode("EVENT", user, items[n], 1, "AT", CUT + n) for n in range(5)))
        if end == "half-close":
            c.socket.shutdown(socket.SHUT_WR)
        else:
            c.send(encode(end.upper()))
        assert [c.read() for _ in range(5)] == ["OK"] * 5
        if end == "quit":
            assert c.read() == "OK"
        if end == "reset":
            assert c.read() == "RESET" and c.call("PING") == "PONG"
        else:
            assert c.at_end()
    with als.server.connect() as c:
        assert len(c.call("SEEN", user)) == 5


def test_a_new_protocol_after_an_event(als, c, items):
    c.send(encode("EVENT", "hello", items[0], 1, "AT", 7) + encode("SEEN", "hello", "WITHTIMES") + encode("HELLO", 3)
           + encode("EVENT", "hello", items[0], 1, "AT", 8) + encode("SEEN", "hello", "WITHTIMES") + encode("EVENT.DEL", "hello", items[0])
           + encode("HELLO", 2) + encode("EXPLAIN", "u1", items[0], "COUNT", 1))
    assert c.read() == "OK" and [text(v) for v in c.read()] == [items[0], "7"]
    assert isinstance(c.read(), annex.Pairs) and c.read() == "OK" and c.read() == [[items[0].encode(), 8]]
    assert c.read() in (1, True) and not isinstance(c.read(), annex.Pairs)
    explained = c.read()
    assert isinstance(explained, list) and not isinstance(explained, annex.Pairs) and explained[0] == b"score"


def test_replies_that_nobody_wants(als, c, items):
    """CLIENT REPLY SKIP and OFF hold for answers that come later as well."""
    c.send(encode("CLIENT", "REPLY", "SKIP") + encode("EVENT", "skipped", items[0]) + encode("PING"))
    assert c.read() == "PONG"
    c.send(encode("CLIENT", "REPLY", "OFF") + encode("EVENT", "skipped", items[1]) + encode("EVENT.DEL", "skipped", items[0])
           + encode("FORGET", "nobody") + encode("CLIENT", "REPLY", "ON") + encode("SEEN", "skipped"))
    assert c.read() == "OK" and c.read() == [items[1].encode()]


def test_clients_that_hang_up(als, items, fact):
    """Events of clients that are gone before the answer: stored or not, whole, and nothing is left of the connection."""
    before = als.server.descriptors()
    for n in range(300):
        c = als.server.connect()
        c.send(encode("EVENT", "gone", items[n], 1, "AT", CUT + n) + encode("TOPK", "gone", 10, "HISTORY", 2, items[0], items[1]))
        if n % 2:
            c.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        c.socket.close()
    with als.server.connect() as c:
        kept = seen(c, "gone")
        assert set(kept) <= {(items[n], CUT + n) for n in range(300)}
    annex.wait_until(lambda: als.server.descriptors() <= before + 2, 10, "the connections are gone")
    als.server.assert_alive()
    fact(f"clients that hung up after an EVENT: 300, {len(kept)} of their events stored")


def test_what_is_kept_in_memory_follows_the_file(tmp_path, fact):
    """Many connections change and read the same few users at once; in the end each answer is what follows from the file, as LMDB's
    own Python package reads it."""
    place = place_of(tmp_path, "races")
    items, path = place.shop.catalogue.ids, tmp_path / "live" / "state" / "races" / live.STATE
    users = ["u1", "u2", "u10", "h1", "race0", "race1"]
    some = {user: [items[row] for row in list(place.shop.trained.get(user, {}))[:4]] + items[:8] for user in users}
    failures, rounds, changed, read = [], 3, [0], [0]

    def change(number, turn):
        rng = annex.generator(f"race {number} {turn}")
        with place.server.connect(timeout=30) as c:
            for _ in range(120):
                user, draw = users[int(rng.integers(6))], rng.random()
                item = some[user][int(rng.integers(len(some[user])))]
                if draw < 0.75:
                    event(c, user, item, float(rng.integers(1, 5)), CUT + int(rng.integers(-5, 50)))
                elif draw < 0.95:
                    c.call("EVENT.DEL", user, item)
                else:
                    c.call("FORGET", user)
                changed[0] += 1

    def look(number, stop):
        rng = annex.generator(f"race reader {number}")
        with place.server.connect(timeout=30) as c:
            while not stop.is_set():
                user = users[int(rng.integers(6))]
                c.send(encode("TOPK", user, 10) + encode("SEEN", user) + encode("MTOPK", 2, user, "u3", 5))
                replies = [c.read() for _ in range(3)]
                assert not isinstance(replies[0], ServerError) or replies[0].code == "NOUSER"
                read[0] += 3

    def guarded(body, *arguments):
        try:
            body(*arguments)
        except Exception as error:  # noqa: BLE001: every failure counts
            failures.append(repr(error))

    with place.server as server, server.connect() as c:
        for turn in range(rounds):
            stop = threading.Event()
            readers = [threading.Thread(target=guarded, args=(look, n, stop)) for n in range(4)]
            writers = [threading.Thread(target=guarded, args=(change, n, turn)) for n in range(8)]
            for thread in readers + writers:
                thread.start()
            for thread in writers:
                thread.join(120)
            stop.set()
            for thread in readers:
                thread.join(30)
            assert not failures, failures[:3]
            model, forgotten = place.shop.model(), live.stored_forgotten(path)
            for user, item, at, weight in live.stored_events(path):
                model.event(user, item, weight, at)
            for user, item, at in live.stored_removals(path):
                model.removed[user][model.catalogue.rows[item]] = at
            model.forgotten = {user for user in users if hashlib.sha256(user.encode()).digest()[:16] in forgotten}
            place.model = model
            for user in users:
                model.check_seen(seen(c, user), user)
                if model.vector(user) is not None:
                    place.check_vector(c, user)
                    place.check_top(c, user)
                elif not model.trained_left(user):
                    assert c.error("TOPK", user, 5).code == "NOUSER"
    fact(f"{changed[0]} changes and {read[0]} reads of 6 users by 12 connections at once, in {rounds} rounds: what is served follows from the file")
