"""Memory follows limits, whatever is asked: the worst legal commands, many clients at once, direct and through a router."""

import json
import re
import threading
import time

import numpy as np
import pytest

import annex
from routed import Routed
from worst_commands import Client, Draw, anonymous_bytes

MIB = 1 << 20
ALL_CLIENTS = 256 * MIB
SLACK = 64 * MIB
ITEMS, USERS, DIMENSION = 1_200, 300, 16


@pytest.fixture(scope="module")
def heavy(tmp_path_factory):
    """An index named `heavy`: a third of its items without attributes, most with 1 kB, 40 with 43 kB, 40 with 1 MB."""
    folder = tmp_path_factory.mktemp("heavy")
    random = annex.generator("heavy attributes")
    np.save(folder / "items.npy", random.normal(size=(ITEMS, DIMENSION)).astype("<f4"))
    np.save(folder / "users.npy", random.normal(size=(USERS, DIMENSION)).astype("<f4"))
    sizes = np.where(np.arange(ITEMS) % 3 == 0, 0, 1_000)
    sizes[1:600:15], sizes[601:641] = 43_000, 1_000_000
    with open(folder / "attributes.jsonl", "w") as file:
        for n, size in enumerate(sizes):
            if size:
                file.write(json.dumps({"id": f"i{n}", "text": "a" * int(size)}) + "\n")
    annex.save_ids(folder / "items.txt", [f"i{n}" for n in range(ITEMS)])
    annex.save_ids(folder / "users.txt", [f"u{n}" for n in range(USERS)])
    return annex.built(
        folder / "heavy", vectors=folder / "items.npy", ids=folder / "items.txt", users=folder / "users.npy",
        user_ids=folder / "users.txt", attributes=folder / "attributes.jsonl", index="Flat", fold_in="als",
        regularization=0.1, alpha=1)


def cache_limits(port: int) -> int:
    """The bounds of all caches that INFO shows."""
    with annex.Connection(port, timeout=30) as c:
        text = c.call("INFO", "everything").decode()
    return sum(int(value) for value in re.findall(r"(?:cache_limit|context_limit)=(\d+)", text))


def campaign(servers, port: int, seconds: float, label: str, fact) -> None:
    """32 clients send the worst that they may; no server ends, none takes more than its limits say."""
    for server in servers:  # the first queries make what every server has at rest
        with annex.Connection(server.port) as c:
            c.send(annex.encode("TOPK", "u1", 5) + annex.encode("VSIM", "heavy", "ELE", "i1"))
            c.read(), c.read()
    idle = [anonymous_bytes(server.process.pid) for server in servers]
    stop = threading.Event()
    names, users = [f"i{n}" for n in range(ITEMS)], [f"u{n}" for n in range(USERS)]
    clients = [
        Client(port, Draw(annex.SEED + n, "heavy", names, users, DIMENSION), 2 + n % 2, stop) for n in range(32)]
    for client in clients:
        client.start()
    peaks = list(idle)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for n, server in enumerate(servers):
            assert server.process.poll() is None, f"it ended with {server.process.returncode}:\n{server.text()[-3000:]}"
            peaks[n] = max(peaks[n], anonymous_bytes(server.process.pid))
        annex.pace(0.005)
    stop.set()
    for client in clients:
        client.join(60)
    sent, dropped = sum(c.sent for c in clients), sum(c.dropped for c in clients)
    grown = []
    for server, before, peak in zip(servers, idle, peaks):
        server.assert_alive()
        allowed = ALL_CLIENTS + SLACK + cache_limits(server.port)
        grown.append(f"{peak - before >> 20} of {allowed >> 20}")
        assert peak - before <= allowed, f"{label}: grew by {peak - before >> 20} MiB, {allowed >> 20} MiB are allowed"
    fact(f"worst commands, {label}: {sent} sent, {sum(c.read_bytes for c in clients) >> 20} MiB read, {dropped} connections "
         f"closed by the server, {sum(c.left for c in clients)} clients left in the middle; MiB grown: {', '.join(grown)}")
    assert sent > 100


def test_no_command_takes_more_than_the_limits(heavy, tmp_path, fact):
    with annex.Server(heavy, log=tmp_path / "log", options=["--state", tmp_path / "state"]) as server:
        campaign([server], server.port, annex.setting("ANNEX_WORST_SECONDS", 10), "direct", fact)


def test_no_command_takes_more_than_the_limits_through_a_router(heavy, tmp_path, fact):
    with Routed(heavy, folder=tmp_path / "cluster", shards=2) as routed:
        servers = [routed, *(replica for row in routed.shards for replica in row)]
        campaign(servers, routed.port, annex.setting("ANNEX_WORST_SECONDS", 10), "through a router", fact)


@pytest.mark.parametrize("version", [2, 3])
def test_a_reply_past_four_gigabytes_is_an_error(heavy, tmp_path, version):
    """25,000 users × 4 items with attributes of up to 1 MB: what such a reply would take is refused while it is written."""
    with annex.Server(heavy, log=tmp_path / "log") as server, server.connect(timeout=60) as c:
        if version == 3:
            c.call("HELLO", 3)
        before = anonymous_bytes(server.process.pid)
        users = [f"u{n % USERS}" for n in range(1_000)]
        assert "larger than" in str(c.error("MTOPK", 1_000, *users, 100, "WITHATTRIBS"))
        assert "larger than" in str(c.error("TOPK", "u1", 1_200, "WITHATTRIBS"))
        assert anonymous_bytes(server.process.pid) - before < ALL_CLIENTS
        assert len(c.call("TOPK", "u1", 5)) == 5


def test_requests_that_wait_are_counted(heavy, tmp_path):
    """Long commands of 15 MB each, from 70 clients: those that do not fit are refused, or their connections closed."""
    out = [f"{n:0>240}" for n in range(60_000)]
    command = annex.encode("MTOPK", 100, *[f"u{n}" for n in range(100)], 1_000, "EXCLUDE", len(out), *out)
    assert len(command) > 14 * MIB
    with annex.Server(heavy, log=tmp_path / "log") as server:
        before, peak = anonymous_bytes(server.process.pid), 0
        stop = threading.Event()

        def send():
            try:
                with server.connect(timeout=60) as c:
                    c.send(command)
                    c.read()
            except (OSError, EOFError):
                pass  # closed, as it held most

        threads = [threading.Thread(target=send, daemon=True) for _ in range(70)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            peak = max(peak, anonymous_bytes(server.process.pid))
            annex.pace(0.005)
        stop.set()
        server.assert_alive()
        allowed = ALL_CLIENTS + SLACK + cache_limits(server.port)
        assert peak - before <= allowed, f"grew by {peak - before >> 20} MiB of {allowed >> 20}"


def test_what_multi_keeps_is_what_is_counted(heavy, tmp_path, fact):
    """Commands kept behind MULTI pin no buffer that is larger than they: each comes with blank lines that fill the read."""
    size, clients, filling = 17_000, 8, b"\r\n" * 24_000
    with annex.Server(heavy, log=tmp_path / "log") as server:
        connections = [server.connect(timeout=30) for _ in range(clients)]
        for c in connections:
            # The buffer for reads grows with what comes.
            c.send(annex.encode("ECHO", "x" * 900_000))
            c.read()
        idle, counted = anonymous_bytes(server.process.pid), 0
        for c in connections:
            assert c.call("MULTI") == "OK"
        for _ in range(300):
            for c in connections:
                c.send(annex.encode("ECHO", "y" * size) + filling)
                assert c.read() == "QUEUED"
                counted += size
        grown = anonymous_bytes(server.process.pid) - idle
        for c in connections:
            c.socket.close()
        server.assert_alive()
    fact(f"{clients} clients keep {counted >> 20} MiB behind MULTI: {grown >> 20} MiB grown")
    assert grown <= counted * 1.5 + (16 << 20)


def test_a_small_request_that_waits_keeps_no_large_buffer(heavy, tmp_path, fact):
    """15 MB that are answered at once, and behind them in the same write a query that waits for a thread: 12 clients."""
    large, small = annex.encode("x", *["y" * MIB] * 15), annex.encode("WHYNOT", "u1", "i1", 5)
    long = annex.encode("MTOPK", 25_000, *[f"u{n % USERS}" for n in range(25_000)], 4, "TRUTH")
    with annex.Server(heavy, log=tmp_path / "log") as server:
        busy = [server.connect(timeout=120) for _ in range(24)]
        clients = [server.connect(timeout=120) for _ in range(12)]
        for c in busy:
            c.send(long)
        annex.wait_until(lambda: jobs(server) == len(busy), 20, "all threads have work, and more waits")
        idle = anonymous_bytes(server.process.pid)
        for c in clients:
            c.send(large + small)
            assert "unknown command" in str(c.read())
        grown, waiting = anonymous_bytes(server.process.pid) - idle, jobs(server)
        for c in [*busy, *clients]:
            c.socket.close()
        server.assert_alive()
    fact(f"{waiting} commands wait, 12 of them small and sent behind 15 MiB each: {grown >> 20} MiB grown")
    assert waiting > len(clients), "the small ones still wait when memory is looked at"
    assert grown <= 64 * MIB


def jobs(server) -> int:
    """Commands that wait for a thread or have one."""
    with server.connect(timeout=30) as c:
        lines = c.call("INFO", "everything").decode().splitlines()
    return int(next(line for line in lines if line.startswith("deferred_jobs:")).split(":")[1])
