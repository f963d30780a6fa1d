"""annctl ingest goes on where it was ended, and through a server that fails in every way."""

from __future__ import annotations

import signal
import time
from collections import defaultdict
from pathlib import Path

import pytest

import annex
from fake_state_server import FakeStateServer
from ingest_files import ITEMS, ingest, start, progress, rejects, some_events, save_tsv


def test_a_finished_file_says_so(tmp_path):
    file = save_tsv(tmp_path / "e.tsv", [("a", "i1", 1, 1)])
    with FakeStateServer(ITEMS) as server:
        ingest(server, file, check=True)
        done = ingest(server, file, check=True)
        assert "all 1 lines are done already" in done.stdout and server.asked == 1


def test_a_changed_input_is_refused(tmp_path):
    rows, _ = some_events("changed", 100)
    file = save_tsv(tmp_path / "e.tsv", rows)
    with FakeStateServer(ITEMS) as server:
        ingest(server, file, check=True)
        asked = server.asked
        file.write_text("b" + file.read_text()[1:])
        done = ingest(server, file)
        assert done.returncode == 64 and "changed" in done.stderr and "--progress" in done.stderr
        save_tsv(file, rows + rows[:1])
        done = ingest(server, file)
        assert done.returncode == 64 and "bytes then" in done.stderr
        save_tsv(file, rows)
        done = ingest(server, file, "--at", 5)
        assert done.returncode == 64 and "--at" in done.stderr
        assert server.asked == asked
    with FakeStateServer(ITEMS) as other:
        done = ingest(other, file)
        assert done.returncode == 64 and f"127.0.0.1:{other.port}" in done.stderr and other.asked == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_interrupted_again_and_again(tmp_path, number):
    """Ended at any moment and started again until it is through: every event is there, every reject once, times are one run's."""
    rng = annex.generator(f"interrupted {number}")
    rows = []
    for n in range(4_000):
        item = "stranger" if rng.random() < 0.02 else ITEMS[rng.integers(len(ITEMS))]
        rows.append((f"u{rng.integers(60)}", item) if rng.random() < 0.5 else (f"u{rng.integers(60)}", item, 2, 1_700_000_000_000 + n))
    file = save_tsv(tmp_path / "e.tsv", rows, heading=True)
    runs = stopped = polite = 0
    with FakeStateServer(ITEMS, delay=0.01) as server:
        while True:
            runs += 1
            assert runs < 60
            run = start(server, file, "--connections", 16)
            try:
                if runs < 12:
                    annex.wait_until(lambda: run.poll() is not None or Path(f"{file}.progress").exists(), 20, "it began")
                    annex.drawn_moment(rng, 0.15, 0.45)
                    run.send_signal(number)
                out, err = run.communicate(timeout=60)
            finally:
                run.kill()
            if run.returncode == 0:
                break
            stopped += 1
            if number != signal.SIGKILL and run.returncode != -number:  # that is one that had not begun
                polite += 1
                assert run.returncode == 1 and "stopped by " + number.name in err and "goes on behind line" in err
                assert server.open == 0, "it waits for the replies that are out"
        assert stopped >= 2 and (number == signal.SIGKILL or polite >= 1)
        found = progress(file)
        strangers = [n + 2 for n, row in enumerate(rows) if row[1] == "stranger"]
        assert [int(line) for line, _, _ in rejects(file)] == strangers
        assert found["acknowledged"] == len(rows) - len(strangers) and found["rejected"] == len(strangers)
    good = [row for row in rows if row[1] != "stranger"]
    assert len(server.events) == len(good), "no event was sent with two times"
    order = defaultdict(list)
    for (user, item, at), _ in sorted(server.events.items(), key=lambda pair: pair[0][2]):
        if at >= found["at"]:
            order[user].append(item)
    for user, items in order.items():
        assert items == [row[1] for row in good if row[0] == user and len(row) == 2]


def test_two_at_a_time(tmp_path):
    file = save_tsv(tmp_path / "e.tsv", [(f"u{n}", "i1", 1, n) for n in range(400)])
    with FakeStateServer(ITEMS, delay=0.1) as server:
        run = start(server, file, "--connections", 2)
        try:
            annex.wait_until(lambda: server.asked > 3, 20, "the first run sends")
            done = ingest(server, file)
            assert done.returncode == 1 and "another run" in done.stderr
            run.send_signal(signal.SIGINT)
            run.communicate(timeout=20)
        finally:
            run.kill()
            run.wait()


@pytest.mark.parametrize("pipeline", [1, 16, 1_000])
def test_connections_that_break_and_errors_that_pass(tmp_path, pipeline):
    """A sixth of the replies are errors or none; of events with the same time, the last one of the file stays."""
    rows, _ = some_events("breaks", 1_500)
    rows = [(user, item, weight, 1_700_000_000_000 + at % 5) for user, item, weight, at in rows]
    rng = annex.generator("breaks too")
    fate = rng.random(100_000)

    def answer(_, number):
        if fate[number] < 0.04:
            return "close"
        if fate[number] < 0.08:
            return "store and close"
        if fate[number] < 0.12:
            return b"-OVERLOADED 65536 changes wait for the disk already. Try again in a moment\r\n"
        return b"-ERR cannot write: No space left on device\r\n" if fate[number] < 0.16 else None

    file = save_tsv(tmp_path / "e.tsv", rows)
    with FakeStateServer(ITEMS, answer, delay=0.002) as server:
        done = ingest(server, file, "--pipeline", pipeline, timeout=110)
    assert done.returncode == 0, annex.said(done)
    assert server.events == {(u, i, at): float(w) for u, i, w, at in rows}
    assert "tried again" in done.stderr and "0 lines rejected" in done.stdout


@pytest.mark.parametrize(
    "reply, word", [(b"-ERR cannot write: No space left on device\r\n", "No space"), (b"-OVERLOADED too much\r\n", "OVERLOADED"),
                    (b"HTTP/1.1 400\r\n", "no sense"), ("close", "closed")])
def test_patience_ends(tmp_path, reply, word):
    """The first 100 are taken, then none; what was acknowledged is kept, and the next run sends the rest."""
    rows = [(f"u{n}", ITEMS[n % 50], 1, 1_000 + n) for n in range(300)]
    file = save_tsv(tmp_path / "e.tsv", rows)
    with FakeStateServer(ITEMS, lambda _, number: reply if number >= 100 else None) as server:
        began = time.monotonic()
        done = ingest(server, file, "--patience", 1, "--connections", 4)
        assert done.returncode == 1 and word in done.stderr and 0.9 < time.monotonic() - began < 15, annex.said(done)
        kept = progress(file)
        assert kept["lines"] <= 100 and f"goes on behind line {kept['lines']}" in done.stderr
        assert {(user, item, at) for user, item, _, at in rows[:kept["lines"]]} <= server.events.keys()
        server.answer = None
        done = ingest(server, file, check=True)
        assert f"began behind line {kept['lines']}" in done.stdout
    assert len(server.events) == 300


def test_no_patience(tmp_path):
    file = save_tsv(tmp_path / "e.tsv", [("a", "i1", 1, 1)])
    with FakeStateServer(ITEMS, lambda *_: b"-OVERLOADED no\r\n") as server:
        done = ingest(server, file, "--patience", 0)
        assert done.returncode == 1 and server.asked == 1


def test_a_server_that_says_nothing(tmp_path):
    file = save_tsv(tmp_path / "e.tsv", [("a", "i1", 1, 1)])
    with FakeStateServer(ITEMS, lambda *_: "silence") as server:
        began = time.monotonic()
        done = ingest(server, file, "--patience", 1)
        assert done.returncode == 1 and "no reply" in done.stderr and time.monotonic() - began < 25


def test_a_server_that_comes_back(tmp_path):
    rows, wanted = some_events("back", 2_000)
    file = save_tsv(tmp_path / "e.tsv", rows)
    with FakeStateServer(ITEMS, delay=0.01) as server:
        run = start(server, file, "--connections", 16)
        try:
            for n in (200, 900):
                annex.wait_until(lambda: server.asked > n, 20, "events arrive")
                server.stop()
                annex.lasting(0.5, "nobody listens")
                server.start_again()
            out, err = run.communicate(timeout=60)
        finally:
            run.kill()
            run.wait()
    assert run.returncode == 0 and "all 2000 lines are done" in out, out + err
    assert server.events.keys() == wanted.keys()


@pytest.mark.parametrize(
    "reply", [b"-ERR this server keeps no state, nothing was stored: start it with --state DIR\r\n", b"-ERR unknown command 'EVENT'\r\n",
              b"-NOINDEX no such index\r\n", b"-NOAUTH Authentication required.\r\n", b"+OK\r\n+OK\r\n"])
def test_what_no_patience_mends(tmp_path, reply):
    file = save_tsv(tmp_path / "e.tsv", [("a", "i1", 1, n) for n in range(9)])
    with FakeStateServer(ITEMS, lambda *_: reply) as server:
        began = time.monotonic()
        done = ingest(server, file, "--pipeline", 1)
        word = "nobody asked" if reply.startswith(b"+OK") else reply[1:-2].decode()
        assert done.returncode == 1 and word in done.stderr and time.monotonic() - began < 20


def test_progress_that_cannot_be_kept(tmp_path):
    file = save_tsv(tmp_path / "e.tsv", [("a", "i1", 1, 1)])
    with FakeStateServer(ITEMS) as server:
        for option in ("--progress", "--rejects"):
            done = ingest(server, file, option, "/nonexistent/p")
            assert done.returncode == 1 and "/nonexistent" in done.stderr and server.asked == 0, annex.said(done)
