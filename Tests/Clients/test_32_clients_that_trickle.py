"""Many slow clients (P9), the connection limit (P10), passwords (S1, S2, P6)."""

import time

import pytest

import annex
from annex import Connection, Server, ServerError, encode


def test_slow_clients_do_not_hold_up_others(fresh, fact):
    count = annex.setting("ANNEX_SLOW_CLIENTS", 1000)
    frame = encode("TOPK", "u1", 10, "INDEX", "ip-hnsw")
    fresh.assert_alive()
    memory, descriptors = fresh.rss(), fresh.descriptors()
    slow, worst, late = [], 0.0, 0
    health = fresh.connect()
    try:
        for n in range(count):
            c = fresh.connect()
            c.send(frame[:1])
            slow.append(c)
        for at in range(1, 12):
            for n, c in enumerate(slow):
                c.send(frame[at:at + 1])
                if n % 100 == 0:
                    started = time.monotonic()
                    assert health.call("PING") == "PONG"
                    took = time.monotonic() - started
                    worst, late = max(worst, took), late + (took > 0.1)
        grown = fresh.rss() - memory
        started = time.monotonic()
        fresh.assert_alive()
        fresh_client = time.monotonic() - started
        for c in slow[:50]:
            c.send(frame[12:])
            assert len(c.read()) == 10
    finally:
        for c in slow:
            c.socket.close()
        health.socket.close()
    annex.wait_until(lambda: fresh.descriptors() <= descriptors + 2, 15, "descriptors back")
    fact(f"{count} slow clients: {late} late PINGs (longest {worst * 1e3:.1f} ms), new client {fresh_client * 1e3:.1f} ms, "
         f"{grown / count / 1024:.1f} KiB each")
    assert worst < 2 and grown / count <= 32 * 1024


@pytest.fixture
def guarded(indexes, tmp_path):
    (tmp_path / "password").write_text("correct horse\n")
    (tmp_path / "password").chmod(0o600)
    options = ["--password-file", tmp_path / "password"]
    with Server(indexes["ip-flat"], log=tmp_path / "server.log", options=options, password="correct horse") as running:
        yield running


def test_password(guarded):
    with guarded.connect() as c:
        for words in (("TOPK", "u0", 5), ("PING",), ("COMMAND",), ("INFO",), ("RELOAD", "ip-flat"), ("CONFIG", "GET", "*")):
            assert c.error(*words).code == "NOAUTH", words
        assert c.error("AUTH", "tr1ed-this").code == "WRONGPASS"
        assert c.error("AUTH", "default", "tr1ed-this").code == "WRONGPASS"
        assert c.error("TOPK", "u0", 5).code == "NOAUTH"
        assert c.call("AUTH", "default", "correct horse") == "OK"
        assert len(c.call("TOPK", "u0", 5)) == 5
    with guarded.connect() as c:
        assert c.call("HELLO", 3, "AUTH", "default", "correct horse").get("proto") == 3
        assert c.call("PING") == "PONG"
    assert "correct horse" not in guarded.text() and "tr1ed-this" not in guarded.text(), "a password stands in the log"


@pytest.mark.parametrize("frame", [
    b"*11\r\n" + b"$1\r\nx\r\n" * 11, b"*2\r\n$4\r\nECHO\r\n$16385\r\n", b"*65536\r\n", b"x" * 70_000,
], ids=["11 arguments", "16385 bytes", "65536 arguments", "a long line"])
def test_before_auth_less_is_allowed(guarded, frame):
    with guarded.connect() as c:
        try:
            c.send(frame)
            reply = c.read()
            assert isinstance(reply, ServerError) and "Protocol error" in str(reply)
        except (ConnectionError, EOFError):
            pass
        assert c.at_end()
    with guarded.connect() as c:
        c.call("AUTH", "correct horse")
        assert c.call("ECHO", "x" * 100_000) == b"x" * 100_000


def test_without_auth_a_connection_ends(guarded, fact):
    """P6: closed after 10 s."""
    with Connection(guarded.port, timeout=15) as c:
        started = time.monotonic()
        assert c.at_end()
        took = time.monotonic() - started
    fact(f"a connection without AUTH was closed after {took:.1f} s")
    assert took < 14


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_another_address_without_a_password_is_refused(indexes, host):
    done = annex.run_annctl("serve", indexes["ip-flat"], "--host", host, "--port", annex.free_port(), timeout=30)
    assert done.returncode in (1, 64) and "password" in annex.said(done).lower()
