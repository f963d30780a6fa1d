"""Vectors that follow live events at the size of a real catalogue, against the package that trained the factors.

Gowalla is not part of the project: it is looked for in ANNEX_GOWALLA, or in ../shared/data/gowalla. ANNEX_LIVE_USERS sets how many
users are compared.
"""

import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse

import annex
from annex import Server, built, encode, pairs
from live import CUT, serve

REGULARIZATION, ALPHA = 1.0, 10.0
pytestmark = pytest.mark.filterwarnings("ignore:OpenBLAS is configured")


@dataclass
class Gowalla:
    server: Server
    items: np.ndarray
    matrix: scipy.sparse.csr_matrix
    trainer: object
    probe: np.ndarray  # rows whose scores determine a vector
    inverse: np.ndarray

    def expected(self, rows: list[dict[int, float]]) -> np.ndarray:
        """implicit's own vectors of histories {row: weight}."""
        lengths = np.cumsum([0] + [len(row) for row in rows])
        columns = np.concatenate([np.fromiter(row, np.int32) for row in rows])
        weights = np.concatenate([np.fromiter(row.values(), np.float32) for row in rows])
        matrix = scipy.sparse.csr_matrix((weights, columns, lengths), shape=(len(rows), len(self.items)))
        matrix.sort_indices()
        return self.trainer.recalculate_user(np.arange(len(rows)), matrix)

    def history(self, user: int) -> dict[int, float]:
        begin, end = self.matrix.indptr[user:user + 2]
        return dict(zip(self.matrix.indices[begin:end].tolist(), self.matrix.data[begin:end].tolist()))


@pytest.fixture(scope="module")
def gowalla(folder):
    place = Path(os.environ.get("ANNEX_GOWALLA", annex.PROJECT.parent / "shared" / "data" / "gowalla"))
    if not (place / "train.npz").is_file():
        pytest.skip("no Gowalla: set ANNEX_GOWALLA to a folder with item_factors.npy, user_factors.npy and train.npz")
    als = pytest.importorskip("implicit.cpu.als", reason="implicit, the trainer, is not installed")
    items, users = np.load(place / "item_factors.npy"), np.load(place / "user_factors.npy")
    matrix = scipy.sparse.load_npz(place / "train.npz").tocsr()
    inputs = folder / "input" / "gowalla-live"
    inputs.mkdir(parents=True)
    index = built(
        folder / "indexes" / "live" / "gowalla", vectors=place / "item_factors.npy", users=place / "user_factors.npy",
        ids=annex.save_ids(inputs / "ids.txt", [str(n) for n in range(len(items))]),
        user_ids=annex.save_ids(inputs / "users.txt", [str(n) for n in range(len(users))]), index="IVF64,SQ8",
        history=place / "train.npz", trained_until=CUT, fold_in="als", regularization=REGULARIZATION, alpha=int(ALPHA),
        recall=0.99, threads=os.cpu_count() or 1, timeout=900,
    )
    trainer = als.AlternatingLeastSquares(factors=items.shape[1], regularization=REGULARIZATION, alpha=ALPHA, num_threads=1)
    trainer.item_factors, trainer.user_factors = items, users
    probe = np.sort(annex.generator("gowalla probe").choice(len(items), 1500, replace=False))
    with serve(index, state=folder / "gowalla-live-state", log=folder / "gowalla-live.log") as server:
        yield Gowalla(server, items, matrix, trainer, probe, np.linalg.pinv(items[probe].astype(np.float64)))


def relative(found, expected) -> float:
    expected = expected.astype(np.float64)
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


def probed(c, place: Gowalla, user) -> np.ndarray:
    reply = c.call("SCORE", user, len(place.probe), *place.probe)
    return place.inverse @ np.array([float(s) for s in reply])


def live_users(place: Gowalla) -> np.ndarray:
    """Those who get events."""
    return annex.generator("gowalla live").choice(place.matrix.shape[0], annex.setting("ANNEX_LIVE_USERS", 120), replace=False)


def test_live_vectors_equal_the_trainer(gowalla, fact):
    """Events on items of the trained history and on others, of known and of new users."""
    rng, chosen = annex.generator("gowalla events"), live_users(gowalla)
    count = len(chosen)
    names, histories, sent = [], [], 0
    with gowalla.server.connect(timeout=60) as c:
        for place, user in enumerate(chosen):
            fresh = place % 6 == 5
            name, history = (f"new{user}", {}) if fresh else (str(user), gowalla.history(int(user)))
            known = list(history) or [0]
            events = []
            for _ in range(int(rng.integers(1, 40))):
                item = int(rng.choice(known)) if rng.random() < 0.3 else int(rng.integers(len(gowalla.items)))
                weight = float(rng.integers(1, 9)) / 2
                events.append((item, weight))
                history[item] = history.get(item, 0.0) + weight
            c.send(b"".join(encode("EVENT", name, item, repr(weight), "AT", CUT + 1 + n) for n, (item, weight) in enumerate(events)))
            assert all(c.read() == "OK" for _ in events)
            sent += len(events)
            names.append(name)
            histories.append(history)
        expected = gowalla.expected(histories)
        differences = [relative(probed(c, gowalla, name), vector) for name, vector in zip(names, expected)]
        # A few by the scores of all items, and their answers in order.
        worst_score = 0.0
        for name, vector, history in list(zip(names, expected, histories))[:8]:
            exact = gowalla.items.astype(np.float64) @ vector.astype(np.float64)
            found = np.array([float(s) for s in c.call("SCORE", name, len(gowalla.items), *range(len(gowalla.items)))])
            worst_score = max(worst_score, float(np.abs(found - exact).max() / np.abs(exact).max()))
            best = pairs(c.call("TOPK", name, 10_000, "TRUTH", "WITHSEEN", "WITHSCORES"))
            assert len(best) == 10_000
            worst_score = max(worst_score, max(abs(s - exact[int(i)]) for i, s in best) / float(np.abs(exact).max()))
            assert min(s for _, s in best) >= np.sort(exact)[-10_000] - 1e-4 * np.abs(exact).max()
            unseen = pairs(c.call("TOPK", name, 100, "TRUTH", "WITHSCORES"))
            assert not {int(i) for i, _ in unseen} & set(history)
            exact[list(history)] = -np.inf
            wanted = np.sort(exact)[::-1][:100]
            assert np.abs(np.array([s for _, s in unseen]) - wanted).max() <= 1e-4 * np.abs(wanted).max()
    fact(f"Gowalla, live: vectors of {count} users after {sent} events differ from implicit's recalculate_user by at most "
         f"{max(differences):.1e}, scores by {worst_score:.1e} of the largest")
    assert max(differences) <= 1e-4 and worst_score <= 1e-4


def test_temporary_histories_equal_the_trainer(gowalla, fact):
    rng, count = annex.generator("gowalla sessions"), annex.setting("ANNEX_LIVE_USERS", 120) // 3
    differences = []
    untouched = sorted(set(range(gowalla.matrix.shape[0])) - set(live_users(gowalla).tolist()))
    with gowalla.server.connect(timeout=60) as c:
        for turn in range(count):
            user = untouched[int(rng.integers(len(untouched)))]
            name, history = (f"anonymous{turn}", {}) if turn % 2 else (str(user), gowalla.history(user))
            session = {int(i): float(rng.integers(1, 9)) / 2 for i in rng.choice(len(gowalla.items), int(rng.integers(1, 60)), replace=False)}
            for item, weight in session.items():
                history[item] = history.get(item, 0.0) + weight
            vector = gowalla.expected([history])[0].astype(np.float64)
            words = ["HISTORY", len(session), *session, "WEIGHTS", *[repr(w) for w in session.values()]]
            answer = pairs(c.call("TOPK", name, 1000, "TRUTH", "WITHSEEN", "WITHSCORES", *words))
            rows = np.array([int(i) for i, _ in answer])
            exact = gowalla.items.astype(np.float64) @ vector
            scale = np.abs(exact).max()
            differences.append(float(np.abs(np.array([s for _, s in answer]) - exact[rows]).max() / scale))
            if turn % 8 < 2:  # the vector itself, which takes its time to find
                found = np.linalg.lstsq(gowalla.items[rows].astype(np.float64), np.array([s for _, s in answer]), rcond=None)[0]
                differences.append(relative(found, vector))
            assert np.abs(np.array([s for _, s in answer]) - np.sort(exact)[::-1][:1000]).max() <= 1e-4 * scale
            left = c.call("TOPK", name, 1000, *words)
            assert len(left) == 1000 and not {int(i) for i in left} & set(history)
    fact(f"Gowalla, HISTORY: scores of {count} users and vectors of a quarter of them differ from implicit's by at most {max(differences):.1e}")
    assert max(differences) <= 1e-4


def test_the_first_read_after_an_event(gowalla, fact):
    """What a fold-in of a usual user and of one with 500 items costs, over the wire; reported."""
    lengths = np.diff(gowalla.matrix.indptr)
    with gowalla.server.connect(timeout=60) as c:
        for what, wanted in (("27 items (the usual)", 27), ("500 items", 500)):
            user = str(int(np.argmin(np.abs(lengths - wanted))))
            took, cached = [], []
            for n in range(60):
                assert c.call("EVENT", user, n, 1, "AT", CUT + 1000 + n) == "OK"
                for times in (took, cached):
                    started = time.perf_counter()
                    assert len(c.call("TOPK", user, 10)) == 10
                    times.append(time.perf_counter() - started)
            fact(f"Gowalla, live: first TOPK after an event of a user with {what}: p50 {1e6 * np.median(took):.0f} µs, then "
                 f"{1e6 * np.median(cached):.0f} µs")
