"""A state that grows beyond its map (D5), crowds of readers (D6), SIGTERM while events come in (D7), hostile frames (P1), a
password before all (S1).

ANNEX_STATE_EVENTS sets how many events make it grow.
"""

import collections
import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import annex
import live
from annex import ServerError, encode
from live import CUT, STATE, Solver, seen, serve
from test_65_state_disk import Reader


@pytest.fixture(scope="module")
def shop(folder):
    return live.make_shop(folder / "growth", "shop", items=300, users=40)


def test_the_map_grows_by_itself(shop, tmp_path, fact):
    """Users with the longest ids, so that few events take much space. Nothing fails meanwhile, reads go on."""
    count, items = annex.setting("ANNEX_STATE_EVENTS", 24_000), shop.catalogue.ids
    events = [(f"{n:07}".ljust(255, "x"), items[n % 300], 1 + n % 3, CUT + 1 + n) for n in range(count)]
    with serve(shop.index, state=tmp_path / "state", log=tmp_path / "log") as server, server.connect(timeout=60) as c:
        before = live.state_line(c, "shop")
        with Reader(server, "u1") as reader:
            started = time.monotonic()
            live.events_at_once(server, events, connections=64)
            took = time.monotonic() - started
        assert not reader.failures, reader.failures[:3]
        after = live.state_line(c, "shop")
        assert int(after["events"]) == int(after["users"]) == count
        assert int(after["growths"]) >= 1 and int(after["map_bytes"]) >= 2 * int(before["map_bytes"])
        assert int(after["waiting"]) == 0 and after["status"] == "running"
        rng = annex.generator("growth")
        sample = [events[int(n)] for n in rng.choice(count, 500, replace=False)]
        assert all(seen(c, user) == [(item, at)] for user, item, _, at in sample)
        server.process.send_signal(signal.SIGKILL)
        server.process.wait(10)
    assert sorted(live.stored_events(tmp_path / "state" / "shop" / STATE)) == sorted((u, i, t, float(w)) for u, i, w, t in events)
    started = time.monotonic()
    with serve(shop.index, state=tmp_path / "state", log=tmp_path / "log") as server, server.connect(timeout=60) as c:
        back = time.monotonic() - started
        assert live.state_line(c, "shop")["events"] == str(count)
        assert all(seen(c, user) == [(item, at)] for user, item, _, at in sample)
    fact(f"{count} events of users with 255 bytes of id from 64 connections in {took:.1f} s ({int(after['commits'])} commits): the map grew "
         f"{after['growths']} times to {int(after['map_bytes']) >> 20} MiB, longest pause {after['longest_pause_usec']} µs, 0 failed; "
         f"{reader.reads} reads meanwhile (longest {1e3 * reader.longest:.0f} ms); up again after kill -9 in {back:.2f} s")
    assert int(after["longest_pause_usec"]) < 200_000 and back < 2


def test_many_events_of_one_user(shop, tmp_path, fact):
    """A user who does not stop: answers, explanations and the vector stay right, and a read after an event stays quick."""
    model, items = shop.model(), shop.catalogue.ids
    with serve(shop.index, state=tmp_path / "state", log=tmp_path / "log") as server, server.connect(timeout=60) as c:
        events = [("busy", items[n % 200], 0.5 + n % 4, CUT + 1 + n) for n in range(5000)]
        shares = [events[n::64] for n in range(64)]
        threads = [threading.Thread(target=send_all, args=(server, share)) for share in shares]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        for user, item, weight, at in events:
            model.event(user, item, weight, at)
        model.check_seen(seen(c, "busy"), "busy")
        off = Solver(shop.catalogue).off(live.scores(c, shop.catalogue, "busy"), model.vector("busy"))
        assert off < 1e-5
        found = live.fields(c.call("EXPLAIN", "busy", items[250], "COUNT", 1000))
        assert len(live.contributions(found)) == 200
        took = []
        for n in range(20):
            live.event(c, "busy", items[0], 1, CUT + 6000 + n)
            started = time.monotonic()
            assert len(c.call("TOPK", "busy", 10)) == 10
            took.append(time.monotonic() - started)
        assert c.call("EVENT.DEL", "busy", items[0]) == 1
        model.remove("busy", items[0], live.now())
        model.check_seen(seen(c, "busy"), "busy")
        assert c.call("FORGET", "busy") == 1 and c.call("SEEN", "busy") == [] and live.state_line(c, "shop")["events"] == "0"
    fact(f"a user of 5,000 events: vector off NumPy by {off:.1e}, first TOPK after an event in {1e3 * sorted(took)[10]:.1f} ms")


def send_all(server, events) -> None:
    with server.connect(timeout=60) as c:
        for user, item, weight, at in events:
            live.event(c, user, item, weight, at)


def test_a_crowd_of_readers(shop, tmp_path, fact):
    """2,000 connections with requests of their own on their way at once: none is told that there are too many readers."""
    with serve(shop.index, state=tmp_path / "state", log=tmp_path / "log") as server:
        live.events_at_once(server, [(f"c{n}", shop.catalogue.ids[n % 300], 1, CUT + n) for n in range(500)])
        crowd = [server.connect(timeout=60) for _ in range(2000)]
        try:
            for n, c in enumerate(crowd):
                c.send(encode("SEEN", f"c{n % 500}") + encode("TOPK", f"c{n % 500}", 10) + encode("EXPLAIN", f"c{n % 500}", "1")
                       + encode("WHYNOT", f"c{n % 500}", "1", 5) + encode("MTOPK", 2, f"c{n % 500}", "u1", 5))
            for n, c in enumerate(crowd):
                replies = [c.read() for _ in range(5)]
                assert not [r for r in replies if isinstance(r, ServerError)], replies
                assert replies[0] == [shop.catalogue.ids[n % 500 % 300].encode()] and len(replies[1]) == 10
        finally:
            for c in crowd:
                c.socket.close()
        server.assert_alive()
    fact("2,000 connections with 10,000 requests at once on users with events: 0 errors")


@pytest.mark.parametrize("turn", range(annex.setting("ANNEX_DRAINS", 2)))
def test_sigterm_while_events_come_in(shop, tmp_path, fact, turn):
    """What was acknowledged is there, nothing else is, and it ends by itself."""
    acknowledged, sent = collections.Counter(), collections.Counter()

    def send(n):
        with server.connect(timeout=30) as c:
            is_open = True
            while is_open:
                group = b"".join(encode("EVENT", f"t{n}", shop.catalogue.ids[0], 1, "AT", CUT + 1 + sent[n] + k) for k in range(8))
                try:
                    c.send(group)
                    sent[n] += 8
                except OSError:
                    is_open = False  # answers that came before the end are read all the same
                try:
                    while acknowledged[n] < sent[n]:
                        if c.read() != "OK":
                            return
                        acknowledged[n] += 1
                except (OSError, EOFError):
                    return

    with serve(shop.index, state=tmp_path / "state", log=tmp_path / "log") as server:
        threads = [threading.Thread(target=send, args=(n,)) for n in range(16)]
        for thread in threads:
            thread.start()
        annex.wait_until(lambda: len(acknowledged) == 16, 30, "every connection had an event stored")
        more = sum(acknowledged.values()) + 200
        annex.wait_until(lambda: sum(acknowledged.values()) >= more, 30, "events flow")
        started = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        code = server.process.wait(10)
        took = time.monotonic() - started
        for thread in threads:
            thread.join(30)
    assert code == 0 and took < 5
    stored = collections.defaultdict(set)
    for user, _, at, _ in live.stored_events(tmp_path / "state" / "shop" / STATE):
        stored[user].add(at - CUT - 1)
    kept = 0
    for n in range(16):
        times = stored[f"t{n}"]
        assert times >= set(range(acknowledged[n])), "an acknowledged event is lost"
        assert times <= set(range(sent[n])), "a phantom"
        kept += len(times) - acknowledged[n]
    fact(f"SIGTERM under events of 16 connections: exit {code} after {took:.2f} s, {sum(acknowledged.values())} acknowledged, 0 lost, "
         f"{kept} stored without an answer")
    assert kept == 0


def test_fuzz_with_a_state(shop, folder, tmp_path, fact):
    """Hostile frames against live users: nothing exits, every reply is legal and in its place, and the state is whole afterwards."""
    frames, running, sent = annex.setting("ANNEX_FUZZ_FRAMES", 200_000) // 4, [], 0
    cosine = live.make_shop(folder / "growth", "cosine", metric="cosine", items=300, users=40)
    with serve(cosine.index, shop.index, state=tmp_path / "state", log=tmp_path / "log") as server:
        watch, before, descriptors = annex.Watch(server), server.rss(), server.descriptors()
        program = Path(__file__).with_name("hostile_traffic.py")
        started = time.monotonic()
        try:
            for seed in (annex.SEED + 10, annex.SEED + 11):
                command = [sys.executable, program, server.port, seed, frames // 2]
                running.append(subprocess.Popen([*map(str, command)], stdout=subprocess.PIPE, text=True))
            watch.until(lambda: all(p.poll() is not None for p in running), within=60 + frames / 100)
            for process in running:
                outcome = json.loads(process.communicate()[0] or "{}")
                assert process.returncode == 0, outcome or "the traffic ended without a word"
                sent += outcome["sent"]
        finally:
            for process in running:
                process.kill()
                process.wait(10)
        took = time.monotonic() - started
        annex.wait_until(lambda: server.descriptors() <= descriptors + 1, 10, "descriptors back")
        server.assert_alive()
        grown = server.rss() - before
        with server.connect() as c:
            events = {name: int(live.state_line(c, name)["events"]) for name in ("shop", "cosine")}
            assert all(live.state_line(c, name)["damaged_records"] == "0" for name in events)
        assert server.stop() == 0
    stored = {name: live.stored_events(tmp_path / "state" / name / STATE) for name in events}
    for name, items in (("shop", shop.catalogue.rows), ("cosine", cosine.catalogue.rows)):
        assert len(stored[name]) == events[name] and all(item in items for _, item, _, _ in stored[name])
    fact(f"fuzz of live users: {sent} frames in {took:.0f} s, {sum(events.values())} events stored, 0 illegal replies, 0 wrong counts, {watch}, "
         f"RSS {grown >> 20:+d} MiB")
    assert grown <= 64 << 20 and watch.late <= max(1, watch.pings // 1000)


def test_nothing_before_the_password(shop, tmp_path):
    secret = tmp_path / "password"
    secret.write_text("correct horse\n")
    secret.chmod(0o600)
    options = ["--password-file", secret]
    with serve(shop.index, state=tmp_path / "state", log=tmp_path / "log", options=options, password="correct horse") as server:
        with server.connect() as c:
            for words in (("EVENT", "u1", "1"), ("EVENT.DEL", "u1", "1"), ("FORGET", "u1"), ("SEEN", "u1"), ("EXPLAIN", "u1", "1"),
                          ("WHYNOT", "u1", "1", 5)):
                assert c.error(*words).code == "NOAUTH"
            c.call("AUTH", "correct horse")
            assert live.state_line(c, "shop")["events"] == "0"
            live.event(c, "u1", "1")
    done = annex.run_annctl("serve", shop.index, "--state", tmp_path / "other", "--host", "0.0.0.0", "--port", annex.free_port(), timeout=30)
    assert done.returncode != 0 and not (tmp_path / "other").exists(), "it refuses before it makes anything"


@pytest.mark.parametrize("name", ["../shop", "/etc", "shop/../shop", "shop\x00", "%2e%2e", "sh op", "x" * 300])
def test_names_of_indexes_are_no_paths(shop, tmp_path, name):
    with serve(shop.index, state=tmp_path / "state", log=tmp_path / "log") as server, server.connect() as c:
        for words in (("EVENT", "u1", "1"), ("SEEN", "u1"), ("FORGET", "u1"), ("EVENT.DEL", "u1", "1")):
            assert c.error(*words, "INDEX", name).code in ("NOINDEX", "ERR")
    assert [p.name for p in (tmp_path / "state").iterdir()] == ["shop"]
