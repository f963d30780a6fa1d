"""Hostile frames, floods and fragments (P1 to P8, P11). A short seeded run; ANNEX_FUZZ_FRAMES makes it longer."""

import collections
import json
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import annex
from annex import Connection, Server, ServerError, encode

MIB = 1 << 20
HUGE = [b"9223372036854775807", b"9223372036854775808", b"18446744073709551616", b"99999999999999999999999", b"4294967296",
        b"2147483648", b"1048577000"]
# Each must be refused by a protocol error and a closed connection.
REFUSED = [
    *[b"*%s\r\n" % n for n in HUGE], *[b"*1\r\n$%s\r\n" % n for n in HUGE], *[b"*2\r\n$4\r\nPING\r\n$%s\r\n" % n for n in HUGE],
    b"*1\r\n$-2\r\nx\r\n", b"*1\r\n$-1\r\n", b"*1\r\n$+4\r\nPING\r\n", b"*+1\r\n$4\r\nPING\r\n", b"*1 \r\n$4\r\nPING\r\n",
    b"*1\r\n$4x\r\nPING\r\n", b"*1\r\n:4\r\n", b"*1\r\n*1\r\n$4\r\nPING\r\n", b"*1\r\n+PING\r\n", b"*1\r\n$4\r\nPINGxx",
    b"*1\r\n$ 4\r\nPING\r\n", b"*1\r\n$\r\n\r\n", b"*x\r\n", b"*\xd9\xa3\r\n", b"*1\r\n$\xd9\xa3\r\n", b"*1\r\n$1048577\r\n",
    b"*65537\r\n", b"\"unbalanced\r\n", b"'unbalanced\r\n", b"ECHO \"a\"b\r\n", b"*" + b"1" * 200_000, b"x" * 70_000,
    b"*1\r\n$" + b"0" * 200_000,
]
# Asks nothing: no reply is owed, and the next command is answered.
EMPTY = [b"\r\n", b"\n", b"   \r\n", b"*0\r\n", b"*-1\r\n", b"\r\n" * 100, b"*0\r\n" * 100]


@pytest.mark.parametrize("frame", REFUSED, ids=lambda f: repr(f[:28]))
def test_refused_with_a_protocol_error_and_closed(server, frame):
    before = server.rss()
    with server.connect(timeout=10) as c:
        try:
            c.send(frame)
        except ConnectionError:
            pass  # closed while the rest was on its way
        try:
            reply = c.read()
            assert isinstance(reply, ServerError) and str(reply).startswith("ERR Protocol error: "), reply
            annex.check_error_text(str(reply))
        except ConnectionResetError:
            pass
        assert c.at_end(), "the connection stays open after a protocol error"
    server.assert_alive()
    assert server.rss() - before < 8 * MIB


@pytest.mark.parametrize("frame", EMPTY, ids=lambda f: repr(f[:12]))
def test_empty_requests_owe_no_reply_and_reset_everything(server, frame):
    with server.connect() as c:
        c.send(frame + encode("ECHO", "a") + frame + b"PING\r\n" + frame + encode("ECHO", "b"))
        assert [c.read(), c.read(), c.read()] == [b"a", "PONG", b"b"]


def test_declared_lengths_cost_nothing(server, fact):
    before = server.rss()
    open_now = []
    try:
        for n in range(200):
            c = server.connect()
            c.send(b"*65536\r\n$1048576\r\n" if n % 2 else b"*3\r\n$4\r\nECHO\r\n$1048576\r\n")
            open_now.append(c)
        server.assert_alive()
        grown = server.rss() - before
    finally:
        for c in open_now:
            c.socket.close()
    fact(f"200 connections that declare 1 MiB or 65536 arguments: RSS {grown / MIB:+.1f} MiB")
    assert grown <= 16 * MIB


COMMANDS = [
    (encode("ECHO", "x" * 50), b"x" * 50), (encode("ECHO", b"\r\n\x00*1\r\n"), b"\r\n\x00*1\r\n"), (b"PING\r\n", "PONG"),
    (b"ECHO \"a b\"\r\n", b"a b"), (encode("ping", "hé"), "hé".encode()), (b"*0\r\n" + encode("PING"), "PONG"),
]


def test_one_byte_at_a_time(server):
    with server.connect() as c:
        for frame, answer in COMMANDS:
            for n in range(len(frame)):
                c.send(frame[n:n + 1])
            assert c.read() == answer


def test_cut_at_every_byte(server):
    """Both halves in writes of their own; the answer to a PING before them shows that the first half was read apart."""
    whole = b"".join(frame for frame, _ in COMMANDS)
    with server.connect() as c:
        for cut in range(1, len(whole)):
            c.send(encode("PING") + whole[:cut])
            assert c.read() == "PONG"
            c.send(whole[cut:])
            assert [c.read() for _ in COMMANDS] == [answer for _, answer in COMMANDS], f"cut at byte {cut}"


def test_100000_pipelined_commands_in_one_write(server, fact):
    count = 100_000
    data = b"".join(encode("ECHO", n) for n in range(count))
    with server.connect(timeout=60) as c:
        started = time.monotonic()
        writer = threading.Thread(target=c.send, args=(data,))
        writer.start()
        for n in range(count):
            assert c.read() == b"%d" % n
        writer.join()
        fact(f"{count} pipelined ECHO in order: {time.monotonic() - started:.1f} s, Python's share included")


def test_pipelined_queries_of_every_cost_keep_their_order(server, catalogues):
    """Searches that may run elsewhere between commands that run on the loop."""
    name, catalogue = "ip-hnsw", catalogues["ip-hnsw"]
    requests, shape = [], []
    for n in range(400):
        user = f"u{n % 60}"
        if n % 3 == 0:
            requests.append(encode("TOPK", user, 1000, "INDEX", name, "TRUTH"))
            shape.append(1000)
        elif n % 3 == 1:
            requests.append(encode("MTOPK", 20, *[user] * 20, 100, "INDEX", name))
            shape.append(20)
        else:
            requests.append(encode("ECHO", n))
            shape.append(b"%d" % n)
    with server.connect(timeout=60) as c:
        writer = threading.Thread(target=c.send, args=(b"".join(requests),))
        writer.start()
        for wanted in shape:
            reply = c.read()
            assert (len(reply) if isinstance(wanted, int) else reply) == wanted
        writer.join()


def test_replies_nobody_reads(fresh, catalogues, fact):
    """P4: the server stops reading from such a client, or closes it; its memory stays bounded."""
    request = encode("TOPK", "u1", 1000, "INDEX", "ip-hnsw", "WITHSCORES") * 200
    fresh.assert_alive()
    before, sent, closed = fresh.rss(), 0, False
    with fresh.connect() as c:
        c.socket.setblocking(False)
        end = time.monotonic() + 15
        stalled_since = None
        while time.monotonic() < end and sent < 64 * MIB:
            try:
                sent += c.socket.send(request)
                stalled_since = None
            except BlockingIOError:
                stalled_since = stalled_since or time.monotonic()
                if time.monotonic() - stalled_since > 2:
                    break
                annex.pace(0.01)
            except ConnectionError:
                closed = True
                break
        grown = fresh.rss() - before
        fresh.assert_alive()
    how = "closed by the server" if closed else "stalled" if stalled_since else "still reading"
    fact(f"replies nobody reads: {sent / 1024:.0f} KiB of requests taken, then {how}; RSS {grown / MIB:+.1f} MiB")
    assert closed or stalled_since, "the server goes on reading from a client that reads nothing"
    # 20 MiB of replies may wait (`pipeline-buffer-bytes`), and what carries them.
    assert grown <= 40 * MIB


def test_parser_is_linear(fresh, fact):
    """P8: processor time for four times the arguments is at most eight times as much."""

    def cost(count: int) -> float:
        frame = encode("TOPK", "nobody", 1, "EXCLUDE", count, *["x"] * count)
        fragments = [frame[n:n + 512] for n in range(0, len(frame), 512)]
        before = fresh.cpu_seconds()
        with fresh.connect(timeout=60) as c:
            for _ in range(20):
                for fragment in fragments:
                    c.send(fragment)
                assert isinstance(c.read(), ServerError)
        return fresh.cpu_seconds() - before

    cost(1000)
    small, large = cost(15_000), cost(60_000)
    fact(f"parser: {small:.2f} s of processor for 15000 arguments, {large:.2f} s for 60000, 20 times each")
    assert large <= 8 * max(small, 0.05)


def test_fuzz(indexes, tmp_path, fact):
    """P1, P11: hostile frames out of five seeds. Nothing exits, every reply is legal and in its place, a connection next to
    them is answered in time, memory comes back. `hostile_traffic.py` says what the frames are."""
    frames, workers = annex.setting("ANNEX_FUZZ_FRAMES", 200_000) // 5, annex.setting("ANNEX_FUZZ_WORKERS", 1)
    seeds = [annex.SEED + n for n in range(5)]
    program = Path(__file__).with_name("hostile_traffic.py")
    done, running, sent, counts = [], [], 0, collections.Counter()
    started = time.monotonic()
    with Server(*(indexes[name] for name in ("ip-hnsw", "ip-ivf", "l2-pq")), log=tmp_path / "server.log") as server:
        watch, before, descriptors = annex.Watch(server), server.rss(), server.descriptors()
        waiting = list(seeds)
        try:
            while waiting or running:
                while waiting and len(running) < workers:
                    command = [sys.executable, program, server.port, waiting.pop(0), frames]
                    running.append(subprocess.Popen([*map(str, command)], stdout=subprocess.PIPE, text=True))
                watch.until(lambda: any(p.poll() is not None for p in running), within=60 + frames / 500)
                for process in [p for p in running if p.poll() is not None]:
                    running.remove(process)
                    outcome = json.loads(process.communicate()[0] or "{}")
                    assert process.returncode == 0, outcome or "the traffic ended without a word"
                    sent += outcome["sent"]
                    counts.update(outcome["counts"])
                    done.append(f"{server.rss() - before >> 20:+d}")
        finally:
            for process in running:
                process.kill()
                process.wait(10)
        annex.wait_until(lambda: server.descriptors() <= descriptors + 1, 10, "descriptors back")
        server.assert_alive()
        took = time.monotonic() - started
        fact(f"fuzz: seeds {seeds}, {sent} frames in {took:.0f} s ({sent / took:.0f}/s), 0 illegal replies, 0 wrong counts, {watch}")
        fact(f"fuzz: RSS after each seed {', '.join(done)} MiB, at most {watch.peak - before >> 20:+d} MiB")
        fact("fuzz: " + ", ".join(f"{name} {count}" for name, count in sorted(counts.items())))
        assert server.rss() - before <= 64 * MIB
        assert watch.late <= watch.pings // 10_000 and max(watch.longest, watch.longest_starved) < 5


def test_connections_that_vanish(server, fact):
    """Half a command, then a reset: descriptors come back."""
    server.assert_alive()
    before = server.descriptors()
    for n in range(300):
        c = Connection(server.port)
        c.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        c.send(encode("TOPK", f"u{n % 60}", 100, "INDEX", "ip-hnsw") * 20 + b"*3\r\n$4\r\nTO")
        c.socket.close()
    annex.wait_until(lambda: server.descriptors() <= before + 2, 10, "descriptors back after resets")
    fact("connections reset in the middle of a command: 300, all descriptors back")
    server.assert_alive()
