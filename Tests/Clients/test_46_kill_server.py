"""kill -9 of the server while it swaps, and of builds while they publish (I4): what comes up again serves a whole version,
nothing half is picked up, nothing is left behind. ANNEX_KILLS sets how many."""

import collections
import os
import signal
import subprocess
import threading
import time

import pytest

import annex
from annex import Server, built, current_version, run_annctl, versions_of
from test_42_kill import build_command, kill, publishing, start


@pytest.fixture(scope="module")
def swapping(folder):
    """An index of some MB in three versions, so that a swap takes long enough to be hit; (folder, names, input)."""
    catalogue = annex.make_catalogue("swaps", "ip", items=12_000, users=300, dimension=48)
    files = annex.save_catalogue(catalogue, folder / "input" / "swaps")
    place = folder / "swaps" / "shop"
    for seed in (1, 2, 3):
        built(place, index="HNSW8", recall=0.5, seed=seed, **files)
    return place, versions_of(place), files


def served_by(connection, names):
    text = repr(connection.call("INDEXES"))
    found = [n for n in names if n in text]
    assert len(found) == 1, f"not one version is served: {text}"
    return found[0]


def tree(place):
    return sorted(str(p.relative_to(place)) for p in place.rglob("*"))


def storm(server, names, stop, moments):
    """RELOADs without a pause until the server is gone; each is noted as begun and as ended."""

    def swap(n):
        try:
            with server.connect(timeout=30) as c:
                while not stop.is_set():
                    moments["begun"] += 1
                    c.call("RELOAD", "shop", names[(n + moments["begun"]) % len(names)])
                    moments["ended"] += 1
        except (OSError, EOFError, annex.ServerError):
            pass

    threads = [threading.Thread(target=swap, args=(n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    return threads


def test_kill_9_of_the_server_during_swaps(swapping, tmp_path, fact):
    place, names, _ = swapping
    rng, wanted = annex.generator("server kills"), annex.setting("ANNEX_KILLS", 12)
    whole, outcome, swaps, slowest = tree(place), collections.Counter(), 0, 0.0
    for turn in range(wanted):
        # `current` changes meanwhile as well: a rollback or a build may be running when the server dies.
        with Server(place, log=tmp_path / "server.log") as server:
            with server.connect(timeout=30) as c:
                started = time.monotonic()
                c.call("RELOAD", "shop", names[0])
                swap_takes = time.monotonic() - started
            stop, moments = threading.Event(), collections.Counter()
            threads = storm(server, names, stop, moments)
            annex.wait_until(lambda: moments["ended"] >= 2, 30, "two swaps")
            annex.drawn_moment(rng, 0, 3 * swap_takes)  # within a few swaps
            server.process.send_signal(signal.SIGKILL)
            server.process.wait(10)
            stop.set()
            for thread in threads:
                thread.join(30)
        outcome["in the middle of a swap" if moments["begun"] > moments["ended"] else "between swaps"] += 1
        swaps += moments["ended"]
        assert tree(place) == whole, "the server left something behind"
        started = time.monotonic()
        with Server(place, log=tmp_path / "server.log") as again, again.connect() as c:
            slowest = max(slowest, time.monotonic() - started)
            assert served_by(c, names) == current_version(place).name
            assert len(c.call("TOPK", "u1", 10)) == 10
        if turn % 5 == 4:
            run_annctl("verify", place, check=True)
    fact(f"servers killed by kill -9 during a storm of swaps: {wanted} ({dict(outcome)}, {swaps} swaps), each came back with a "
         f"whole version, in {slowest:.2f} s at most")


def until_it_publishes(build, place):
    end = time.monotonic() + 60
    while build.poll() is None and time.monotonic() < end and not publishing(place):
        pass


def publishing_takes(place, files):
    """Seconds from the manifest to the end of a build that nobody kills: it depends on how fast this disk flushes."""
    took = []
    for seed in (2, 3, 4):
        build = start(build_command(place, files, seed))
        until_it_publishes(build, place)
        started = time.monotonic()
        assert build.wait(120) == 0
        took.append(time.monotonic() - started)
    return sorted(took)[1]


def test_kill_9_of_builds_and_server_while_they_publish(tmp_path, fact):
    """A build publishes, the server swaps to what `current` names, and both die: at once, or one after the other."""
    catalogue = annex.make_catalogue("publish", "ip", items=1500, users=100, dimension=24)
    files = annex.save_catalogue(catalogue, tmp_path / "input")
    place, rng, wanted = tmp_path / "published", annex.generator("publish kills"), annex.setting("ANNEX_KILLS", 12)
    built(place, index="HNSW16", recall=0.9, seed=1, **files)
    publish = publishing_takes(place, files)
    killed, outcome, debris, whole = 0, collections.Counter(), 0, set(versions_of(place))
    for turn in range(6 * wanted + 40):
        if killed == wanted:
            break
        with Server(place, log=tmp_path / "server.log") as server, server.connect(timeout=30) as c:
            build = start(build_command(place, files, 100 + turn))
            until_it_publishes(build, place)
            # From the manifest to the rename and to `current` there are some 20 flushes; kills come before, within and after.
            annex.drawn_moment(rng, 0, publish)
            c.send(annex.encode("RELOAD", "published"))
            if rng.random() < 0.5:
                server.process.send_signal(signal.SIGKILL)
                outcome["server too"] += 1
            running = kill(build)
        server.process.wait(10)
        if running:
            killed += 1
        now = set(versions_of(place))
        outcome["published before it died" if now - whole else "not published"] += running
        debris += bool(annex.leftovers_of(place))
        assert whole <= now and len(now - whole) <= 1
        whole = now
        for name in sorted(now)[-2:]:
            run_annctl("verify", place, "--version", name, check=True)
        assert current_version(place).name in now
        with Server(place, log=tmp_path / "server.log") as again, again.connect() as c:
            assert served_by(c, now) == current_version(place).name
            assert len(c.call("TOPK", "u1", 10)) == 10
    assert killed == wanted, "builds end before they can be killed"
    assert start(build_command(place, files, 10_000)).wait(120) == 0, "a build after the kills"
    assert annex.leftovers_of(place) == [], "the next build removes what killed ones left"
    run_annctl("verify", place, check=True)
    fact(f"builds killed by kill -9 while publishing: {killed} ({dict(outcome)}; {debris} left debris), {len(whole)} versions, all whole; publishing takes {1e3 * publish:.0f} ms")
