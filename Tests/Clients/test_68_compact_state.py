"""annctl compact-state, killed at any moment: the state is the old one or the new one, and nothing else."""

import shutil
import signal
import subprocess
import time

import annex
import live
from live import CUT, seen, serve

USERS, ITEMS, EVENTS = 60, 400, 40_000


def counts(state) -> str:
    """Events, users and so on, without the file's size."""
    done = annex.run_annctl("check-state", state)
    assert done.returncode == 0, annex.said(done)
    return done.stdout.split(": ", 1)[1].rsplit(",", 1)[0]


def fill(shop, state, log):
    rng = annex.generator("compaction")
    with serve(shop.index, state=state, log=log) as server, server.connect(timeout=60) as c:
        for first in range(0, EVENTS, 1_000):
            for n in range(first, first + 1_000):
                user, item = f"c{int(rng.integers(USERS))}", shop.catalogue.ids[int(rng.integers(ITEMS))]
                c.send(annex.encode("EVENT", user, item, "1", "AT", CUT + 1 + n))
            for _ in range(1_000):
                assert c.read() == "OK"
        before = {f"c{n}": seen(c, f"c{n}") for n in range(USERS)}
        scores = {user: c.call("TOPK", user, 5, "WITHSCORES") for user in before}
        answer = annex.run_annctl("compact-state", state / "shop", "--until", CUT)
        assert answer.returncode != 0 and "in use by another process" in annex.said(answer)
    return before, scores


def test_killed_at_any_moment(folder, tmp_path, fact):
    shop = live.make_shop(folder / "compaction", "shop", items=ITEMS, users=40)
    state, log = tmp_path / "state", tmp_path / "server.log"
    before, scores = fill(shop, state, log)
    old, size = counts(state / "shop"), (state / "shop" / "state.lmdb").stat().st_size
    # How long it takes, and what it comes to.
    whole = tmp_path / "whole"
    shutil.copytree(state, whole)
    started = time.monotonic()
    done = annex.run_annctl("compact-state", whole / "shop", "--until", CUT + EVENTS)
    assert done.returncode == 0, annex.said(done)
    took = time.monotonic() - started
    new, small = counts(whole / "shop"), (whole / "shop" / "state.lmdb").stat().st_size
    assert new != old and small < 0.8 * size
    rng, kills, outcomes = annex.generator("compaction kills"), annex.setting("ANNEX_COMPACTION_KILLS", 12), {old: 0, new: 0}
    for _ in range(kills):
        turn = tmp_path / "turn"
        shutil.rmtree(turn, ignore_errors=True)
        shutil.copytree(state, turn)
        process = subprocess.Popen([annex.annctl_path(), "compact-state", str(turn / "shop"), "--until", str(CUT + EVENTS)], stdout=subprocess.DEVNULL)
        annex.drawn_moment(rng, 0, 2 * took)
        process.send_signal(signal.SIGKILL)
        process.wait()
        outcomes[counts(turn / "shop")] += 1  # KeyError: neither the one nor the other
    fact(f"{kills} kills: {outcomes[old]} left the old state, {outcomes[new]} the new one; {size} bytes became {small} in {took:.2f} s")
    assert sum(outcomes.values()) == kills and outcomes[old] > 0
    # What clients see of users whose events all count is the same.
    with serve(shop.index, state=whole, log=log) as server, server.connect() as c:
        assert {user: seen(c, user) for user in before} == before
        assert {user: c.call("TOPK", user, 5, "WITHSCORES") for user in before} == scores


def test_the_time_comes_from_the_versions(folder, tmp_path):
    shop = live.make_shop(folder / "compaction-index", "shop", items=ITEMS, users=40)
    state, log = tmp_path / "state", tmp_path / "server.log"
    with serve(shop.index, state=state, log=log) as server, server.connect() as c:
        trained = [item for item, _ in seen(c, "u1")]
        assert len(trained) > 1
        c.call("EVENT", "u1", trained[0], "1", "AT", CUT - 5)
        c.call("EVENT", "u1", trained[1], "1", "AT", CUT + 5)
        c.call("EVENT", "c1", trained[0], "1", "AT", CUT - 5)
        everything = set(item for item, _ in seen(c, "u1"))
    done = annex.run_annctl("compact-state", state / "shop", "--index", shop.index)
    assert done.returncode == 0, annex.said(done)
    assert "3 events of 2 users became 2 of 2" in done.stdout and "1 are in trained histories" in done.stdout
    with serve(shop.index, state=state, log=log) as server, server.connect() as c:
        assert set(item for item, _ in seen(c, "u1")) == everything
        assert [item for item, _ in seen(c, "c1")] == [trained[0]]
    for wrong in [(), ("--until", CUT, "--index", shop.index), ("--until", -1)]:
        done = annex.run_annctl("compact-state", state / "shop", *wrong)
        assert done.returncode != 0 and "--until" in annex.said(done)
