"""HAProxy as deploy/haproxy.cfg sets it up, in front of two routers, one of which goes."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from contextlib import contextmanager

import pytest

import annex
from cluster import PASSWORD, Cluster
from cluster_network import Loopback
from deployment import DEPLOY, tool

OUT_WITHIN = 0.25 + 0.2 + 2 * (0.05 + 0.2) + 0.5  # the next check, its miss, two more, and a machine that is busy


def test_haproxy_takes_the_file(tmp_path):
    def check(path):
        return subprocess.run([tool("haproxy"), "-c", "-f", str(path)], capture_output=True, text=True, timeout=30,
                              env={**os.environ, "ANNEX_PASSWORD": PASSWORD})

    done = check(DEPLOY / "haproxy.cfg")
    assert done.returncode == 0 and "WARNING" not in done.stderr, done.stderr
    wrong = tmp_path / "haproxy.cfg"
    wrong.write_text((DEPLOY / "haproxy.cfg").read_text().replace("leastconn", "leastcon"))
    assert check(wrong).returncode != 0


@contextmanager
def haproxy(nodes, log):
    port = annex.free_port()
    routers = {f"ANNEX_ROUTER_{n}": node.place for n, node in enumerate(nodes, 1)}
    with open(log, "wb") as out:
        process = subprocess.Popen(
            [tool("haproxy"), "-db", "-f", str(DEPLOY / "haproxy.cfg")], stdin=subprocess.DEVNULL, stdout=out, stderr=out,
            env={**os.environ, "ANNEX_PASSWORD": PASSWORD, "ANNEX_LISTEN": f"127.0.0.1:{port}", **routers})

    def answers():
        assert process.poll() is None, log.read_text()
        try:
            with annex.Connection(port, timeout=1) as c:
                return c.call("AUTH", PASSWORD) == "OK"
        except (OSError, EOFError):
            return False

    try:
        annex.wait_until(answers, 10, "HAProxy answers")
        yield port
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


class Client(threading.Thread):
    """Asks one TOPK after the other. What fails is asked once more on a new connection, 20 ms later: a process that is being killed
    closes its clients' connections a moment before it stops to accept new ones."""

    def __init__(self, port: int, stop: threading.Event):
        super().__init__(daemon=True)
        self.port, self.stop = port, stop
        self.asked, self.failed, self.failed_twice, self.slowest = 0, [], [], 0.0

    def connect(self) -> annex.Connection:
        c = annex.Connection(self.port, timeout=5)
        assert c.call("AUTH", PASSWORD) == "OK"
        return c

    def ask(self, c) -> None:
        assert len(c.call("TOPK", "u1", 10)) == 10

    def run(self) -> None:
        try:
            self._run()
        except BaseException as error:  # a wrong answer, say
            self.failed_twice.append(repr(error))

    def _run(self) -> None:
        c = self.connect()
        while not self.stop.is_set():
            started = time.monotonic()
            try:
                self.ask(c)
            except (OSError, EOFError, annex.ServerError) as error:
                self.failed.append(repr(error))
                try:
                    c.socket.close()
                    annex.pace(0.02)
                    c = self.connect()
                    self.ask(c)
                except (OSError, EOFError, annex.ServerError) as again:
                    self.failed_twice.append(repr(again))
                    return
            self.asked += 1
            self.slowest = max(self.slowest, time.monotonic() - started)
            annex.pace(0.002)


@pytest.mark.parametrize("how", ["killed", "stopped", "drained"])
def test_one_of_two_routers_goes(how, cluster_index, tmp_path, fact):
    """Killed or asked to end: at most what was in flight fails, none with one retry. Stopped (SIGSTOP): its clients wait until
    HAProxy takes it out, and no longer."""
    stop = threading.Event()
    with Loopback() as network, Cluster(cluster_index, tmp_path / "cluster", network, replicas=1, routers=2, logged=False) as cluster, \
            haproxy(cluster.routers, tmp_path / "haproxy.log") as port:
        first = cluster.routers[0]
        clients = [Client(port, stop) for _ in range(8)]
        for client in clients:
            client.start()
        annex.wait_until(lambda: all(client.asked > 20 for client in clients), 20, "all ask")
        before = [client.asked for client in clients]
        assert min(before) > 0
        try:
            {"killed": first.kill, "stopped": first.pause, "drained": first.process.terminate}[how]()
            annex.lasting(OUT_WITHIN + 1, "longer than it may take to leave it out")
            assert all(client.is_alive() for client in clients), [c.failed_twice for c in clients]
            with annex.Connection(port, timeout=1) as c:  # and a new client is not sent to the one that is gone
                assert c.call("AUTH", PASSWORD) == "OK" and c.call("PING") == "PONG"
        finally:
            if how == "stopped":
                first.resume()
            stop.set()
            for client in clients:
                client.join(10)
    failed, slowest = [e for c in clients for e in c.failed], max(c.slowest for c in clients)
    fact(f"HAProxy, one of two routers {how}: {sum(c.asked for c in clients)} requests on 8 connections, {len(failed)} failed, "
         f"{sum(len(c.failed_twice) for c in clients)} with one retry; the slowest took {slowest:.3f} s")
    assert not any(c.failed_twice for c in clients), [c.failed_twice for c in clients]
    assert len(failed) <= len(clients) and all(c.asked > n for c, n in zip(clients, before))
    assert any(failed) or how == "drained", "nobody was on the one that went"
    assert slowest <= OUT_WITHIN
