"""annctl ingest, as a process: what it sends, what it rejects, and what it refuses. The server is a fake one that can fail."""

from __future__ import annotations

import gzip
import json
import os
import resource
import subprocess
import time
from collections import defaultdict
from pathlib import Path

import pytest

import annex
from fake_state_server import FakeStateServer
from ingest_files import ITEMS, HEADING, ingest, start, progress, rejects, some_events, save_tsv


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
            annex.pace(0.05)
        out, err = run.communicate(timeout=10)
    assert run.returncode == 0 and "2000000 lines rejected" in out, out + err
    assert peak < 150 << 20, f"{peak >> 20} MiB"
    found = rejects(file)
    assert len(found) == 2_000_000 and found[-1] == ["2000000", "the line has 1 fields; it is user, item, weight, time", "u1999999"]


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
