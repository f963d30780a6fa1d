"""Nothing stalls a loop: what is costly leaves it before it is begun, whoever asks for it and however often."""

import re
import threading
import time

import numpy as np
import pytest

import annex
import latency_probe
from worst_commands import Client, Draw

ITEMS, USERS, DIMENSION = 60_000, 2_000, 32
# Processor time that one turn of a connection may take, in microseconds: 2,000 is the aim, which the report shows; four times that
# leaves room for slower machines, and is far below what a command on the wrong thread takes.
TURN_LIMIT = 8_000


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """An index named `large`: 60,000 items, clusters; users with histories that fold in."""
    folder = tmp_path_factory.mktemp("large")
    random = annex.generator("large rows")
    np.save(folder / "items.npy", random.normal(size=(ITEMS, DIMENSION)).astype("<f4"))
    np.save(folder / "users.npy", random.normal(size=(USERS, DIMENSION)).astype("<f4"))
    annex.save_ids(folder / "items.txt", [f"i{n}" for n in range(ITEMS)])
    annex.save_ids(folder / "users.txt", [f"u{n}" for n in range(USERS)])
    return annex.built(
        folder / "large", vectors=folder / "items.npy", ids=folder / "items.txt", users=folder / "users.npy",
        user_ids=folder / "users.txt", index="IVF64,SQ8", fold_in="als", regularization=0.1, alpha=1, threads=2, recall=0.8)


def info(server, section: str) -> dict[str, str]:
    with server.connect(timeout=30) as c:
        text = c.call("INFO", section).decode()
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


def test_no_command_keeps_a_loop(large, tmp_path, fact):
    """8 connections repeat the worst commands; turns stay short, and PING and INFO are answered meanwhile."""
    seconds = annex.setting("ANNEX_WORST_SECONDS", 10)
    with annex.Server(large, log=tmp_path / "log", options=["--state", tmp_path / "state"]) as server:
        with server.connect() as c:
            c.call("TOPK", "u1", 5)
            c.call("CONFIG", "RESETSTAT")
        idle = latency_probe.measure(server.port, 2)
        stop = threading.Event()
        names, users = [f"i{n}" for n in range(ITEMS)], [f"u{n}" for n in range(USERS)]
        clients = [Client(server.port, Draw(annex.SEED + n, "large", names, users, DIMENSION), 2 + n % 2, stop) for n in range(8)]
        for client in clients:
            client.start()
        busy = latency_probe.measure(server.port, seconds)
        stop.set()
        for client in clients:
            client.join(60)
        server.assert_alive()
        longest = int(info(server, "stats")["loop_turn_cpu_us_max"])
    fact(f"worst commands of 8 connections, {sum(c.sent for c in clients)} sent: longest turn {longest} us of processor time; PING "
         f"p99.9 {busy.ping(0.999):.1f} ms, longest {busy.ping(1):.1f} ms of {len(busy.pings)} (idle {idle.ping(0.999):.1f} and "
         f"{idle.ping(1):.1f} ms); INFO and READY longest {busy.longest_info:.1f} ms of {len(busy.infos)}")
    assert longest <= TURN_LIMIT


MEGABYTE = 1 << 20
# Arguments as long as they may be: not UTF-8, letters that grow in lower case, and what a pattern is slow with.
LONG = {
    "no UTF-8": b"\xff" * MEGABYTE, "long letters": "İ".encode() * (MEGABYTE // 2), "ASCII": b"x" * MEGABYTE, "stars": b"*" * MEGABYTE,
    "a class": b"[" + b"a-" * (MEGABYTE // 2 - 1) + b"]", "colons": b":" * MEGABYTE, "digits": b"9" * MEGABYTE, "braces": b"{" * MEGABYTE,
}


def rows_of_arguments(connection):
    """Every command and subcommand with the longest and the most arguments that a request may have."""
    heads, docs = [], connection.call("COMMAND", "DOCS")
    for name, facts in zip(docs[::2], docs[1::2]):
        below = dict(zip(facts[::2], facts[1::2])).get(b"subcommands", [])
        heads += [word.decode().upper().split("|") for word in [name, *below[::2]]]
    for head in heads:
        if head[0] in ("QUIT", "RESET", "MULTI"):
            continue
        for what, argument in LONG.items():
            for before in ([], ["x"], ["u1", "large"], ["0", "MATCH"]):
                yield head, f"{what} behind {before}", [*before, argument]
        for what in ("no UTF-8", "long letters"):
            yield head, f"15 of {what}", [LONG[what]] * 15
        for word in ("x", "topk"):
            yield head, f"65000 times {word}", [word] * 65_000
        yield head, "32000 pairs", ["maxclients", "100"] * 32_000


def test_no_argument_keeps_a_loop(large, tmp_path, fact):
    """An argument has up to a megabyte, and a command up to 16 of them or 65,536 small ones, whatever it makes of them."""
    with annex.Server(large, log=tmp_path / "log", options=["--state", tmp_path / "state"]) as server, server.connect(timeout=60) as c:
        rows, longest, connection = list(rows_of_arguments(c)), (0, ""), server.connect(timeout=60)
        for head, what, arguments in rows:
            c.call("CONFIG", "RESETSTAT")
            try:
                connection.call(*head, *arguments)
            except (OSError, EOFError):
                connection.socket.close()
                connection = server.connect(timeout=60)
            except annex.ServerError:
                pass
            longest = max(longest, (int(info(server, "stats")["loop_turn_cpu_us_max"]), f"{' '.join(head)}, {what}"))
        connection.socket.close()
        server.assert_alive()
    fact(f"{len(rows)} commands with the longest and the most arguments: longest turn {longest[0]} us of processor time ({longest[1]})")
    assert len(rows) > 3_000 and longest[0] <= TURN_LIMIT, longest


def test_one_heavy_client_is_refused_nothing(large, tmp_path):
    """Fairness is no refusal: a connection that waits for its replies gets them all."""
    with annex.Server(large, log=tmp_path / "log") as server, server.connect(timeout=60) as c:
        users = [f"u{n}" for n in range(200)]
        for _ in range(20):
            assert len(c.call("MTOPK", 200, *users, 100, "TRUTH")) == 200
        assert "OVERLOADED" not in str(info(server, "errorstats"))


def test_a_million_tiny_commands_in_one_write(large, tmp_path, fact):
    """Unknown commands cost a turn no more than known ones."""
    with annex.Server(large, log=tmp_path / "log") as server, server.connect(timeout=60) as flood, server.connect() as c:
        c.call("CONFIG", "RESETSTAT")
        count = 1_000_000
        writer = threading.Thread(target=flood.send, args=(b"x\r\n" * count,), daemon=True)
        pings = []

        def read():
            left = count
            while left > 0:
                left -= flood.socket.recv(1 << 20).count(b"\r\n")

        reader = threading.Thread(target=read, daemon=True)
        writer.start(), reader.start()
        while reader.is_alive():
            began = time.monotonic()
            assert c.call("PING") == "PONG"
            pings.append(time.monotonic() - began)
        longest = int(info(server, "stats")["loop_turn_cpu_us_max"])
        errors = re.search(r"count=(\d+)", str(info(server, "errorstats")))
        assert errors and int(errors[1]) == count
    fact(f"a million unknown commands in one write: longest turn {longest} us; PING longest {max(pings) * 1e3:.1f} ms of {len(pings)}")
    assert longest <= TURN_LIMIT


def test_connections_that_go_on_and_on_leave_room_for_others(large, tmp_path, fact):
    """Several connections with more commands than a turn takes, on one loop: it looks at other sockets between their rounds."""
    each, floods = 400_000, []
    with annex.Server(large, log=tmp_path / "log", options=["--threads", "1"]) as server, server.connect(timeout=60) as c:

        def flood():
            with server.connect(timeout=60) as own:
                threading.Thread(target=own.send, args=(b"x\r\n" * each,), daemon=True).start()
                left = each
                while left > 0:
                    left -= own.socket.recv(1 << 20).count(b"\r\n")

        for _ in range(4):
            floods.append(threading.Thread(target=flood, daemon=True))
            floods[-1].start()
        waits = []
        while any(thread.is_alive() for thread in floods):
            began = time.monotonic()
            assert c.call("PING") == "PONG"
            waits.append(time.monotonic() - began)
    fact(f"PING beside four connections with {each} commands each, one loop: {len(waits)} answered, longest {max(waits) * 1e3:.1f} ms")
    assert len(waits) >= 100


def test_patterns_and_parameters_at_their_limits(large, tmp_path, fact):
    """At the limit the worst pattern is cheap; one above is an error that says what the limit is, and less is taken."""
    slow = b"*[" + b"x-y" * 340 + b"]z"
    with annex.Server(large, log=tmp_path / "log") as server, server.connect() as c:
        c.call("CONFIG", "RESETSTAT")
        assert c.call("CONFIG", "GET", slow[:1024]) == [] and c.call("CONFIG", "GET", b"?" * 1024) == []
        assert c.call("CONFIG", "GET", *[b"*[x-yzzz]q"] * 64) == []
        assert c.call("SCAN", "0", "MATCH", slow[:1024]) == [b"0", []]
        assert c.call("CONFIG", "SET", *["maxclients", "100"] * 64) == "OK" and c.call("CLIENT", "CAPA", *["x"] * 64) == "OK"
        longest = int(info(server, "stats")["loop_turn_cpu_us_max"])
        assert "at most 1024 bytes" in str(c.error("CONFIG", "GET", b"?" * 1025))
        assert "1024 bytes" in str(c.error("SCAN", "0", "MATCH", b"?" * 1025))
        assert "at most 64" in str(c.error("CONFIG", "GET", *["x"] * 65))
        assert "at most 64" in str(c.error("CONFIG", "SET", *["maxclients", "100"] * 65))
        assert "at most 64" in str(c.error("CLIENT", "CAPA", *["x"] * 65))
        assert "1024 bytes" in str(c.error("CONFIG", "SET", "maxclients", "1" * 1025))
    fact(f"patterns and parameters at their limits: longest turn {longest} us of processor time")
    assert longest <= TURN_LIMIT
