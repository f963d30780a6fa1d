"""SIGTERM drains (D7): what was accepted is answered, exit 0 within 5 s. And how the server starts."""

import signal
import threading
import time

import pytest

import annex
from annex import Connection, Server, encode
from routed import Routed


def stopped(server, started):
    code = server.process.wait(10)
    return code, time.monotonic() - started


@pytest.mark.parametrize("turn", range(annex.setting("ANNEX_DRAINS", 2)))
def test_sigterm_answers_what_it_accepted(indexes, tmp_path, fact, turn):
    with Server(indexes["ip-hnsw"], log=tmp_path / "server.log") as server:
        clients = [server.connect() for _ in range(20)]
        for c in clients:  # accepted by the listener before the signal
            assert c.call("PING") == "PONG"
        for c in clients:
            c.send(encode("TOPK", "u1", 1000, "TRUTH") * 10)
        first = [c.read() for c in clients]  # one write of a few hundred bytes is read as a whole: all 10 are accepted
        started = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        rest = [[c.read() for _ in range(9)] for c in clients]
        for c in clients:
            assert c.at_end()
        code, took = stopped(server, started)
    assert code == 0 and took < 5
    assert all(len(r) == 1000 for r in first) and all(len(r) == 1000 for replies in rest for r in replies)
    fact(f"SIGTERM with 20 clients and 180 answers owed: all came, exit {code} after {took:.2f} s")


def test_sigterm_with_idle_and_stuck_clients(indexes, tmp_path, fact):
    """Neither a client that says nothing, nor half a command, nor replies nobody reads delay the end."""
    with Server(indexes["ip-hnsw"], log=tmp_path / "server.log") as server:
        idle, half, stuck = server.connect(), server.connect(), server.connect()
        assert idle.call("PING") == half.call("PING") == stuck.call("PING") == "PONG"
        half.send(b"*3\r\n$4\r\nTOPK\r\n$2")
        writer = threading.Thread(target=try_to_send, args=(stuck, encode("TOPK", "u1", 1000, "WITHSCORES") * 3000))
        writer.start()
        assert server.connect().call("PING") == "PONG"
        started = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        code, took = stopped(server, started)
        writer.join(10)
    fact(f"SIGTERM with an idle, a half and a stuck client: exit {code} after {took:.2f} s")
    assert code == 0 and took < 5


def try_to_send(connection: Connection, data: bytes) -> None:
    try:
        connection.send(data)
    except OSError:
        pass


def test_new_clients_are_refused_after_sigterm_and_a_second_signal_is_harmless(indexes, tmp_path):
    with Server(indexes["ip-hnsw"], log=tmp_path / "server.log") as server:
        for _ in range(2):
            server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(10) == 0
        try:
            Connection(server.port, timeout=2)
            raise AssertionError("still listening")
        except ConnectionRefusedError:
            pass


def test_sigint_ends_it_too(indexes, tmp_path):
    with Server(indexes["ip-hnsw"], log=tmp_path / "server.log") as server:
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(10) in (0, 130)


def test_a_port_in_use_is_a_sentence(single, indexes):
    done = annex.run_annctl("serve", indexes["ip-flat"], "--port", single.port, timeout=30)
    assert done.returncode == 1 and str(single.port) in done.stderr


def test_a_router_that_leaves_says_so_and_goes_on(indexes, tmp_path, fact):
    """--drain-pause: READY tells balancers, while everything is answered and new clients are taken."""
    with Routed(indexes["ip-hnsw"], folder=tmp_path / "routed", shards=2, route=["--drain-pause", "30"]) as routed:
        with routed.connect() as c:
            assert c.call("READY") == "OK"
            routed.process.send_signal(signal.SIGTERM)
            annex.wait_until(lambda: isinstance(answer(c, "READY"), annex.ServerError), 10, "READY says that it leaves")
            error = answer(c, "READY")
            assert error.code == "LOADING" and "draining" in str(error)
            for _ in range(20):
                with routed.connect() as fresh:
                    assert len(fresh.call("TOPK", "u1", 3)) == 3
        # A second signal ends the pause.
        routed.process.send_signal(signal.SIGTERM)
        assert routed.process.wait(10) == 0
    fact("a router told to end: 20 of 20 new clients served while READY said that it leaves")


def answer(c, *words):
    try:
        return c.call(*words)
    except annex.ServerError as error:
        return error
