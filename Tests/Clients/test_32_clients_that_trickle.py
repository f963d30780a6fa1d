"""Many slow clients (P9), the connection limit (P10), passwords (S1, S2, P6)."""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import annex
from annex import Connection, Server, ServerError


def test_slow_clients_do_not_hold_up_others(fresh, fact):
    """P9. `slow_clients.py` says what each of them does; ANNEX_SLOW_CLIENTS and ANNEX_SLOW_SECONDS, how many and for how long."""
    count, seconds = annex.setting("ANNEX_SLOW_CLIENTS", 1000), annex.setting("ANNEX_SLOW_SECONDS", 6)
    fresh.assert_alive()
    watch, waits = annex.Watch(fresh), []
    memory, descriptors = fresh.rss(), fresh.descriptors()
    command = [sys.executable, Path(__file__).with_name("slow_clients.py"), fresh.port, count, seconds]
    slow = subprocess.Popen([*map(str, command)], stdout=subprocess.PIPE, text=True)
    try:

        def ended():
            if watch.pings % 10 == 0:
                started = time.monotonic()
                with fresh.connect() as c:
                    assert c.call("PING") == "PONG"
                waits.append(time.monotonic() - started)
            return slow.poll() is not None

        watch.until(ended, within=2 * seconds + 60)
        assert slow.returncode == 0, f"slow_clients.py ended with {slow.returncode}"
        outcome = json.loads(slow.stdout.read())
    finally:
        slow.kill()
        slow.wait(10)
        slow.stdout.close()
    annex.wait_until(lambda: fresh.descriptors() <= descriptors + 1, 15, "descriptors back")
    watch.peak = max(watch.peak, fresh.rss())
    each = (watch.peak - memory) / count / 1024
    fact(f"slow clients: {outcome}, {watch}")
    fact(f"slow clients: {each:.1f} KiB each; {len(waits)} new clients meanwhile answered, p99 {np.quantile(waits, 0.99) * 1e3:.1f} ms, "
         f"longest {max(waits) * 1e3:.1f} ms")
    assert outcome["unexpected"] == 0 and outcome["answers"] > 0
    if seconds > 45:
        assert outcome["closed"] >= count // 2 and 29 <= outcome["closed after"][0] and outcome["closed after"][1] <= 40
    assert watch.late == 0 and max(watch.longest, watch.longest_starved) < 5
    assert each <= 16 and np.quantile(waits, 0.99) <= (0.5 if watch.starved else 0.1)


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
