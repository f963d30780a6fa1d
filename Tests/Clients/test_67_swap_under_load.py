"""Versions that swap under load, with live users (I3): every answer is one version's, exactly; nothing fails, nothing is left behind.

The versions have other factors, of other dimensions, and other cuts, over the same items, so that each user has another answer in
each of them, live events included. ANNEX_SWAPS sets how many swaps there are, half by RELOAD, half by moving `current`.
"""

import os
import shutil
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import annex
import live
from annex import current_version, pairs
from live import CUT, serve, text

ITEMS, USERS, K, WATCH = 1500, 60, 10, 0.2


@dataclass
class Version:
    name: str
    shop: live.Shop
    model: live.Model

    def answer(self, user: str, k: int = K) -> tuple[list[str], np.ndarray, np.ndarray]:
        """Ids best first, their scores, how far off float32 may be."""
        catalogue, vector = self.shop.catalogue, self.model.vector(user)
        scores = catalogue.scores(vector)
        seen = [catalogue.rows[i] for i in self.model.items_seen(user)]
        eligible = scores.copy()
        eligible[seen] = -np.inf
        order = np.argsort(-eligible, kind="stable")[:k]
        return [catalogue.ids[n] for n in order], scores[order], catalogue.tolerance(vector)[order]


def is_answer(reply, expected) -> bool:
    ids, scores, tolerance = expected
    found = pairs(reply)
    return [text(i) for i, _ in found] == ids and bool((np.abs(np.array([s for _, s in found]) - scores) <= tolerance).all())


@pytest.fixture(scope="module")
def versions(folder) -> list[Version]:
    """Three versions of one index, the third with a later cut: it has some events in its histories already."""
    found, trained = [], None
    first = live.make_catalogue("swap 0", items=ITEMS, users=USERS, dimension=8)
    for number, (dimension, cut) in enumerate(((8, CUT), (24, CUT), (16, CUT + 50))):
        rng = annex.generator(f"swap factors {number}")
        catalogue = annex.Catalogue(
            first.ids, rng.standard_normal((ITEMS, dimension)).astype(np.float32), first.user_ids,
            rng.standard_normal((USERS, dimension)).astype(np.float32), "ip")
        trained = trained or live.make_history(catalogue, "swap history")
        shop = live.make_shop(folder / "swap", "shop", catalogue=catalogue, trained=trained, cut=cut, index="IVF16,Flat")
        found.append(Version(current_version(shop.index).name, shop, shop.model()))
        shutil.copytree(folder / "swap" / "input" / "shop", folder / "swap" / f"input{number}")
    return found


def point(index: Path, version: str) -> None:
    """What a rollback does: `current` names another version from one moment to the next."""
    temporary = index / f".tmp-current-{version}"
    os.symlink(f"versions/{version}", temporary)
    os.rename(temporary, index / "current")


def served(c) -> str:
    found = c.call("INDEXES")[0]
    values = {text(k): v for k, v in (found if isinstance(found, annex.Pairs) else zip(found[::2], found[1::2]))}
    return text(values["version"])


class Load:
    """Threads that ask without a pause; each answer is compared with all versions' at once."""

    def __init__(self, server, versions):
        self.server, self.versions = server, versions
        self.failures, self.counted, self.stop = [], Counter(), threading.Event()
        self.latencies: list[tuple[float, float]] = []  # when begun, how long
        self.users = [f"u{n}" for n in range(1, 20)] + ["h0", "h1", "live0", "live1", "u10", "u20"]
        self.expected = {}

    def prepare(self, c) -> None:
        """Events for half of the users: before T, after the first T and before the other, after both."""
        for number, user in enumerate(self.users):
            if number % 2 and not user.startswith("live"):
                continue
            for place, at in enumerate((CUT - 5, CUT + 10, CUT + 49, CUT + 50, CUT + 51, CUT + 1000)):
                item = self.versions[0].shop.catalogue.ids[(37 * number + place) % ITEMS]
                live.event(c, user, item, 1 + place, at)
                for version in self.versions:
                    version.model.event(user, item, 1 + place, at)
        self.expected = {user: [v.answer(user) for v in self.versions] for user in self.users}
        for answers in self.expected.values():
            assert len({tuple(ids) for ids, _, _ in answers}) == len(self.versions), "the versions cannot be told apart"

    def which(self, reply, user) -> set[int]:
        return {n for n, expected in enumerate(self.expected[user]) if is_answer(reply, expected)}

    def timed(self, c, *words):
        started = time.monotonic()
        reply = c.call(*words)
        self.latencies.append((started, time.monotonic() - started))
        self.counted["requests"] += 1
        return reply

    def read(self, number: int) -> None:
        rng = annex.generator(f"swap reader {number}")
        with self.server.connect(timeout=30) as c:
            while not self.stop.is_set():
                if rng.random() < 0.8:
                    user = self.users[int(rng.integers(len(self.users)))]
                    of = self.which(self.timed(c, "TOPK", user, K, "TRUTH", "WITHSCORES"), user)
                    assert of, f"an answer for {user} that no version gives"
                else:
                    users = [self.users[int(n)] for n in rng.choice(len(self.users), 5, replace=False)]
                    replies = self.timed(c, "MTOPK", 5, *users, K, "TRUTH", "WITHSCORES")
                    of = set.intersection(*[self.which(reply, user) for reply, user in zip(replies, users)])
                    assert of, "a reply of MTOPK that mixes versions"
                self.counted[f"version {min(of)}"] += 1

    def write(self, number: int) -> None:
        """Users of its own who change all the time: an answer has every acknowledged event, by one version's rules."""
        rng, users = annex.generator(f"swap writer {number}"), [f"writer{number}", f"u{40 + number}"]
        ids = self.versions[0].shop.catalogue.ids
        with self.server.connect(timeout=30) as c:
            turn = 0
            while not self.stop.is_set():
                turn += 1
                user, item, at = users[turn % 2], ids[int(rng.integers(ITEMS))], CUT + 40 + int(rng.integers(20))
                live.event(c, user, item, 2, at)
                for version in self.versions:
                    version.model.event(user, item, 2, at)
                reply = self.timed(c, "TOPK", user, K, "TRUTH", "WITHSCORES")
                assert any(is_answer(reply, v.answer(user)) for v in self.versions), f"an answer for {user} after {turn} events that no version gives"
                assert item.encode() in c.call("SEEN", user)
                self.counted["events"] += 1
                if turn % 400 == 0:  # or the model gets slow
                    for user in users:
                        c.call("FORGET", user)
                        for version in self.versions:
                            version.model.forget(user)
                    users = [f"writer{number}-{turn}", f"second{number}-{turn}"]

    def guarded(self, body, number):
        try:
            body(number)
        except Exception as error:  # noqa: BLE001: every failure counts
            self.failures.append(f"{type(error).__name__}: {error}")

    def __enter__(self):
        self.threads = [threading.Thread(target=self.guarded, args=(body, n)) for body, n in ((self.read, 0), (self.read, 1), (self.write, 0))]
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join(60)

    def percentile(self, begun: float, ended: float, share: float) -> float:
        return float(np.quantile([took for at, took in list(self.latencies) if begun <= at < ended], share))


def mapped(server) -> set[str]:
    """Versions of which the server has anything mapped."""
    with open(f"/proc/{server.process.pid}/maps") as file:
        return {part for line in file for part in line.split("/") if annex.VERSION_NAME.fullmatch(part)}


def mappings(server) -> int:
    with open(f"/proc/{server.process.pid}/maps") as file:
        return sum("/versions/" in line for line in file)


def settled(server) -> tuple[int, int, int]:
    return server.descriptors(), mappings(server), server.rss()


def test_swaps_under_load(versions, tmp_path, fact):
    index, swaps = versions[0].shop.index, annex.setting("ANNEX_SWAPS", 12)
    point(index, versions[0].name)
    took = {"RELOAD": [], "current": []}
    with serve(index, state=tmp_path / "state", log=tmp_path / "log", options=["--watch", WATCH]) as server, server.connect(timeout=60) as c:
        load = Load(server, versions)
        load.prepare(c)
        with load:
            for version in (*versions, versions[0]):  # what each takes the first time is no leak
                point(index, version.name)
                annex.wait_until(lambda: served(c) == version.name, 10, f"{version.name} is served")
            annex.lasting(1, "what the swaps left behind is over")
            quiet = time.monotonic()
            annex.lasting(2, "answers without swaps are measured")
            noisy = time.monotonic()
            before = settled(server)
            for turn in range(swaps):
                version = versions[(turn + 1) % len(versions)]
                started = time.monotonic()
                if turn % 2:
                    point(index, version.name)
                    annex.wait_until(lambda: served(c) == version.name or load.failures, 10, f"{version.name} is served")
                    took["current"].append(time.monotonic() - started)
                else:
                    # `current` goes along, so that what is watched and what is asked for agree.
                    point(index, version.name)
                    c.call("RELOAD", "shop", version.name)
                    took["RELOAD"].append(time.monotonic() - started)
                    assert served(c) == version.name
                assert not load.failures, load.failures[:3]
                annex.pace(0.1)
            calm = time.monotonic()
            point(index, versions[0].name)
            annex.wait_until(lambda: served(c) == versions[0].name, 10, "the first version is served")
            annex.wait_until(lambda: mapped(server) == {versions[0].name} or load.failures, 10, "only the served version is mapped")
            end = time.monotonic() + 10
            while time.monotonic() < end and settled(server)[2] > 1.05 * before[2]:
                annex.pace(0.1)
            after = settled(server)
        assert not load.failures, load.failures[:3]
        server.assert_alive()
        for user in load.users:
            reply = c.call("TOPK", user, K, "TRUTH", "WITHSCORES")
            assert load.which(reply, user) == {0}
    p99 = [1e3 * load.percentile(quiet, noisy, 0.99), 1e3 * load.percentile(noisy, calm, 0.99)]
    worst = [1e3 * load.percentile(quiet, noisy, 1), 1e3 * load.percentile(noisy, calm, 1)]
    fact(f"swaps under load: {swaps} ({', '.join(f'{len(t)} by {how} in {1e3 * np.median(t):.0f} ms' for how, t in took.items() if t)}), "
         f"{load.counted['requests']} requests and {load.counted['events']} events, 0 failed, 0 mixed "
         f"({', '.join(str(load.counted[f'version {n}']) for n in range(3))} by version); p99 {p99[0]:.1f} ms without, {p99[1]:.1f} ms "
         f"during swaps ({p99[1] / p99[0]:.1f} ×), worst {worst[0]:.0f} and {worst[1]:.0f} ms; RSS {before[2] >> 10} to {after[2] >> 10} KiB "
         f"({100 * (after[2] / before[2] - 1):+.1f} %), descriptors {before[0]} to {after[0]}, mappings {before[1]} to {after[1]}")
    assert all(load.counted[f"version {n}"] for n in range(3)), "a version was never served under load"
    assert after[0] <= before[0] + 2 and after[1] <= before[1], "descriptors or mappings are left"
    assert after[2] <= 1.2 * before[2]
    assert p99[1] <= max(4 * p99[0], p99[0] + 20)


def test_a_build_and_a_rollback_are_noticed(versions, tmp_path, fact):
    """`annctl build` publishes under load, `annctl rollback` takes it back; the state goes along."""
    source = versions[0].shop
    index = tmp_path / "indexes" / "shop"
    shutil.copytree(source.index, index, symlinks=True)
    point(index, versions[1].name)
    with serve(index, state=tmp_path / "state", log=tmp_path / "log", options=["--watch", WATCH]) as server, server.connect(timeout=60) as c:
        load = Load(server, [live_version(v) for v in versions])
        load.prepare(c)
        with load:
            name = None
            for turn in range(2):
                # The third version's own input once more: its answers are known already.
                inputs = index.parents[1] / "input"
                shutil.copytree(source.index.parents[1] / "input2", inputs, dirs_exist_ok=True)
                done = annex.build(
                    index, vectors=inputs / "items.npy", ids=inputs / "ids.txt", users=inputs / "users.npy", user_ids=inputs / "user_ids.txt",
                    history=inputs / "history.tsv", trained_until=CUT + 50, fold_in="als", regularization=0.7, alpha=5, index="IVF16,Flat", seed=2 + turn,
                    recall=0.5)
                assert done.returncode == 0, annex.said(done)
                name = current_version(index).name
                annex.wait_until(lambda: served(c) == name or load.failures, 10, "the new version is served")
                annex.run_annctl("rollback", index, check=True)
                back = current_version(index).name
                assert back != name
                annex.wait_until(lambda: served(c) == back or load.failures, 10, "the version before is served")
                assert not load.failures, load.failures[:3]
        assert not load.failures, load.failures[:3]
    fact(f"2 builds and 2 rollbacks noticed by --watch {WATCH} under load: {load.counted['requests']} requests, 0 failed, 0 mixed")


def live_version(version: Version) -> Version:
    """With a model of its own, without the events of other tests."""
    return Version(version.name, version.shop, version.shop.model())


def test_a_damaged_version_is_refused_and_the_old_one_stays(versions, tmp_path, fact):
    index = tmp_path / "indexes" / "shop"
    shutil.copytree(versions[0].shop.index, index, symlinks=True)
    point(index, versions[0].name)
    damaged = {}
    for number, file in enumerate(("vectors.f32", "manifest.json", "users/03.lmdb", "serving.bin", "items.lmdb")):
        name = f"2099010{number + 1}T000000Z-{versions[1].name.split('-')[1]}"  # the hash is that of the content
        shutil.copytree(index / "versions" / versions[1].name, index / "versions" / name)
        path = index / "versions" / name / file
        annex.flip_bit(path, os.path.getsize(path) // 2, 3)
        damaged[name] = file
    with serve(index, state=tmp_path / "state", log=tmp_path / "log", options=["--watch", WATCH]) as server, server.connect(timeout=60) as c:
        load = Load(server, [live_version(v) for v in versions])
        load.prepare(c)
        before = None
        with load:
            for name, file in damaged.items():
                point(index, name)
                annex.wait_until(lambda: name in text(c.call("INFO")) or load.failures, 10, f"INFO says why {file} was refused")
                assert served(c) == versions[0].name
                error = c.error("RELOAD", "shop")
                assert Path(file).name in str(error), f"the refusal does not name {file}: {error}"
                assert c.error("RELOAD", "shop", name).code == "ERR"
                assert served(c) == versions[0].name
                said = next(line for line in text(c.call("INFO")).splitlines() if name in line)
                before = before or settled(server)
            assert not load.failures, load.failures[:3]
            # What is not there, or no version at all.
            for target in ("versions/20990201T000000Z-00000000", "../elsewhere", "/nowhere"):
                os.symlink(target, index / ".tmp-current")
                os.rename(index / ".tmp-current", index / "current")
                annex.lasting(2 * WATCH, "nothing is taken from where there is no version")
                assert served(c) == versions[0].name
            os.unlink(index / "current")
            annex.lasting(2 * WATCH, "nothing is taken from where there is no version")
            assert served(c) == versions[0].name and not load.failures, load.failures[:3]
            # A whole one is taken again.
            point(index, versions[2].name)
            annex.wait_until(lambda: served(c) == versions[2].name or load.failures, 10, "a whole version is served again")
            point(index, versions[0].name)
            annex.wait_until(lambda: served(c) == versions[0].name or load.failures, 10, "and the first")
            annex.wait_until(lambda: mapped(server) == {versions[0].name}, 10, "nothing is mapped of what was refused")
            after = settled(server)
        assert not load.failures, load.failures[:3]
        assert not any(name in line for line in text(c.call("INFO")).splitlines() for name in damaged), "INFO still complains of what is past"
    fact(f"damaged versions that `current` was moved to under load: {len(damaged)} refused, the old one stayed; {load.counted['requests']} requests, "
         f"0 failed; INFO: {said[:200]}")
    assert after[0] <= before[0] + 2


def test_reload_of_a_version_is_not_undone_by_the_watch(versions, tmp_path):
    """`RELOAD index VERSION` leaves `current` alone, and the watch acts where `current` moves."""
    index = versions[0].shop.index
    point(index, versions[0].name)
    with serve(index, state=tmp_path / "state", log=tmp_path / "log", options=["--watch", WATCH]) as server, server.connect() as c:
        c.call("RELOAD", "shop", versions[1].name)
        annex.lasting(4 * WATCH, "the watch changes nothing")
        assert served(c) == versions[1].name, "the watch took back what RELOAD was told to serve"
        point(index, versions[2].name)
        annex.wait_until(lambda: served(c) == versions[2].name, 10, "a moved `current` is noticed")


def test_without_a_watch_only_reload_swaps(versions, tmp_path):
    index = versions[0].shop.index
    point(index, versions[0].name)
    with serve(index, state=tmp_path / "state", log=tmp_path / "log", options=["--watch", 0]) as server, server.connect() as c:
        point(index, versions[1].name)
        annex.lasting(1.5, "nobody looks for a version")
        assert served(c) == versions[0].name
        assert text(c.call("RELOAD", "shop")) == versions[1].name and served(c) == versions[1].name


def test_a_version_without_some_items(versions, tmp_path):
    """Events are keyed by ids: those on items that a version does not have wait for one that has."""
    index = tmp_path / "indexes" / "shop"
    catalogue, trained = versions[0].shop.catalogue, versions[0].shop.trained
    kept = [n for n in range(ITEMS) if n % 3]
    smaller = annex.Catalogue([catalogue.ids[n] for n in kept], catalogue.items[kept], catalogue.user_ids, catalogue.users, "ip")
    rows = {n: place for place, n in enumerate(kept)}
    fewer = {user: {rows[n]: w for n, w in history.items() if n in rows} for user, history in trained.items()}
    fewer = {user: history for user, history in fewer.items() if history}
    whole = live.make_shop(tmp_path, "shop", catalogue=catalogue, trained=trained)
    first = current_version(index).name
    part = live.make_shop(tmp_path, "shop", catalogue=smaller, trained=fewer)
    second = current_version(index).name
    with serve(index, state=tmp_path / "state", log=tmp_path / "log") as server, server.connect() as c:
        for model, solver, name in ((whole.model(), live.Solver(catalogue), first), (part.model(), live.Solver(smaller), second),
                                    (whole.model(), live.Solver(catalogue), first)):
            c.call("RELOAD", "shop", name)
            for user in ("u1", "u7", "stranger"):
                for n in range(6):
                    item = catalogue.ids[n]
                    if item in model.catalogue.rows:
                        live.event(c, user, item, 2, CUT + 1 + n)
                        model.event(user, item, 2, CUT + 1 + n)
                    elif name == second:
                        assert c.error("EVENT", user, item, 2, "AT", CUT + 1 + n).code == "NOITEM"
                        if n == 3:  # what a version does not know can be taken out all the same
                            assert c.call("EVENT.DEL", user, item) == 1
                told = live.seen(c, user)
                assert {item for item, _ in told} <= set(catalogue.ids[:6]) | model.items_seen(user)
                model.check_seen([(item, at) for item, at in told if item in model.catalogue.rows], user)
                assert not {i.encode() for i in model.items_seen(user)} & set(c.call("TOPK", user, ITEMS))
                off = solver.off(live.scores(c, model.catalogue, user), model.vector(user))
                assert off < 1e-5
