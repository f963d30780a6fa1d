"""Thousands of swaps by several clients at once while others ask: what a handle opened or freed on two threads would not
survive (a server with such a fault died after some 5,000 swaps)."""

import threading

import annex
from annex import Server


def test_reload_storm(tmp_path, fact):
    index = annex.PROJECT / "Tests" / "Golden" / "v4" / "shop"
    swaps, askers = annex.setting("ANNEX_RELOADS", 6000), 4
    errors, asked, done = [], [0] * askers, threading.Event()

    def ask(n, server):
        with server.connect(timeout=30) as c:
            while not done.is_set():
                if len(c.call("TOPK", f"user-{n}", 5)) != 5:
                    errors.append("a short answer")
                asked[n] += 1

    def swap(server):
        with server.connect(timeout=30) as c:
            for _ in range(swaps // 2):
                c.call("RELOAD", "shop")

    def guarded(body, *arguments):
        try:
            body(*arguments)
        except Exception as error:  # noqa: BLE001 — every failure counts
            errors.append(repr(error))

    with Server(index, log=tmp_path / "server.log") as server:
        before = server.descriptors()
        asking = [threading.Thread(target=guarded, args=(ask, n, server)) for n in range(askers)]
        swapping = [threading.Thread(target=guarded, args=(swap, server)) for _ in range(2)]
        for thread in asking + swapping:
            thread.start()
        for thread in swapping:
            thread.join(300)
        done.set()
        for thread in asking:
            thread.join(30)
        assert not errors, errors[:5]
        server.assert_alive()
        # A version is freed aside, soon after the last query that used it.
        annex.wait_until(lambda: server.descriptors() <= before + 8, 10, "descriptors of versions that are gone are given back")
        fact(f"reload storm: {swaps} swaps, {sum(asked)} answers meanwhile, 0 failures, RSS {server.rss() >> 20} MiB")
