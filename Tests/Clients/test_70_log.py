"""Replicas that share a log in a real redis-server: they agree byte for byte, say what they know, and can be replaced."""

import calendar
import subprocess
import threading
import time

import pytest
import redis

import annex
import live
from annex import encode
from live import seen
from redis_log import Redis, caught_up, key, log_line, replica

INDEX = "shop"


@pytest.fixture(scope="module")
def shop(folder):
    return live.make_shop(folder / "log", INDEX, items=400, users=40)


@pytest.fixture
def log(tmp_path):
    with Redis(tmp_path / "redis") as server:
        yield server


def together(*work) -> None:
    """Runs all at once; the first failure fails the test."""
    failures = []

    def run(body):
        try:
            body()
        except BaseException as error:  # noqa: BLE001 - told below
            failures.append(error)

    threads = [threading.Thread(target=run, args=(body,)) for body in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not failures, failures[0]
    assert not any(thread.is_alive() for thread in threads)


def raw(c, *words) -> bytes:
    """The bytes of a reply."""
    c.send(encode(*words))
    start = c.position
    c.read()
    return c.buffer[start:c.position]


def answers(server, catalogue, users) -> dict:
    with server.connect(timeout=30) as c:
        return {
            user: [raw(c, "SEEN", user, "COUNT", 1000, "WITHTIMES"), raw(c, "TOPK", user, 50, "TRUTH", "WITHSCORES"),
                   raw(c, "TOPK", user, 20, "WITHSEEN"), raw(c, "SCORE", user, 5, *catalogue.ids[:5])]
            for user in users
        }


def agree(servers, catalogue, users) -> int:
    """Replicas answer with the same bytes; returns how many answers were compared."""
    caught_up(servers, INDEX)
    first, *others = [answers(server, catalogue, users) for server in servers]
    for other in others:
        for user in users:
            assert first[user] == other[user], f"replicas differ about {user}"
    return sum(len(found) for found in first.values())


def test_replicas_that_all_append_end_equal(shop, log, tmp_path, fact):
    steps = annex.setting("ANNEX_LOG_STEPS", 250)
    models = {}
    with replica(shop.index, tmp_path / "a", log) as a, replica(shop.index, tmp_path / "b", log) as b:

        def work(server, number):
            """Changes of users of its own, which a model follows, and of users whom all change."""
            rng, model = annex.generator(f"log {number}"), {}
            with server.connect(timeout=60) as c:
                for step in range(steps):
                    user = f"own{number}-{int(rng.integers(6))}"
                    item = shop.catalogue.ids[int(rng.integers(60))]
                    drawn = rng.random()
                    known = model.setdefault(user, {})
                    if drawn < 0.6:
                        at = live.CUT + 1 + step
                        live.event(c, user, item, float(rng.integers(1, 9)) / 4, at=at)
                        known[item] = at
                    elif drawn < 0.8:
                        live.event(c, f"shared{int(rng.integers(4))}", item)
                        c.call("EVENT", f"u{int(rng.integers(1, 20))}", item)
                    elif drawn < 0.9:
                        assert c.call("EVENT.DEL", user, item) == int(item in known)
                        known.pop(item, None)
                    elif drawn < 0.93:
                        assert c.call("FORGET", user) in (0, 1)
                        known.clear()
                    else:
                        c.call("EVENT.DEL", f"shared{int(rng.integers(4))}", item)
            models.update(model)

        together(*[lambda s=s, n=n: work(s, n) for n, s in enumerate([a, a, a, b, b, b])])
        users = [*models, *[f"shared{n}" for n in range(4)], *[f"u{n}" for n in range(1, 20)]]
        compared = agree([a, b], shop.catalogue, [u for u in users if models.get(u, True)])
        for server in (a, b):
            with server.connect() as c:
                for user, known in models.items():
                    if known:
                        assert dict(seen(c, user, "COUNT", 1000)) == known, user
                    else:
                        assert c.call("SEEN", user) == [] if user else True
                line = log_line(c, INDEX)
                assert int(line["applied"]) == log.entries(INDEX) == int(line["read"])
                assert int(line["unknown_entries"]) == 0 and line["status"] == "following"
        with a.connect() as c, b.connect() as d:
            entries = log.entries(INDEX)
            assert int(log_line(c, INDEX)["appended"]) + int(log_line(d, INDEX)["appended"]) == entries
    fact(f"log: {entries} changes over two replicas, {compared} answers of each equal byte for byte")


def test_a_replica_reads_its_own_and_others_writes(shop, log, tmp_path, fact):
    """WAITPOS ahead of a read, pipelined, through a stock client; and what is no position of the user's."""
    ids = shop.catalogue.ids
    with replica(shop.index, tmp_path / "a", log) as a, replica(shop.index, tmp_path / "b", log) as b:
        clients = [redis.Redis(port=s.port, protocol=p, decode_responses=True, single_connection_client=True)
                   for s, p in ((a, 2), (b, 3))]
        assert clients[0].execute_command("EVENT", "me", ids[20]) == "OK"
        for c in clients:
            assert c.execute_command("CLIENT", "CAPA", "position") in ("OK", True, b"OK")
        waited = 0
        for turn in range(120):
            writer, reader = clients[turn % 2], clients[1 - turn % 2]
            reply, position = writer.execute_command("EVENT", "me", ids[30 + turn])
            assert reply in ("OK", True)
            pipe = reader.pipeline(transaction=False)
            pipe.execute_command("WAITPOS", "me", position, "TIMEOUT", 5000)
            pipe.execute_command("SEEN", "me", "COUNT", 1)
            waiting, newest = pipe.execute()
            assert waiting in ("OK", True) and newest == [ids[30 + turn]], turn
            waited += 1
        c, d = clients
        reply, position = c.execute_command("EVENT.DEL", "me", ids[30])
        assert reply == 1 and position.startswith(f"{INDEX}:")
        reply, position = c.execute_command("FORGET", "me")
        assert reply == 1
        assert d.execute_command("WAITPOS", "me", position) in ("OK", True)
        assert d.execute_command("SEEN", "me") == []
        index, block, *_ = position.split(":")
        future = f"{index}:{block}:99999999999999-0"
        start = time.monotonic()
        with pytest.raises(redis.ResponseError, match="^TIMEOUT|waited for"):
            c.execute_command("WAITPOS", "me", future, "TIMEOUT", 300)
        assert 0.25 < time.monotonic() - start < 1.5
        for words, said in [
            (("me", "garbage"), "no position"), (("me", f"other:{block}:1-1"), "not served"),
            (("me", f"{INDEX}:{(int(block) + 1) % 16:02d}:1-1"), "no position of user"),
            (("me", position, "TIMEOUT", "-1"), "TIMEOUT"), (("me", position, "TIMEOUT", "60001"), "TIMEOUT"),
            (("me", position, "NONSENSE", "1"), "syntax error"), (("me", position, "TIMEOUT"), "syntax error"),
        ]:
            with pytest.raises(redis.ResponseError, match=said):
                c.execute_command("WAITPOS", *words)
        c.execute_command("RESET")
        assert c.execute_command("EVENT", "me", ids[20]) in ("OK", True)
        for client in clients:
            client.close()
    with live.serve(shop.index, state=tmp_path / "alone", log=tmp_path / "alone.log") as alone, alone.connect() as c:
        c.call("CLIENT", "CAPA", "position")
        assert c.call("EVENT", "me", ids[20]) == ["OK", None]
        assert "no log" in str(c.error("WAITPOS", "me", position))
    fact(f"log: {waited} reads of what was just written through the other replica, 0 stale")


def test_an_event_that_the_log_has_may_be_acknowledged_before_it_is_applied(shop, log, tmp_path):
    with replica(shop.index, tmp_path / "a", log, "--ack", "log") as a, replica(shop.index, tmp_path / "b", log) as b:
        with a.connect() as c, b.connect() as d:
            c.call("CLIENT", "CAPA", "position")
            for n in range(50):
                reply, position = c.call("EVENT", "fast", shop.catalogue.ids[n], 1, "AT", live.CUT + n)
                assert reply == "OK"
                # Redis says itself that it has it, at that very place.
                block, place = position.decode().split(":")[1:3]
                assert len(log.call("XRANGE", key(INDEX, int(block)), place, place)) == 1
            assert c.call("EVENT.DEL", "fast", shop.catalogue.ids[0])[0] == 1
            assert d.call("WAITPOS", "fast", position) == "OK"
            caught_up([a, b], INDEX)
            for connection in (c, d):
                assert {i for i, _ in seen(connection, "fast", "COUNT", 100)} == set(shop.catalogue.ids[1:50])


def test_entries_of_others_are_passed_over(shop, log, tmp_path):
    """What stands in a stream and is no change is counted, and holds nothing up."""
    with replica(shop.index, tmp_path / "a", log) as a, a.connect() as c:
        live.event(c, "me", shop.catalogue.ids[20])
        block = next(n for n in range(16) if log.call("EXISTS", key(INDEX, n)))
        good = log.call("XRANGE", key(INDEX, block), "-", "+")[0][1]
        fields = dict(zip(good[::2], good[1::2]))
        for change in ({b"user": b""}, {b"user": b"\xff"}, {b"weight": b"nan"}, {b"at": b"1e9"}, {b"by": b"+" * 32},
                       {b"do": b"drop"}, {b"item": b"x" * 300}, {b"n": b"-1"}):
            words = [w for pair in {**fields, **change}.items() for w in pair]
            log.call("XADD", key(INDEX, block), "*", *words)
        log.call("XADD", key(INDEX, (block + 1) % 16), "*", *good)  # the user is of another block
        log.call("XADD", key(INDEX, block), "*", "one", "two")
        log.call("XADD", key(INDEX, block), "*", b"\x00" * 70_000, b"\xff" * 200_000)
        live.event(c, "me", shop.catalogue.ids[21])
        caught_up([a], INDEX)
        line = log_line(c, INDEX)
        assert (line["unknown_entries"], line["outside_limits"], line["status"]) == ("10", "1", "following")
        assert [i for i, _ in seen(c, "me")] == [shop.catalogue.ids[21], shop.catalogue.ids[20]]
        # The same entry twice, by whoever: the state holds it twice only where the log does.
        log.call("XADD", key(INDEX, block), "*", *good)
        caught_up([a], INDEX)
        assert int(live.state_line(c, INDEX)["events"]) == 3


def test_a_password_of_the_log(shop, tmp_path):
    with Redis(tmp_path / "redis", ["--requirepass", "s3cret@:/"]) as log:
        log.password = "s3cret@:/"
        right = f"redis://:s3cret%40%3A%2F@127.0.0.1:{log.port}/3"
        with replica(shop.index, tmp_path / "a", right) as a, a.connect() as c:
            live.event(c, "me", shop.catalogue.ids[20])
            assert "s3cret" not in a.text() and "s3cret" not in c.call("INFO").decode()
            with annex.Connection(log.port) as r:
                r.call("AUTH", log.password)
                assert r.call("DBSIZE") == 0
                r.call("SELECT", 3)
                assert r.call("DBSIZE") == 2, "a stream and the log's id"
        for wrong in (f"redis://:s3cret-2@127.0.0.1:{log.port}", log.url):
            with replica(shop.index, tmp_path / "b", wrong) as b, b.connect() as c:
                error = str(c.error("EVENT", "me", shop.catalogue.ids[20]))
                assert "nothing was stored" in error and ("WRONGPASS" in error or "NOAUTH" in error) and "s3cret" not in error
                assert log_line(c, INDEX)["status"] == "cut-off" and "s3cret" not in b.text()


@pytest.mark.parametrize("url", ["redis://", "http://127.0.0.1:1", "redis://h:99999", "redis://pw@h:1", "rediss://h:1", "redis://h:1/x", "redis://:a%2@h"])
def test_an_address_that_is_none(shop, tmp_path, url):
    done = annex.run_annctl("serve", shop.index, "--state", tmp_path / "s", "--log", url, "--port", 0, timeout=20)
    assert done.returncode == 64 and "--log" in annex.said(done), annex.said(done)


@pytest.mark.parametrize("options", [("--log", "redis://h:1"), ("--ack", "log"), ("--max-lag", "3"), ("--state", "s", "--log", "redis://h:1", "--max-lag", "0.1")])
def test_options_that_need_others(shop, tmp_path, options):
    done = annex.run_annctl("serve", shop.index, *options, "--port", 0, timeout=20, cwd=tmp_path)
    assert done.returncode == 64, annex.said(done)


# --- Backups -----------------------------------------------------------------------------------------------------------


def backup(state, output, *options) -> subprocess.CompletedProcess:
    return annex.run_annctl("backup", state / INDEX, "--output", output, *options, timeout=60)


def restore(file, state, *options) -> subprocess.CompletedProcess:
    return annex.run_annctl("restore", file, "--state", state / INDEX, *options, timeout=60)


def test_a_replica_out_of_a_backup_and_the_rest_of_the_log(shop, log, tmp_path, fact):
    """The backups are taken while the server writes as fast as it can; each becomes the same replica."""
    count = annex.setting("ANNEX_LOG_BACKUPS", 3)
    with replica(shop.index, tmp_path / "a", log) as a:
        over, acknowledged = threading.Event(), []

        def load(number):
            with a.connect(timeout=60) as c:
                n = 0
                while not over.is_set():
                    live.event(c, f"l{number}-{n % 50}", shop.catalogue.ids[n % 397])
                    acknowledged.append((number, n))
                    n += 1

        threads = [threading.Thread(target=load, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        sizes = []
        for n in range(count):
            # Growing the map meanwhile is the hard part.
            wanted = len(acknowledged) + 1500
            annex.wait_until(lambda: len(acknowledged) >= wanted, 60, "events came in")
            done = backup(tmp_path / "a" / "state", tmp_path / f"{n}.backup")
            assert done.returncode == 0, annex.said(done)
            sizes.append(int(done.stdout.split(": ")[1].split(" ")[0]))
        over.set()
        for thread in threads:
            thread.join(60)
        users = sorted({f"l{number}-{n % 50}" for number, n in acknowledged})[::7]
        assert sizes == sorted(sizes) and 0 < sizes[0] < sizes[-1] < len(acknowledged)
        for n in range(count):
            done = restore(tmp_path / f"{n}.backup", tmp_path / f"r{n}" / "state")
            assert done.returncode == 0, annex.said(done)
            with replica(shop.index, tmp_path / f"r{n}", log) as fresh:
                compared = agree([a, fresh], shop.catalogue, users)
                with fresh.connect() as c:
                    line = log_line(c, INDEX)
                    assert int(line["applied"]) == len(acknowledged) - sizes[n]
                    assert int(live.state_line(c, INDEX)["events"]) == len(acknowledged) == log.entries(INDEX)
        assert not [p for p in (tmp_path / "a" / "state").rglob("*") if ".tmp" in p.name]
    fact(f"log: {count} backups beside a server under load ({len(acknowledged)} events), each with the rest of the log equal "
         f"to it, {compared} answers each")


def test_backups_are_not_made_or_used_over_something(shop, log, tmp_path):
    with replica(shop.index, tmp_path / "a", log) as a, a.connect() as c:
        for n in range(300):
            live.event(c, f"u{n}", shop.catalogue.ids[n])
        assert backup(tmp_path / "a" / "state", tmp_path / "x.backup").returncode == 0
        before = (tmp_path / "x.backup").read_bytes()
        done = backup(tmp_path / "a" / "state", tmp_path / "x.backup")
        assert done.returncode == 64 and "exists" in annex.said(done)
        assert (tmp_path / "x.backup").read_bytes() == before
        assert restore(tmp_path / "x.backup", tmp_path / "a" / "state").returncode == 64
    assert backup(tmp_path / "nowhere", tmp_path / "y.backup").returncode == 1
    assert not (tmp_path / "y.backup").exists()
    rng = annex.generator("damaged backups")
    refused = 0
    for n in range(12):
        damaged = bytearray(before)
        if n % 3 == 0:
            damaged = damaged[:int(rng.integers(len(before)))]
        else:  # a page of the file's middle gone
            at = 4096 * int(rng.integers(len(before) // 4096))
            damaged[at:at + 4096] = bytes(4096)
        file = tmp_path / f"damaged{n}"
        file.write_bytes(damaged)
        done = restore(file, tmp_path / f"d{n}")
        if done.returncode != 0:
            refused += 1
            assert "annctl:" in annex.said(done) and not (tmp_path / f"d{n}" / INDEX).exists()
    assert refused >= 8
    assert restore(tmp_path / "none", tmp_path / "e").returncode == 1
    assert not [p for p in tmp_path.rglob(".tmp*")]


def test_the_log_is_trimmed_behind_the_oldest_backup_and_no_further(shop, log, tmp_path):
    with replica(shop.index, tmp_path / "a", log) as a, a.connect() as c:
        for part in range(2):
            for n in range(300):
                live.event(c, f"u{n % 97}", shop.catalogue.ids[n])
            assert backup(tmp_path / "a" / "state", tmp_path / f"{part}.backup").returncode == 0
        for n in range(100):
            live.event(c, f"u{n % 97}", shop.catalogue.ids[n])
        files = [tmp_path / "0.backup", tmp_path / "1.backup"]
        everything = log.entries(INDEX)
        trim = ["trim-log", INDEX, *files, "--log", log.url]
        done = annex.run_annctl(*trim, "--dry-run")
        assert done.returncode == 0 and log.entries(INDEX) == everything
        done = annex.run_annctl("trim-log", INDEX, *files, "--log", log.url, "--slots", "0-1024")
        assert done.returncode == 0 and {n for n in range(16) if log.call("XLEN", key(INDEX, n)) > 0} == set(range(16))
        done = annex.run_annctl(*trim)
        assert done.returncode == 0, annex.said(done)
        # Of each stream, the oldest backup's place is what is left first: 300 went but those.
        assert log.entries(INDEX) == everything - 300 + 16
        for n in range(2):
            assert restore(files[n], tmp_path / f"r{n}" / "state").returncode == 0
            with replica(shop.index, tmp_path / f"r{n}", log) as fresh:
                agree([a, fresh], shop.catalogue, [f"u{n}" for n in range(97)])
        # Farther than the older one: it says so, and the newer one still works.
        assert annex.run_annctl("trim-log", INDEX, files[1], "--log", log.url).returncode == 0
        assert restore(files[0], tmp_path / "late" / "state").returncode == 0
        with replica(shop.index, tmp_path / "late", log) as late, late.connect() as d:
            annex.wait_until(lambda: log_line(d, INDEX)["status"] == "refusing", 10, "the gap was noticed")
            error = str(d.error("EVENT", "u1", shop.catalogue.ids[1]))
            assert "nothing was stored" in error and "trimmed" in error and "Restore" in error
            assert "trimmed" in log_line(d, INDEX)["problem"] and "trimmed" in late.text()
            assert d.error("TOPK", "u1", 5).code == "MASTERDOWN"
            assert d.call("PING") == "PONG" and len(d.call("VSIM", INDEX, "ELE", shop.catalogue.ids[1], "COUNT", 3)) == 3
        done = annex.run_annctl(*trim)
        assert done.returncode == 64 and "nothing was removed" in annex.said(done)
        assert restore(files[1], tmp_path / "again" / "state").returncode == 0
        with replica(shop.index, tmp_path / "again", log) as again:
            agree([a, again], shop.catalogue, [f"u{n}" for n in range(97)])


def test_backups_into_a_folder(shop, log, tmp_path, fact):
    """`backup --into --keep-hours` names files by the time and removes the old ones, never the newest; `trim-log` takes the folder."""
    folder = tmp_path / "backups" / "a"
    with replica(shop.index, tmp_path / "a", log) as a:
        caught_up([a], INDEX)
        state = tmp_path / "a" / "state" / INDEX
        done = annex.run_annctl("trim-log", INDEX, tmp_path, "--log", log.url)
        assert done.returncode != 0 and "has no backup" in done.stderr and "--into" in done.stderr, done.stderr
        with a.connect() as c:
            for n in range(40):
                live.event(c, f"folder{n}", shop.catalogue.ids[n])
        old = [f"{INDEX}-20200101T000000Z.backup", f"{INDEX}-20200102T000000Z.backup"]
        folder.mkdir(parents=True)
        others = [f"{INDEX}x-20200101T000000Z.backup", f"{INDEX}-2020.backup", "notes"]
        for name in [*old, *others]:
            (folder / name).write_bytes(b"")
        done = annex.run_annctl("backup", state, "--into", folder, "--keep-hours", 48)
        assert done.returncode == 0, done.stderr
        left = sorted(p.name for p in folder.iterdir())
        (made,) = [name for name in left if name not in others]
        assert set(left) == {made, *others}, "the old ones of this index are gone, what is none of them stays"
        assert abs(time.time() - calendar.timegm(time.strptime(made, f"{INDEX}-%Y%m%dT%H%M%SZ.backup"))) < 120
        # Alone and old, it stays.
        (folder / made).rename(folder / old[0])
        before = log.entries(INDEX)
        done = annex.run_annctl("trim-log", INDEX, folder, "--log", log.url)
        assert done.returncode == 0, done.stdout + done.stderr
        assert log.entries(INDEX) < before
        fact(f"trim-log of a folder: {before - log.entries(INDEX)} of {before} entries removed")
    for words in (["--into", folder, "--output", folder / "x"], [], ["--output", folder / "x", "--keep-hours", 1],
                  ["--into", folder, "--keep-hours", 0]):
        assert annex.run_annctl("backup", state, *words).returncode == 64, words
