"""Hostile frames, floods and fragments (P1 to P8, P11). A short seeded run; ANNEX_FUZZ_FRAMES makes it longer."""

import socket
import threading
import time

import pytest

import annex
from annex import Connection, ServerError, encode

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
                time.sleep(0.01)
            except ConnectionError:
                closed = True
                break
        grown = fresh.rss() - before
        fresh.assert_alive()
    how = "closed by the server" if closed else "stalled" if stalled_since else "still reading"
    fact(f"replies nobody reads: {sent / 1024:.0f} KiB of requests taken, then {how}; RSS {grown / MIB:+.1f} MiB")
    assert closed or stalled_since, "the server goes on reading from a client that reads nothing"
    assert grown <= 32 * MIB


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


def test_fuzz(server, fact):
    """P1: mutated frames. Nothing exits, every reply is legal, a connection next to them always answers."""
    rng = annex.generator("fuzz")
    frames = annex.setting("ANNEX_FUZZ_FRAMES", 20_000)
    blob = rng.bytes(96)
    seeds = [
        encode("PING"), encode("TOPK", "u1", 5, "INDEX", "ip-hnsw", "WITHSCORES"), encode("MTOPK", 2, "u1", "u2", 3, "INDEX", "l2-pq"),
        encode("VSIM", "ip-flat", "FP32", blob), encode("VSIM", "ip-ivf", "VALUES", 2, 1, 2), encode("COMMAND", "DOCS", "topk"),
        encode("HELLO", 3), encode("CLIENT", "LIST"), encode("CONFIG", "GET", "*"), encode("COMMAND", "GETKEYS", "MTOPK", 1, "a", 1),
        encode("SCORE", "u1", 2, "i1", "i2", "INDEX", "ip-pq"), encode("VRANDMEMBER", "ip-flat", 3), encode("INFO"),
        b"TOPK u1 5 INDEX ip-hnsw\r\n", b"ECHO \"\\x00\\n\"\r\n", b"*0\r\n", b"\r\n",
    ]
    tokens = [b"\r\n", b"*", b"$", b"-1", b"0", b"9223372036854775807", b"\x00", b"\xff", b"\"", b" ", b"nan", b"inf", b"$0\r\n\r\n"]
    sent = replies = protocol_errors = late = 0
    longest = 0.0
    watch = server.connect()
    while sent < frames:
        batch = bytearray()
        for _ in range(8):  # few, as a protocol error ends the connection; one of three is not mutated at all
            frame = bytearray(seeds[rng.integers(len(seeds))])
            for _ in range(rng.integers(0, 3)):
                at = int(rng.integers(0, len(frame) + 1))
                kind = rng.integers(5)
                if kind == 0 and at < len(frame):
                    frame[at] ^= 1 << int(rng.integers(8))
                elif kind == 1:
                    frame[at:at] = tokens[rng.integers(len(tokens))]
                elif kind == 2:
                    del frame[at:at + int(rng.integers(1, 8))]
                elif kind == 3:
                    frame[at:at] = frame[: int(rng.integers(0, 40))]
                elif at < len(frame):
                    frame[at] = int(rng.integers(256))
            batch += frame
            sent += 1
        with server.connect(timeout=5) as c:
            try:
                c.send(bytes(batch))
                c.socket.shutdown(socket.SHUT_WR)
                while True:
                    reply = c.read()
                    replies += 1
                    if isinstance(reply, ServerError):
                        annex.check_error_text(str(reply))
                        protocol_errors += str(reply).startswith("ERR Protocol error")
            except (EOFError, ConnectionError):
                assert c.position >= len(c.buffer) or c.buffer[c.position:] == b"", f"half a reply: {c.buffer[c.position:][:80]!r}"
            except TimeoutError:
                raise AssertionError("the server did not close after the client had closed its side")
        started = time.monotonic()
        assert watch.call("PING") == "PONG"
        took = time.monotonic() - started
        longest, late = max(longest, took), late + (took > 0.1)
    watch.socket.close()
    server.assert_alive()
    fact(f"fuzz: {sent} frames, {replies} replies, {protocol_errors} protocol errors, {late} late PINGs (longest {longest * 1e3:.0f} ms)")
    assert longest < 2


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
