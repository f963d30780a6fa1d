"""annctl ingest, as a process: against a fake server that fails in every way, and against annctl serve --state."""

from __future__ import annotations

import gzip
import json
import os
import resource
import signal
import subprocess
import time
from collections import defaultdict
from pathlib import Path

import pytest

import annex
from fake_state_server import FakeStateServer

ITEMS = [f"i{n}" for n in range(50)]
HEADING = "line\treason\ttext"


def ingest(server, file, *arguments, **options):
    port = server if isinstance(server, int) else server.port
    return annex.run_annctl("ingest", file, "--port", port, *arguments, **options)


def start(server, file, *arguments):
    return subprocess.Popen(
        [annex.annctl_path(), "ingest", str(file), "--port", str(server.port), *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def progress(file) -> dict:
    return json.loads(Path(f"{file}.progress").read_text())


def rejects(file) -> list[list[str]]:
    lines = Path(f"{file}.rejects.tsv").read_bytes().decode().split("\n")
    assert lines[0] == HEADING and lines[-1] == ""
    return [line.split("\t", 2) for line in lines[1:-1]]


def some_events(label, count, users=40):
    """Lines as tuples, and what a server has of them in the end: of the same user, item and time the last weight."""
    rng = annex.generator(label)
    rows = [
        (f"u{rng.integers(users)}", ITEMS[rng.integers(len(ITEMS))], int(rng.integers(1, 9)), 1_700_000_000_000 + int(rng.integers(count)))
        for _ in range(count)]
    return rows, {(user, item, at): float(weight) for user, item, weight, at in rows}


def save_tsv(path, rows, heading=False):
    head = "user_id\titem_id\tweight\ttime\n" if heading else ""
    path.write_text(head + "".join("\t".join(map(str, row)) + "\n" for row in rows))
    return path


# --- What is sent ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["tsv", "csv", "jsonl", "tsv.gz", "gzipped.tsv", "jsonl.gz"])
@pytest.mark.parametrize("heading", [False, True])
def test_all_forms_say_the_same(tmp_path, form, heading):
    rows, wanted = some_events("forms", 500)
    if "jsonl" in form:
        text = "".join(json.dumps(dict(zip(("user", "item", "weight", "time"), row))) + "\n" for row in rows)
    else:
        separator = "," if form == "csv" else "\t"
        text = (separator.join(("user", "item", "weight", "time")) + "\n") * heading
        text += "".join(separator.join(map(str, row)) + "\n" for row in rows)
    file = tmp_path / f"e.{form}"
    file.write_bytes(gzip.compress(text.encode()) if "gz" in form else text.encode())
    with FakeStateServer(ITEMS) as server:
        done = ingest(server, file, check=True)
    assert server.events == wanted
    lines = text.count("\n")
    assert f"all {lines} lines are done" in done.stdout and "500 events acknowledged of 500 sent" in done.stdout
    found = progress(file)
    assert found["isFinished"] and found["lines"] == lines and found["acknowledged"] == 500 and found["rejected"] == 0
    assert not Path(f"{file}.rejects.tsv").exists(), "there is nothing in it"


def test_users_keep_their_order_on_one_connection_of_many(tmp_path):
    """40 users' events, times that come again with other weights, replies in any order."""
    rows, wanted = some_events("order", 3_000)
    rows = [(user, item, weight, 1_700_000_000_000 + at % 7) for user, item, weight, at in rows]
    wanted = {(user, item, at): float(weight) for user, item, weight, at in rows}
    file = save_tsv(tmp_path / "e.tsv", rows)
    with FakeStateServer(ITEMS, delay=0.004) as server:
        ingest(server, file, check=True)
    assert server.events == wanted
    sent = defaultdict(list)
    for connection, *event in server.log:
        sent[event[0]].append((connection, *event))
    for user, events in sent.items():
        assert len({connection for connection, *_ in events}) == 1, f"{user} was on several connections"
        assert [tuple(e[1:]) for e in events] == [(u, i, float(w), at) for u, i, w, at in rows if u == user]
    assert 10 < server.most <= 64 and server.connections <= 65


def test_lines_without_a_time(tmp_path):
    """Each line is an event of its own, users keep the file's order, and a second run over the same file sends the same."""
    lines = [("a", "i1"), ("b", "i1"), ("a", "i1"), ("a", "i2"), ("b", "i1"), ("c", "i9"), ("a", "i1")]
    file = tmp_path / "e.tsv"
    file.write_text("user\titem\n" + "".join(f"{user}\t{item}\n" for user, item in lines))
    with FakeStateServer(ITEMS) as server:
        ingest(server, file, "--at", 5_000, check=True)
        assert len(server.events) == len(lines)
        for user in "abc":
            times = [(at, item) for u, item, at in server.events if u == user]
            assert [item for _, item in sorted(times)] == [item for u, item in lines if u == user]
            assert all(5_000 <= at < 5_000 + len(lines) for at, _ in times)
        before = dict(server.events)
        os.unlink(f"{file}.progress")
        ingest(server, file, "--at", 5_000, check=True)
        assert server.events == before
        os.unlink(f"{file}.progress")
        now = time.time() * 1_000
        ingest(server, file, check=True)
        added = [at for _, _, at in server.events.keys() - before.keys()]
        assert len(added) == len(lines) and all(now - 1 <= at < now + 60_000 for at in added)
        assert min(added) == progress(file)["at"]


def test_times_that_look_like_seconds(tmp_path):
    file = save_tsv(tmp_path / "e.tsv", [("a", "i1", 1, 1_700_000_000), ("a", "i2", 1, 1_700_000_001)])
    with FakeStateServer(ITEMS) as server:
        done = ingest(server, file)
        assert done.returncode == 1 and "e.tsv:1: the time 1700000000 is in 1970" in done.stderr and server.events == {}
        # The advice.
        save_tsv(file, [("a", "i1", 1, 1_700_000_000_000), ("a", "i2", 1, 1_700_000_001_000)])
        ingest(server, file, check=True)
    assert len(server.events) == 2


def test_many_more_lines_than_are_held(tmp_path):
    """2 million lines that are no events: the process stays small, and the rejects are whole."""
    file = tmp_path / "e.tsv"
    with open(file, "w") as out:
        for n in range(2_000_000):
            out.write(f"u{n}\n")
    with FakeStateServer(ITEMS) as server:
        run = start(server, file)
        peak = 0
        while run.poll() is None:
            try:
                with open(f"/proc/{run.pid}/statm") as statm:
                    peak = max(peak, int(statm.read().split()[1]) * resource.getpagesize())
            except (OSError, IndexError):
                pass
            time.sleep(0.05)
        out, err = run.communicate(timeout=10)
    assert run.returncode == 0 and "2000000 lines rejected" in out, out + err
    assert peak < 150 << 20, f"{peak >> 20} MiB"
    found = rejects(file)
    assert len(found) == 2_000_000 and found[-1] == ["2000000", "the line has 1 fields; it is user, item, weight, time", "u1999999"]


# --- Rejects -----------------------------------------------------------------------------------------------------------


def test_rejects(tmp_path):
    file = tmp_path / "e.tsv"
    file.write_bytes(
        b"user\titem\n" b"a\ti1\n" b"a\tstranger\t2\t7\n" b"\n" b"broken\n" b"b\ti2\tmuch\r\n" b"\xff\xfe\tx\n" b"b\ti3\n"
        b"c\ti1\t1\t4102444799999\n" b"c\ti1\t1\t9223372036854775808\n" b"c\ti1\t3.5e38\n" b"c\ti1\t1e6\t0\n"
        b"c\ti1\t1\t2\t3\n" b"\"c\ti1\n")
    with FakeStateServer(ITEMS, delay=0.01) as server:
        done = ingest(server, file)
    assert done.returncode == 0 and "8 lines rejected" in done.stdout
    found = Path(f"{file}.rejects.tsv").read_bytes().split(b"\n")
    assert found[0].decode() == HEADING
    found = [line.split(b"\t", 2) for line in found[1:-1]]
    assert [int(line) for line, _, _ in found] == [3, 5, 6, 7, 10, 11, 13, 14]
    by_line = {int(line): (reason.decode(), text) for line, reason, text in found}
    assert by_line[3] == ("NOITEM no such item", b"a\tstranger\t2\t7")
    assert by_line[6][0].startswith("column 3:") and "much" in by_line[6][0] and by_line[6][1] == b"b\ti2\tmuch"
    assert "UTF-8" in by_line[7][0] and by_line[7][1] == b"\xff\xfe\tx"
    assert set(server.events) >= {("c", "i1", 4102444799999), ("c", "i1", 0)} and len(server.events) == 4


def test_rejects_can_be_sent_again(tmp_path):
    """What the help says: the third column is the lines as they were."""
    rows = [("a", "later", 2, 7), ("b", "i1", 1, 8), ("c", "later", 3, 9)]
    file = save_tsv(tmp_path / "e.tsv", rows)
    with FakeStateServer(ITEMS) as server:
        ingest(server, file, check=True)
        server.items.add("later")
        again = tmp_path / "again.tsv"
        again.write_bytes(subprocess.check_output(f"tail -n +2 {file}.rejects.tsv | cut -f 3-", shell=True))
        ingest(server, again, check=True)
    assert server.events == {(u, i, at): float(w) for u, i, w, at in rows}


@pytest.mark.parametrize("allowed, code", [(0, 1), (2, 1), (3, 0), (9223372036854775807, 0)])
def test_max_rejects(tmp_path, allowed, code):
    file = save_tsv(tmp_path / "e.tsv", [("a", "i1", 1, 1), ("a", "no", 1, 2), ("b", "no", 1, 3), ("x",), ("a", "i2", 1, 4)])
    with FakeStateServer(ITEMS) as server:
        done = ingest(server, file, "--max-rejects", allowed)
        assert done.returncode == code, annex.said(done)
        if code:
            assert f"more than {allowed}" in done.stderr and "--max-rejects" in done.stderr
            # With more allowed, it goes on.
            assert ingest(server, file, "--max-rejects", 3).returncode == 0
        assert len(server.events) == 2 and len(rejects(file)) == 3
        again = ingest(server, file, "--max-rejects", allowed)
        assert again.returncode == code and "done already" in again.stdout


def test_somebody_elses_file_is_not_cut(tmp_path):
    file = save_tsv(tmp_path / "e.tsv", [("a", "no", 1, 1)])
    precious = tmp_path / "precious.txt"
    precious.write_text("do not touch\n")
    with FakeStateServer(ITEMS) as server:
        for option in ("--rejects", "--progress"):
            done = ingest(server, file, option, precious)
            assert done.returncode in (1, 64) and option in done.stderr and server.asked == 0
    assert precious.read_text() == "do not touch\n"


# --- Going on ----------------------------------------------------------------------------------------------------------


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
                    time.sleep(0.15 + 0.3 * rng.random())
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


# --- A server that fails -----------------------------------------------------------------------------------------------


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
                time.sleep(0.5)
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


# --- Arguments ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments, word",
    [(["--connections", 0], "--connections"), (["--connections", 10_001], "--connections"), (["--port", 0], "--port"),
     (["--pipeline", 0], "--pipeline"), (["--pipeline", 1_001], "--pipeline"), (["--port", 65_536], "--port"), (["--patience", -1], "patience"), (["--patience", "nan"], "--patience"),
     (["--patience", 86_401], "--patience"), (["--max-rejects", "-1"], "max-rejects"), (["--at", -5], "at"),
     (["--at", 253_402_300_800_000], "--at"), (["--at", 9223372036854775807], "--at"), (["--at", 9223372036854775808], "at"),
     (["--format", "parquet"], "--format"), (["--index", "a/b"], "--index"), (["--index", "elsewhere"], "elsewhere")])
def test_wrong_arguments(tmp_path, arguments, word):
    file = save_tsv(tmp_path / "e.tsv", [("a", "i1", 1, 1)])
    with FakeStateServer(ITEMS) as server:
        done = annex.run_annctl("ingest", file, "--port", server.port, *arguments, timeout=20)
        assert done.returncode == 64 and word in done.stderr and server.asked == 0, annex.said(done)


def test_the_latest_time(tmp_path):
    file = tmp_path / "e.tsv"
    file.write_text("a\ti1\na\ti1\n")
    with FakeStateServer(ITEMS) as server:
        assert "beyond the year 2100" in ingest(server, file, "--at", 4_102_444_800_000).stderr
        ingest(server, file, "--at", 4_102_444_799_999, check=True)
    assert sorted(at for _, _, at in server.events) == [4_102_444_799_999, 4_102_444_800_000]


def test_files_that_are_none(tmp_path):
    with FakeStateServer(ITEMS, indexes=("shop", "music")) as server:
        assert "cannot open" in ingest(server, tmp_path / "no.tsv").stderr
        assert ingest(server, tmp_path).returncode in (1, 64)
        log = tmp_path / "e.log"
        log.write_text("a,i1\n")
        done = ingest(server, log)
        assert done.returncode == 64 and "--format" in done.stderr
        done = ingest(server, log, "--format", "csv")
        assert done.returncode == 64 and "shop, music" in done.stderr and "--index" in done.stderr
        done = ingest(server, log, "--format", "csv", "--progress", log)
        assert done.returncode == 64 and "three files" in done.stderr
        assert ingest(server, log, "--format", "csv", "--index", "shop").returncode == 0
    assert len(server.events) == 1
    done = ingest(annex.free_port(), log, "--format", "csv", "--progress", tmp_path / "p", timeout=20)
    assert done.returncode == 1 and "cannot connect" in done.stderr


def test_a_file_that_was_cut(tmp_path):
    """What is whole of it was sent; the failure says what is wrong."""
    rng = annex.generator("cut")
    text = "".join(f"u{rng.integers(1 << 60)}\ti1\t1\t{n}\n" for n in range(20_000))
    file = tmp_path / "e.tsv.gz"
    file.write_bytes(gzip.compress(text.encode())[:-50_000])
    with FakeStateServer(ITEMS) as server:
        done = ingest(server, file, "--connections", 8)
    assert done.returncode == 1 and "ends too early" in done.stderr
    assert progress(file)["lines"] <= len(server.events) < 20_000


def test_password(tmp_path):
    secret, wrong = tmp_path / "secret", tmp_path / "wrong"
    secret.write_text("open sesame\n")
    wrong.write_text("shut\n")
    file = save_tsv(tmp_path / "e.tsv", [("a", "i1", 1, 1)])
    with FakeStateServer(ITEMS, password="open sesame") as server:
        for options, word in ([], "NOAUTH"), (["--password-file", wrong], "WRONGPASS"):
            done = ingest(server, file, *options)
            assert done.returncode == 1 and word in done.stderr and "--password-file" in done.stderr
        ingest(server, file, "--password-file", secret, check=True)
        assert len(server.events) == 1


# --- The real server ---------------------------------------------------------------------------------------------------


@pytest.fixture
def keeping(indexes, tmp_path):
    with annex.Server(indexes["ip-hnsw"], log=tmp_path / "log", options=["--state", tmp_path / "state"]) as running:
        yield running


def seen(link, user) -> dict:
    """{item: newest time}."""
    flat = link.call("SEEN", user, "COUNT", 10_000, "WITHTIMES")
    return {flat[n].decode(): int(flat[n + 1]) for n in range(0, len(flat), 2)}


def state(server) -> dict:
    with server.connect() as link:
        line = next(line for line in link.call("INFO", "State").decode().splitlines() if line.startswith("state_"))
    return dict(pair.split("=") for pair in line.split(":", 1)[1].split(","))


def test_events_arrive(keeping, catalogues, tmp_path):
    catalogue = catalogues["ip-hnsw"]
    rng = annex.generator("arrive")
    rows = [
        (f"new{rng.integers(100)}", catalogue.ids[rng.integers(len(catalogue.ids))], 1 + int(rng.integers(4)), 1_000 + n)
        for n in range(5_000)]
    file = save_tsv(tmp_path / "e.tsv", rows + [("new1", "no such item", 1, 1)])
    done = ingest(keeping, file, check=True)
    assert "5000 events acknowledged" in done.stdout and "1 lines rejected" in done.stdout
    assert [line[0] for line in rejects(file)] == ["5001"] and rejects(file)[0][1].startswith("NOITEM")
    wanted = defaultdict(dict)
    for user, item, _, at in rows:
        wanted[user][item] = at
    with keeping.connect() as link:
        for user, items in wanted.items():
            assert seen(link, user) == items
    before = state(keeping)["events"]
    assert int(before) == len({(u, i, at) for u, i, _, at in rows})
    # Sent again from the first line on, nothing changes.
    os.unlink(f"{file}.progress")
    ingest(keeping, file, check=True)
    assert state(keeping)["events"] == before


def test_limits_of_the_server(keeping, catalogues, tmp_path):
    """Weights and times beyond the limits are rejects, and do not stand in the way of the others."""
    item = catalogues["ip-hnsw"].ids[0]
    good = [("a", item, "1e6", 4_102_444_799_999), ("b", item, "-1e6", 0), ("c", item, "1e-45", 5)]
    bad = [("d", item, "1.0001e6", 5), ("e", item, "3.4028234e38", 5), ("f", item, 1, 9223372036854775808)]
    file = save_tsv(tmp_path / "e.tsv", bad[:1] + good + bad[1:])
    done = ingest(keeping, file, check=True)
    assert "3 events acknowledged" in done.stdout and [line for line, _, _ in rejects(file)] == ["1", "5", "6"]
    with keeping.connect() as link:
        for user, _, _, at in good:
            assert seen(link, user) == {item: at}


def test_a_server_that_is_killed(indexes, catalogues, tmp_path):
    """SIGKILL amid the run: the run goes on with the next process on the port; what was acknowledged is there."""
    catalogue = catalogues["ip-hnsw"]
    rows = [(f"v{n % 97}", catalogue.ids[n % len(catalogue.ids)], 1, 1_000_000 + n) for n in range(20_000)]
    file = save_tsv(tmp_path / "e.tsv", rows)
    options = ["--state", tmp_path / "state"]
    with annex.Server(indexes["ip-hnsw"], log=tmp_path / "log", options=options) as server:
        run = start(server, file)
        try:
            annex.wait_until(lambda: int(state(server)["events"]) > 500, 30, "events arrive")
            server.process.kill()
            server.process.wait()
            server.process = subprocess.Popen(
                [annex.annctl_path(), "serve", str(indexes["ip-hnsw"]), "--port", str(server.port), *map(str, options)],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            out, err = run.communicate(timeout=110)
        finally:
            run.kill()
            run.wait()
        assert run.returncode == 0 and "all 20000 lines are done" in out, out + err
        assert int(state(server)["events"]) == 20_000


def test_a_server_without_a_state(single, tmp_path, catalogues):
    file = save_tsv(tmp_path / "e.tsv", [("a", catalogues["ip-hnsw"].ids[0], 1, 1)])
    done = ingest(single, file)
    assert done.returncode == 1 and "--state" in done.stderr


def test_bench_of_events(keeping, catalogues, tmp_path):
    """EVENT in a mix, and beside one: counted and shown for themselves."""
    users = annex.save_ids(tmp_path / "users.txt", catalogues["ip-hnsw"].user_ids)
    ids = annex.save_ids(tmp_path / "items.txt", catalogues["ip-hnsw"].ids[:50])

    def report(*arguments):
        done = annex.run_annctl("bench", "server", "--port", keeping.port, "--user-ids", users, "--json", *arguments, check=True)
        return json.loads(done.stdout)

    found = report("--mix", "TOPK=1,EVENT=1", "--item-ids", ids, "--requests", 2_000, "--warmup", 0, "--zipf", 0.5)
    counts = {name: latency["count"] for name, latency in found["runs"][0]["result"]["commands"].items()}
    assert sum(counts.values()) == 2_000 and 850 < counts["EVENT"] < 1_150 and found["items"] == 50
    assert int(state(keeping)["events"]) == counts["EVENT"] and found["runs"][0]["result"]["errors"] == {}
    assert "eventsPerSecond" not in found and "events" not in found["runs"][0]

    found = report("--mix", "TOPK", "--connections", 2, "--events-per-second", 200, "--event-connections", 8, "--seconds", 1,
                   "--warmup", 0)
    [run] = found["runs"]
    assert found["eventsPerSecond"] == 200 and found["eventConnections"] == 8 and found["items"] == 1_200
    assert abs(run["events"]["requests"] - 200) <= 1 and run["events"]["errors"] == {} and list(run["result"]["commands"]) == ["TOPK"]
    done = annex.run_annctl(
        "bench", "server", "--port", keeping.port, "--user-ids", users, "--events-per-second", 100, "--seconds", 0.5, "--warmup", 0,
        check=True)
    assert "100 EVENTs a second on 64 more" in done.stdout.splitlines()[0]
    assert [line.split()[0] for line in done.stdout.splitlines()[3:]] == ["TOPK", "+"]


@pytest.mark.parametrize(
    "arguments, word",
    [(["--events-per-second", 0], "--events-per-second"), (["--events-per-second", "nan"], "--events-per-second"),
     (["--events-per-second", 5, "--event-connections", 0], "--event-connections"), (["--events-per-second", 5], "--user-ids"),
     (["--events-per-second", 5, "--requests", 1], "--seconds"), (["--mix", "EVENT"], "--user-ids")])
def test_wrong_arguments_of_the_bench(single, arguments, word):
    done = annex.run_annctl("bench", "server", "--port", single.port, "--seconds", 0.1, *arguments, timeout=20)
    assert done.returncode == 64 and word in done.stderr, annex.said(done)


def test_bench_of_events_without_a_state(single, catalogues, tmp_path):
    users = annex.save_ids(tmp_path / "users.txt", catalogues["ip-hnsw"].user_ids)
    done = annex.run_annctl(
        "bench", "server", "--port", single.port, "--user-ids", users, "--events-per-second", 50, "--seconds", 0.3, "--warmup", 0)
    assert done.returncode == 1 and "--state" in done.stderr and "EVENT beside TOPK" in done.stdout
