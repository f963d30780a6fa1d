"""annctl bench server, as a process: against annctl serve, against redis-server, against servers that fail."""

import json
import shutil
import socket
import subprocess
import threading
import time
import xml.etree.ElementTree

import pytest

import annex


@pytest.fixture(scope="module")
def users(folder, catalogues):
    """One file of user ids fits every index of conftest: they are u0, u1 and on."""
    return annex.save_ids(folder / "bench-users.txt", catalogues["ip-hnsw"].user_ids)


def load(server, *arguments, **options):
    port = server if isinstance(server, int) else server.port
    return annex.run_annctl("bench", "server", "--port", port, *arguments, **options)


def report(server, *arguments):
    return json.loads(load(server, "--json", *arguments, check=True).stdout)


def calls(server, command):
    """How often the server itself says that it was asked for it."""
    with server.connect() as link:
        text = link.call("INFO", "commandstats")
    text = text.decode() if isinstance(text, bytes) else text
    lines = [line for line in text.splitlines() if line.startswith(f"cmdstat_{command}:calls=")]
    return int(lines[0].split("=")[1].split(",")[0]) if lines else 0


def check_latency(latency, count):
    assert latency["count"] == count
    assert 0 < latency["p50"] <= latency["p90"] <= latency["p99"] <= latency["p999"] <= latency["max"]


@pytest.mark.parametrize("more", [[], ["--pipeline", 8], ["--threads", 2, "--connections", 5]], ids=["plain", "pipeline", "threads"])
def test_closed_loop_counts_what_the_server_counts(single, users, more):
    before = calls(single, "topk")
    found = report(single, "--user-ids", users, "--requests", 3_000, "--warmup", 0, "-k", 3, *more)
    [run] = found["runs"]
    result = run["result"]
    assert run["mix"] == "TOPK" and "rate" not in run and found["users"] == 60 and found["k"] == 3
    assert result["requests"] == 3_000 == calls(single, "topk") - before
    assert result["errors"] == {} and result["unsent"] == 0
    check_latency(result["latency"], 3_000)
    assert result["requestsPerSecond"] == pytest.approx(3_000 / result["seconds"])
    assert 0 < result["generatorSeconds"] < 60 and result["bytesIn"] > 3_000 * 3 and result["bytesOut"] > 3_000 * 20


def test_open_loop_keeps_its_rate(single, users):
    found = report(single, "--user-ids", users, "--rate", 200, "--rate", 400.5, "--seconds", 1, "--warmup", 0.2)
    assert [run["rate"] for run in found["runs"]] == [200, 400.5]
    for run in found["runs"]:
        result = run["result"]
        wanted = int(run["rate"] + 0.5)
        assert abs(result["requests"] - wanted) <= 1 and result["unsent"] == 0
        assert 0.99 <= result["seconds"] < 2
        check_latency(result["latency"], result["requests"])
        assert result["service"]["count"] == result["requests"]


def test_mix(server, users):
    """A server of many indexes; items come from the server itself."""
    before = {name: calls(server, name) for name in ("topk", "vsim", "ping", "vrandmember")}
    found = report(
        server, "--mix", "TOPK=70,VSIM=20,PING=10", "--mix", "PING", "--index", "ip-ivf", "--user-ids", users,
        "--requests", 2_000, "--warmup", 0, "--zipf", 0)
    result = found["runs"][0]["result"]
    counts = {name: latency["count"] for name, latency in result["commands"].items()}
    after = {name: calls(server, name) for name in before}
    assert sum(counts.values()) == result["requests"] == 2_000 and found["items"] == 1_200
    assert counts["TOPK"] == after["topk"] - before["topk"] and counts["VSIM"] == after["vsim"] - before["vsim"]
    assert 1_250 < counts["TOPK"] < 1_550 and 300 < counts["VSIM"] < 500 and 130 < counts["PING"] < 270
    assert after["vrandmember"] - before["vrandmember"] == 1
    assert found["runs"][1]["mix"] == "PING" and list(found["runs"][1]["result"]["commands"]) == ["PING"]


def test_the_same_seed_asks_for_the_same(single, users):
    sizes = [
        [run["result"]["bytesOut"] for run in report(
            single, "--user-ids", users, "--requests", 500, "--warmup", 0, "--connections", 1, "--seed", seed)["runs"]]
        for seed in (7, 7, 8)]
    assert sizes[0] == sizes[1]


def test_items_of_a_file_and_the_only_index(single, catalogues, tmp_path):
    ids = annex.save_ids(tmp_path / "items.txt", catalogues["ip-hnsw"].ids[:50])
    found = report(single, "--mix", "VSIM", "--item-ids", ids, "--requests", 300, "--warmup", 0)
    assert found["items"] == 50 and found["runs"][0]["result"]["errors"] == {}


def test_table_and_drawing(single, users, tmp_path):
    drawing = tmp_path / "load.svg"
    done = load(
        single, "--user-ids", users, "--mix", "TOPK=9,PING=1", "--rate", 100, "--rate", 300, "--seconds", 0.5, "--warmup", 0,
        "--svg", drawing, check=True)
    lines = done.stdout.splitlines()
    assert "60 users" in lines[0] and lines[1].split()[:4] == ["mix", "rate", "requests", "per"]
    assert [line.split()[:2] for line in lines[3:]] == [
        ["TOPK=9,PING=1", "100"], ["PING", lines[4].split()[1]], ["TOPK", lines[5].split()[1]],
        ["TOPK=9,PING=1", "300"], ["PING", lines[7].split()[1]], ["TOPK", lines[8].split()[1]]]
    root = xml.etree.ElementTree.parse(drawing).getroot()
    # A curve for each rate, and below them one of two points: p99 by throughput.
    assert len(root.findall(".//{*}polyline")) == 3 and len(root.findall(".//{*}circle")) == 2
    texts = [element.text for element in root.findall(".//{*}text")]
    assert "90 %" in texts and "TOPK=9,PING=1, 100/s" in texts
    assert all(0 <= float(n) <= 860 for line in root.findall(".//{*}polyline") for p in line.get("points").split() for n in p.split(","))


def test_errors_are_shown_and_end_it_with_1(single, tmp_path):
    strangers = annex.save_ids(tmp_path / "strangers.txt", ["nobody", "someone"])
    arguments = ["--user-ids", strangers, "--requests", 200, "--warmup", 0]
    done = load(single, *arguments)
    assert done.returncode == 1 and "200 × NOUSER" in done.stdout and "200 of 200 replies were errors" in done.stderr
    found = report(single, "--allow-errors", *arguments)
    assert found["runs"][0]["result"]["errors"]["NOUSER"]["count"] == 200


@pytest.mark.parametrize(
    "arguments, word",
    [(["--connections", 0], "--connections"), (["--pipeline", 0], "--pipeline"), (["--rate", 0], "--rate"), (["--rate", "nan"], "--rate"),
     (["--seconds", 0], "--seconds"), (["--seconds", "nan"], "--seconds"), (["--requests", 0], "--requests"), (["--port", 0], "--port"),
     (["--threads", 3, "--connections", 2], "--threads"), (["--zipf", 11], "--zipf"), (["-k", 0], "--k"), (["--warmup", -1], "warmup"),
     (["--timeout", 0], "--timeout"), (["--mix", "GET=1"], "GET"), (["--mix", "TOPK=0"], "weight"), (["--mix", "TOPK"], "--user-ids"),
     (["--user-ids", "/nonexistent"], "nonexistent"), (["--index", "a/b"], "--index"), (["--index"], "--index"),
     (["--svg", "/nonexistent/load.svg"], "--svg")])
def test_wrong_arguments(single, arguments, word):
    done = load(single, "--requests", 1, *arguments, timeout=20)
    assert done.returncode in (1, 64) and word in annex.said(done), annex.said(done)
    assert done.returncode == 64 or "nonexistent" in word


def test_an_index_has_to_be_named_where_there_are_several(server):
    done = load(server, "--mix", "VSIM", "--requests", 1)
    assert done.returncode == 64 and "--index" in done.stderr and "ip-flat" in done.stderr
    done = load(server, "--mix", "VSIM", "--requests", 1, "--index", "nowhere")
    assert done.returncode == 1 and "nowhere" in done.stderr


def test_password(indexes, users, tmp_path):
    secret, wrong = tmp_path / "secret", tmp_path / "wrong"
    secret.write_text("open sesame\n")
    wrong.write_text("shut\n")
    with annex.Server(indexes["ip-hnsw"], log=tmp_path / "log", options=["--password-file", secret], password="open sesame") as server:
        arguments = ["--mix", "TOPK=1,VSIM=1", "--user-ids", users, "--requests", 100, "--warmup", 0]
        assert report(server, "--password-file", secret, *arguments)["runs"][0]["result"]["requests"] == 100
        done = load(server, *arguments)
        assert done.returncode == 1 and "NOAUTH" in done.stderr
        done = load(server, "--mix", "PING", "--requests", 1)
        assert done.returncode == 1 and "NOAUTH" in done.stderr and "--password-file" in done.stderr
        done = load(server, "--password-file", wrong, "--mix", "PING", "--requests", 1)
        assert done.returncode == 1 and "WRONGPASS" in done.stderr


@pytest.mark.parametrize("loop", [[], ["--rate", 500]], ids=["closed", "open"])
def test_a_server_that_is_killed_ends_it(fresh, users, loop):
    before = calls(fresh, "topk")
    timer = threading.Timer(60, fresh.process.kill)
    timer.start()
    bench = subprocess.Popen(
        [annex.annctl_path(), "bench", "server", "--port", str(fresh.port), "--user-ids", str(users), "--seconds", "60", *map(str, loop)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        annex.wait_until(lambda: calls(fresh, "topk") > before + 100, 20, "load arrives")
        fresh.process.kill()
        out, err = bench.communicate(timeout=20)
    finally:
        timer.cancel()
        bench.kill()
        bench.wait()
    assert bench.returncode == 1 and "connection" in err and f"127.0.0.1:{fresh.port}" in err and out == ""


def test_what_was_measured_before_a_failure_is_shown(tmp_path):
    """The first run is answered; the connections of the second are accepted and closed."""
    asked = 0
    with socket.create_server(("127.0.0.1", 0)) as listener:
        def answer():
            nonlocal asked
            for number in range(2):
                connection, _ = listener.accept()
                with connection:
                    while number == 0 and connection.recv(14):
                        asked += 1
                        connection.sendall(b"+PONG\r\n")
        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        done = load(
            listener.getsockname()[1], "--mix", "PING", "--mix", "PING", "--connections", 1, "--requests", 50, "--warmup", 0,
            "--json", timeout=20)
        thread.join(10)
    assert done.returncode == 1 and "connection" in done.stderr and asked == 51
    assert [run["result"]["requests"] for run in json.loads(done.stdout)["runs"]] == [50]


def test_nobody_listens():
    done = load(annex.free_port(), "--requests", 1, timeout=20)
    assert done.returncode == 1 and "cannot connect" in done.stderr


def test_a_listener_that_says_nothing():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        began = time.monotonic()
        done = load(listener.getsockname()[1], "--requests", 1, "--timeout", 0.5, timeout=20)
        assert done.returncode == 1 and "PING was not answered" in done.stderr and time.monotonic() - began < 10


def test_redis_server(tmp_path):
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed (tools/install-deps --test)")
    port = annex.free_port()
    redis = subprocess.Popen(
        ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(tmp_path)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        annex.wait_until(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0, 20, "redis-server listens")
        [run] = report(port, "--requests", 5_000, "--warmup", 0, "--pipeline", 4)["runs"]
        assert run["mix"] == "PING" and run["result"]["requests"] == 5_000 and run["result"]["errors"] == {}
        assert run["result"]["bytesIn"] == 5_000 * len("+PONG\r\n")
        done = load(port, "--mix", "VSIM", "--requests", 1)
        assert done.returncode == 1 and "INDEXES" in done.stderr
    finally:
        redis.terminate()
        redis.wait(10)
