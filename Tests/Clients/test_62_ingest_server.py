"""annctl ingest and the load of events against annctl serve --state."""

from __future__ import annotations

import json
import os
import subprocess
from collections import defaultdict

import pytest

import annex
from ingest_files import ingest, start, rejects, save_tsv


@pytest.fixture
def keeping(indexes, tmp_path):
    with annex.Server(indexes["ip-hnsw"], log=tmp_path / "log", options=["--state", tmp_path / "state"]) as running:
        yield running


def seen(link, user) -> dict:
    """{item: newest time}."""
    flat = link.call("SEEN", user, "COUNT", 10_000, "WITHTIMES")
    return {flat[n].decode(): int(flat[n + 1]) for n in range(0, len(flat), 2)}


def state(server) -> dict:
    with server.connect() as link:
        line = next(line for line in link.call("INFO", "State").decode().splitlines() if line.startswith("state_"))
    return dict(pair.split("=") for pair in line.split(":", 1)[1].split(","))


def test_events_arrive(keeping, catalogues, tmp_path):
    catalogue = catalogues["ip-hnsw"]
    rng = annex.generator("arrive")
    rows = [
        (f"new{rng.integers(100)}", catalogue.ids[rng.integers(len(catalogue.ids))], 1 + int(rng.integers(4)), 1_000 + n)
        for n in range(5_000)]
    file = save_tsv(tmp_path / "e.tsv", rows + [("new1", "no such item", 1, 1)])
    done = ingest(keeping, file, check=True)
    assert "5000 events acknowledged" in done.stdout and "1 lines rejected" in done.stdout
    assert [line[0] for line in rejects(file)] == ["5001"] and rejects(file)[0][1].startswith("NOITEM")
    wanted = defaultdict(dict)
    for user, item, _, at in rows:
        wanted[user][item] = at
    with keeping.connect() as link:
        for user, items in wanted.items():
            assert seen(link, user) == items
    before = state(keeping)["events"]
    assert int(before) == len({(u, i, at) for u, i, _, at in rows})
    # Sent again from the first line on, nothing changes.
    os.unlink(f"{file}.progress")
    ingest(keeping, file, check=True)
    assert state(keeping)["events"] == before


def test_limits_of_the_server(keeping, catalogues, tmp_path):
    """Weights and times beyond the limits are rejects, and do not stand in the way of the others."""
    item = catalogues["ip-hnsw"].ids[0]
    good = [("a", item, "1e6", 4_102_444_799_999), ("b", item, "-1e6", 0), ("c", item, "1e-45", 5)]
    bad = [("d", item, "1.0001e6", 5), ("e", item, "3.4028234e38", 5), ("f", item, 1, 9223372036854775808)]
    file = save_tsv(tmp_path / "e.tsv", bad[:1] + good + bad[1:])
    done = ingest(keeping, file, check=True)
    assert "3 events acknowledged" in done.stdout and [line for line, _, _ in rejects(file)] == ["1", "5", "6"]
    with keeping.connect() as link:
        for user, _, _, at in good:
            assert seen(link, user) == {item: at}


def test_a_server_that_is_killed(indexes, catalogues, tmp_path):
    """SIGKILL amid the run: the run goes on with the next process on the port; what was acknowledged is there."""
    catalogue = catalogues["ip-hnsw"]
    rows = [(f"v{n % 97}", catalogue.ids[n % len(catalogue.ids)], 1, 1_000_000 + n) for n in range(20_000)]
    file = save_tsv(tmp_path / "e.tsv", rows)
    options = ["--state", tmp_path / "state"]
    with annex.Server(indexes["ip-hnsw"], log=tmp_path / "log", options=options) as server:
        run = start(server, file)
        try:
            annex.wait_until(lambda: int(state(server)["events"]) > 500, 30, "events arrive")
            server.process.kill()
            server.process.wait()
            server.process = subprocess.Popen(
                [annex.annctl_path(), "serve", str(indexes["ip-hnsw"]), "--port", str(server.port), *map(str, options)],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            out, err = run.communicate(timeout=110)
        finally:
            run.kill()
            run.wait()
        assert run.returncode == 0 and "all 20000 lines are done" in out, out + err
        assert int(state(server)["events"]) == 20_000


def test_a_server_without_a_state(single, tmp_path, catalogues):
    file = save_tsv(tmp_path / "e.tsv", [("a", catalogues["ip-hnsw"].ids[0], 1, 1)])
    done = ingest(single, file)
    assert done.returncode == 1 and "--state" in done.stderr


def test_bench_of_events(keeping, catalogues, tmp_path):
    """EVENT in a mix, and beside one: counted and shown for themselves."""
    users = annex.save_ids(tmp_path / "users.txt", catalogues["ip-hnsw"].user_ids)
    ids = annex.save_ids(tmp_path / "items.txt", catalogues["ip-hnsw"].ids[:50])

    def report(*arguments):
        done = annex.run_annctl("bench", "server", "--port", keeping.port, "--user-ids", users, "--json", *arguments, check=True)
        return json.loads(done.stdout)

    found = report("--mix", "TOPK=1,EVENT=1", "--item-ids", ids, "--requests", 2_000, "--warmup", 0, "--zipf", 0.5)
    counts = {name: latency["count"] for name, latency in found["runs"][0]["result"]["commands"].items()}
    assert sum(counts.values()) == 2_000 and 850 < counts["EVENT"] < 1_150 and found["items"] == 50
    assert int(state(keeping)["events"]) == counts["EVENT"] and found["runs"][0]["result"]["errors"] == {}
    assert "eventsPerSecond" not in found and "events" not in found["runs"][0]

    found = report("--mix", "TOPK", "--connections", 2, "--events-per-second", 200, "--event-connections", 8, "--seconds", 1,
                   "--warmup", 0)
    [run] = found["runs"]
    assert found["eventsPerSecond"] == 200 and found["eventConnections"] == 8 and found["items"] == 1_200
    assert abs(run["events"]["requests"] - 200) <= 1 and run["events"]["errors"] == {} and list(run["result"]["commands"]) == ["TOPK"]
    done = annex.run_annctl(
        "bench", "server", "--port", keeping.port, "--user-ids", users, "--events-per-second", 100, "--seconds", 0.5, "--warmup", 0,
        check=True)
    assert "100 EVENTs a second on 64 more" in done.stdout.splitlines()[0]
    assert [line.split()[0] for line in done.stdout.splitlines()[3:]] == ["TOPK", "+"]


@pytest.mark.parametrize(
    "arguments, word",
    [(["--events-per-second", 0], "--events-per-second"), (["--events-per-second", "nan"], "--events-per-second"),
     (["--events-per-second", 5, "--event-connections", 0], "--event-connections"), (["--events-per-second", 5], "--user-ids"),
     (["--events-per-second", 5, "--requests", 1], "--seconds"), (["--mix", "EVENT"], "--user-ids")])
def test_wrong_arguments_of_the_bench(single, arguments, word):
    done = annex.run_annctl("bench", "server", "--port", single.port, "--seconds", 0.1, *arguments, timeout=20)
    assert done.returncode == 64 and word in done.stderr, annex.said(done)


def test_bench_of_events_without_a_state(single, catalogues, tmp_path):
    users = annex.save_ids(tmp_path / "users.txt", catalogues["ip-hnsw"].user_ids)
    done = annex.run_annctl(
        "bench", "server", "--port", single.port, "--user-ids", users, "--events-per-second", 50, "--seconds", 0.3, "--warmup", 0)
    assert done.returncode == 1 and "--state" in done.stderr and "EVENT beside TOPK" in done.stdout
