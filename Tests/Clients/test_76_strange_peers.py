"""Servers that answer what no server of this project answers: whoever asks them stays small, ends, and shows nothing raw."""

import re
import socket
import threading
import time

import pytest

import annex
from routed import Process, ranges, topology
from worst_commands import anonymous_bytes


class Strange(threading.Thread):
    """Answers each command with what `answer` makes of its name; None: with nothing. An iterator is sent for as long as it is taken."""

    def __init__(self, answer):
        super().__init__(daemon=True)
        self.answer, self.listener, self.sent = answer, socket.create_server(("127.0.0.1", 0)), 0
        self.port = self.listener.getsockname()[1]
        self.start()

    def run(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                while data := connection.recv(1 << 16):
                    for name in re.findall(rb"\*\d+\r\n\$\d+\r\n([\w.]+)", data):
                        answer = self.answer(name.decode().upper())
                        for piece in [answer] if isinstance(answer, bytes) else answer or []:
                            connection.sendall(piece)
                            self.sent += len(piece)
            except OSError:
                return

    def __enter__(self) -> "Strange":
        return self

    def __exit__(self, *_) -> None:
        self.listener.close()


def one_bulk():
    yield b"$536870911\r\n"
    for _ in range(2_000):
        yield b"x" * (1 << 18)


def many_elements():
    yield b"*16777215\r\n"
    for _ in range(4_000):
        yield b"$8\r\nelements\r\n" * (1 << 13)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_router_that_stops_while_it_connects(host, tmp_path, monkeypatch, fact):
    """It makes connections to 100 replicas that are not there, all the time: none of them may come back to a loop that has ended. NIO
    ends the process then, where it is told to."""
    monkeypatch.setenv("SWIFTNIO_STRICT", "1")
    monkeypatch.setenv("SWIFT_BACKTRACE", "enable=no")
    rng, stops, wrong = annex.generator("stops"), 6, []
    absent = annex.free_port()
    file = topology(tmp_path / "cluster.yaml", [(slots, [absent - n]) for n, slots in enumerate(ranges(100))], router={"ping-ms": 10})
    file.write_text(file.read_text().replace("127.0.0.1", host))
    for number in range(stops):
        router = Process(annex.free_port(), ["route", "--config", file, "--threads", "2"], tmp_path / f"{number}.log")
        with router:
            annex.drawn_moment(rng, 0, 0.1)
            code = router.stop()
        if code != 0 or "shut down" in router.text():
            wrong.append((code, router.text()[-500:]))
    fact(f"a router stopped {stops} times while it connected to {host}: {len(wrong)} ends were wrong")
    assert not wrong, wrong[0]


@pytest.mark.parametrize("flood", [one_bulk, many_elements])
def test_a_replica_that_answers_ping_with_a_flood(flood, tmp_path, fact):
    """A wrong port in a topology must not take a router's memory: the connection ends, and the replica counts as gone."""
    with Strange(lambda name: flood() if name == "PING" else b"+OK\r\n") as peer:
        file = topology(tmp_path / "cluster.yaml", [(ranges(1)[0], [peer.port])])
        with Process(annex.free_port(), ["route", "--config", file, "--threads", "1"], tmp_path / "router.log") as router:
            idle = most = anonymous_bytes(router.process.pid)
            end = time.monotonic() + 3
            while time.monotonic() < end:
                most = max(most, anonymous_bytes(router.process.pid))
                annex.pace(0.005)
            with router.connect() as c:
                assert c.call("PING") == "PONG"
                assert c.error("READY").code == "LOADING"
    fact(f"a replica that floods: {peer.sent >> 20} MiB sent, the router grew by {(most - idle) >> 20} MiB of 64")
    assert peer.sent > 1 << 20
    assert most - idle <= 64 << 20


def test_figures_of_a_strange_replica_do_no_harm(tmp_path):
    """Counts at their limits, escape sequences, and more than INFO can be."""
    replies = {"PING": b"+PONG\r\n"}

    def info(text: str) -> None:
        replies["INFO"] = b"$%d\r\n%s\r\n" % (len(text), text.encode())

    with Strange(lambda name: replies.get(name, b"+OK\r\n")) as peer:
        file = topology(tmp_path / "cluster.yaml", [(ranges(1)[0], [peer.port])])
        for calls in ("9223372036854775807", "-9223372036854775808"):
            info("\r\n".join(f"cmdstat_{name}:calls={calls},usec=1" for name in ("topk", "vsim", "score")))
            result = annex.run_annctl("cluster", "status", file, timeout=30)
            assert result.returncode == 0 and str(peer.port) in result.stdout, (result.returncode, result.stderr[-300:])
        info("index_\x1b[2Jshop:version=\x1b[5mv\r\nlatency_percentiles_usec_topk:p99=\x1b[31m1\r\ncluster_epoch:\x1b]0;x\x07")
        for words in (["status"], ["check"]):
            result = annex.run_annctl("cluster", *words, file, timeout=30)
            assert "\x1b" not in result.stdout + result.stderr and "\x07" not in result.stdout + result.stderr, words
        info("x" * (3 << 20))
        began = time.monotonic()
        result = annex.run_annctl("cluster", "status", file, timeout=30)
        assert result.returncode == 1 and "down" in result.stdout and time.monotonic() - began < 20


@pytest.mark.parametrize("answer", [b"$-1\r\n", b":1\r\n", b"+IGNORED why\r\n", b"*1\r\n+OK\r\n"])
def test_an_event_that_is_not_answered_with_ok_is_not_stored(answer, tmp_path):
    file = tmp_path / "events.tsv"
    file.write_text("".join(f"u{n}\ti{n}\t1\t{1_700_000_000_000 + n}\n" for n in range(20)))
    indexes = b"*1\r\n*2\r\n$4\r\nname\r\n$4\r\nshop\r\n"
    with Strange(lambda name: {"EVENT": answer, "INDEXES": indexes}.get(name, b"+OK\r\n")) as peer:
        result = annex.run_annctl("ingest", file, "--index", "shop", "--port", peer.port, "--patience", 2, timeout=60)
    assert result.returncode != 0 and "no OK" in result.stderr, result.stderr
    assert "20 events acknowledged" not in result.stdout + result.stderr


@pytest.mark.parametrize("words", [
    ["query", "--wait", "2", "READY"],
    ["ingest", "EVENTS", "--patience", "1"],
])
def test_a_server_that_falls_silent_is_left(words, tmp_path):
    """What has a bound of its own ends, with a sentence."""
    (tmp_path / "events.tsv").write_text("u\ti\t1\t1700000000000\n")
    words = [str(tmp_path / "events.tsv") if word == "EVENTS" else word for word in words]
    with Strange(lambda name: b"+OK\r\n" if name in ("HELLO", "AUTH") else None) as peer:
        result = annex.run_annctl(words[0], "--port", peer.port, *words[1:], timeout=40)
    assert result.returncode not in (0, 64) and str(peer.port) in result.stderr, (result.returncode, result.stderr)


@pytest.mark.parametrize("flag", ["--state", "--cluster", "--log", "--log-password-file", "--password-file", "--host"])
def test_an_empty_setting_is_refused(flag, indexes):
    """As `--state "$STATE"` is where the variable is not set: it named the root folder."""
    result = annex.run_annctl("serve", indexes["ip-hnsw"], flag, "", timeout=30)
    assert result.returncode == 64 and flag in result.stderr and "Give " in result.stderr, result.stderr


@pytest.mark.parametrize("value", ["", "''", "~", "null"])
@pytest.mark.parametrize("key", ["state", "host", "port", "log"])
def test_an_empty_setting_of_a_file_is_refused(key, value, indexes, tmp_path):
    (tmp_path / "annex.yaml").write_text(f"{key}: {value}\n")
    result = annex.run_annctl("serve", indexes["ip-hnsw"], "--config", tmp_path / "annex.yaml", timeout=30)
    assert result.returncode == 64 and f"'{key}'" in result.stderr, result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["annex.yaml"]
