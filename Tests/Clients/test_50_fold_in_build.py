"""What `annctl build` stores of a history: the vectors that follow from it, and the history itself.

First on synthetic data against the equations in float64, then on Gowalla against the package that trained the factors, in
the same run. Gowalla is not part of the project: it is looked for in ANNEX_GOWALLA, or in ../shared/data/gowalla.
"""

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

import lmdb
import numpy as np
import pytest
import scipy.sparse

import annex
from annex import Server, build, built, current_version, said

CUT = 1_700_000_000_000


@dataclass
class Stored:
    """The users' files of a version, read by LMDB's own Python package."""

    vectors: dict[str, np.ndarray]
    histories: dict[str, list[tuple[str, float]]]

    @classmethod
    def read(cls, version: Path) -> "Stored":
        with cls.table(version / "items.lmdb", b"ids") as items:
            ids = [key.decode() for key, _ in items]
        vectors, histories = {}, {}
        for block in range(16):
            path = version / "users" / f"{block:02}.lmdb"
            with cls.table(path, b"factors") as entries:
                vectors.update((key.decode(), np.frombuffer(value, "<f4").copy()) for key, value in entries)
            with cls.table(path, b"histories") as entries:
                for key, value in entries:
                    packed = np.frombuffer(value, [("ordinal", "<u4"), ("weight", "<f4")])
                    assert (np.diff(packed["ordinal"].astype(int)) > 0).all(), "ordinals ascend"
                    histories[key.decode()] = [(ids[o], float(w)) for o, w in packed]
        return cls(vectors, histories)

    class table:
        """Entries of one table, none where there is no such table."""

        def __init__(self, path: Path, name: bytes):
            self.environment = lmdb.open(str(path), subdir=False, readonly=True, lock=False, max_dbs=8)
            self.name = name

        def __enter__(self):
            with self.environment.begin() as transaction:
                if transaction.get(self.name) is None:
                    return []
                handle = self.environment.open_db(self.name, transaction, create=False)
                return [(bytes(key), bytes(value)) for key, value in transaction.cursor(handle)]

        def __exit__(self, *_):
            self.environment.close()


@dataclass
class Shop:
    catalogue: annex.Catalogue
    files: dict
    matrix: scipy.sparse.csr_matrix
    folder: Path

    def als(self, user: int, regularization: float, alpha: float) -> np.ndarray:
        items = self.catalogue.items.astype(np.float64)
        matrix, side = items.T @ items + regularization * np.eye(items.shape[1]), np.zeros(items.shape[1])
        for item, weight in self.row(user):
            confidence = alpha * weight
            side += max(0.0, confidence) * items[item]
            matrix += (abs(confidence) - 1) * np.outer(items[item], items[item])
        return np.linalg.solve(matrix, side)

    def ridge(self, row: list[tuple[int, float]], regularization: float) -> np.ndarray:
        items = self.catalogue.items.astype(np.float64)[[item for item, _ in row]]
        weights = np.array([weight for _, weight in row])
        return np.linalg.solve(items.T @ items + regularization * np.eye(items.shape[1]), items.T @ weights)

    def row(self, user: int) -> list[tuple[int, float]]:
        begin, end = self.matrix.indptr[user:user + 2]
        return list(zip(self.matrix.indices[begin:end].tolist(), self.matrix.data[begin:end].tolist()))

    def expected_history(self, user: int) -> dict[str, float]:
        return {self.catalogue.ids[item]: weight for item, weight in self.row(user)}

    def text(self) -> str:
        lines = [f"{self.catalogue.user_ids[user]}\t{self.catalogue.ids[item]}\t{weight!r}\t{CUT - item}"
                 for user in range(self.matrix.shape[0]) for item, weight in self.row(user)]
        annex.generator("fold lines").shuffle(lines)
        return "\n".join(lines) + "\n"

    def build(self, name: str, **more):
        options = {"trained_until": CUT, **self.files, **more}
        return build(self.folder / "indexes" / name, **options)


@pytest.fixture(scope="module")
def shop(folder) -> Shop:
    """Some users have no history, some one of hundreds of items; weights of either sign."""
    catalogue = annex.make_catalogue("fold", "ip", items=700, users=90, dimension=20)
    files = annex.save_catalogue(catalogue, folder / "fold" / "input")
    rng = annex.generator("fold history")
    rows = [[] if user % 10 == 0 else rng.choice(700, rng.integers(1, 30 if user % 9 else 400), replace=False)
            for user in range(90)]
    indices = np.concatenate([np.asarray(row, np.int32) for row in rows])
    weights = rng.integers(1, 9, len(indices)).astype(np.float32) / 2
    weights[rng.random(len(indices)) < 0.05] *= -1
    matrix = scipy.sparse.csr_matrix((weights, indices, np.cumsum([0] + [len(row) for row in rows])), shape=(90, 700))
    scipy.sparse.save_npz(folder / "fold" / "input" / "history.npz", matrix)
    return Shop(catalogue, files, matrix, folder / "fold")


def relative(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.linalg.norm(found - expected) / max(np.linalg.norm(expected), 1e-30))


def test_als_vectors_are_the_exact_solution(shop, fact):
    done = shop.build("als", history=shop.folder / "input" / "history.npz", fold_in="als", regularization=0.7, alpha=5)
    assert done.returncode == 0, said(done)
    version = current_version(shop.folder / "indexes" / "als")
    stored = Stored.read(version)
    worst, distances = 0.0, []
    for user, name in enumerate(shop.catalogue.user_ids):
        assert dict(stored.histories.get(name, [])) == shop.expected_history(user)
        trained = shop.catalogue.users[user]
        if not shop.row(user):
            assert (stored.vectors[name] == trained).all(), "no history: the trainer's vector"
            continue
        worst = max(worst, relative(stored.vectors[name], shop.als(user, 0.7, 5)))
        distances.append(relative(stored.vectors[name].astype(np.float64), trained.astype(np.float64)))
    fact(f"fold-in als, synthetic: largest relative difference from NumPy in float64 {worst:.1e}")
    assert worst < 1e-6
    manifest = json.loads((version / "manifest.json").read_text())
    assert manifest["format"] == 7 and manifest["trainedUntil"] == CUT
    assert manifest["histories"] == len(stored.histories) == 81 and manifest["interactions"] == shop.matrix.nnz
    fold_in = manifest["foldIn"]
    assert (fold_in["method"], fold_in["regularization"], fold_in["alpha"]) == ("als", 0.7, 5)
    assert fold_in["solvedUsers"] == 81 and fold_in["unsolvedUsers"] == 0
    assert fold_in["meanDistance"] == pytest.approx(np.mean(distances), rel=1e-5)
    assert fold_in["distance99"] == pytest.approx(np.sort(distances)[int(np.ceil(0.99 * len(distances))) - 1], rel=1e-5)
    assert "81 users' vectors were solved" in done.stdout and "off the trainer's own by" in done.stdout
    annex.run_annctl("verify", shop.folder / "indexes" / "als", check=True)
    assert "als, regularization 0.7" in annex.run_annctl("inspect", shop.folder / "indexes" / "als", check=True).stdout
    with Server(shop.folder / "indexes" / "als", log=shop.folder / "als.log") as server, server.connect() as c:
        for user in (1, 9, 10):
            name = shop.catalogue.user_ids[user]
            vector = stored.vectors[name].astype(np.float64)
            for item, score in zip(shop.catalogue.ids[:50], c.call("SCORE", name, 50, *shop.catalogue.ids[:50])):
                assert abs(float(score) - vector @ shop.catalogue.item(item)) < 1e-4


def test_the_same_history_as_text(shop):
    """Threads, the order of lines and the file's format change nothing."""
    path = shop.folder / "input" / "history.tsv"
    path.write_text(shop.text(), encoding="utf-8")
    options = dict(fold_in="als", regularization=1.5, alpha=3)
    versions = []
    for name, history, threads in (("t1", "history.npz", 1), ("t2", "history.tsv", 2)):
        done = shop.build(name, history=shop.folder / "input" / history, threads=threads, **options)
        assert done.returncode == 0, said(done)
        versions.append(current_version(shop.folder / "indexes" / name))
    for file in sorted(p.name for p in (versions[0] / "users").iterdir()):
        assert (versions[0] / "users" / file).read_bytes() == (versions[1] / "users" / file).read_bytes(), file


def test_ridge_solves_for_whom_the_trainer_did_not_know(shop):
    path = shop.folder / "input" / "more.tsv"
    items = shop.catalogue.ids[3:7]
    path.write_text("".join(f"{user}\t{item}\n" for user, item in [("new", i) for i in items] + [("u1", items[0])]))
    done = shop.build("ridge", history=path, fold_in="ridge", regularization=4)
    assert done.returncode == 0, said(done)
    stored = Stored.read(current_version(shop.folder / "indexes" / "ridge"))
    assert relative(stored.vectors["new"], shop.ridge([(row, 1.0) for row in range(3, 7)], 4)) < 1e-6
    assert (stored.vectors["u1"] == shop.catalogue.users[1]).all() and set(stored.histories) == {"new", "u1"}


def test_rows_without_factors_have_their_numbers(shop):
    files = {name: file for name, file in shop.files.items() if name not in ("users", "user_ids")}
    done = build(shop.folder / "indexes" / "bare", history=shop.folder / "input" / "history.npz", trained_until=1,
                 fold_in="als", regularization=0.7, alpha=5, **files)
    assert done.returncode == 0, said(done)
    stored = Stored.read(current_version(shop.folder / "indexes" / "bare"))
    assert set(stored.vectors) == set(stored.histories) == {str(n) for n in range(90) if shop.row(n)}
    assert relative(stored.vectors["12"], shop.als(12, 0.7, 5)) < 1e-6


@pytest.mark.parametrize("change, words", [
    (dict(trained_until=None), "trained-until"), (dict(alpha=2), "alpha"), (dict(regularization=2), "fold-in"),
    (dict(fold_in="als"), "regularization"), (dict(fold_in="als", regularization=0), "regularization"),
    (dict(fold_in="lasso", regularization=1), "als, ridge or none"),
    (dict(fold_in="ridge", regularization=1, alpha=3), "alpha"),
    (dict(fold_in="als", regularization=1, metric="l2"), "l2"), (dict(history="csc.npz"), "tocsr()"),
    (dict(history="turned.npz"), "matrix.T"), (dict(history="narrow.npz"), "the same model"),
    (dict(history="items.npy"), "ending"), (dict(history="absent.npz"), "cannot open"),
])
def test_what_is_refused(shop, change, words):
    inputs = shop.folder / "input"
    scipy.sparse.save_npz(inputs / "csc.npz", shop.matrix.tocsc())
    scipy.sparse.save_npz(inputs / "turned.npz", shop.matrix.T.tocsr())
    scipy.sparse.save_npz(inputs / "narrow.npz", shop.matrix[:, :699].tocsr())
    options = {"history": "history.npz", "trained_until": CUT, **shop.files, **change}
    options["history"] = inputs / options["history"]
    done = build(shop.folder / "indexes" / "refused", **{k: v for k, v in options.items() if v is not None})
    assert done.returncode in (1, 64) and words in done.stderr, said(done)
    assert not annex.versions_of(shop.folder / "indexes" / "refused")


@pytest.mark.filterwarnings("ignore:OpenBLAS is configured")
def test_gowalla_equals_the_trainer(folder, fact):
    place = Path(os.environ.get("ANNEX_GOWALLA", annex.PROJECT.parent / "shared" / "data" / "gowalla"))
    if not (place / "train.npz").is_file():
        pytest.skip("no Gowalla: set ANNEX_GOWALLA to a folder with item_factors.npy, user_factors.npy and train.npz")
    als = pytest.importorskip("implicit.cpu.als", reason="implicit, the trainer, is not installed")
    items, users = np.load(place / "item_factors.npy"), np.load(place / "user_factors.npy")
    matrix = scipy.sparse.load_npz(place / "train.npz").tocsr()
    inputs = folder / "input" / "gowalla-fold"
    inputs.mkdir(parents=True)
    started = time.monotonic()
    index = built(
        folder / "indexes" / "fold" / "gowalla", vectors=place / "item_factors.npy", users=place / "user_factors.npy",
        ids=annex.save_ids(inputs / "ids.txt", [str(n) for n in range(len(items))]),
        user_ids=annex.save_ids(inputs / "users.txt", [str(n) for n in range(len(users))]), index="IVF64,SQ8",
        history=place / "train.npz", trained_until=1, fold_in="als", regularization=1.0, alpha=10,
        recall=0.99, threads=os.cpu_count() or 1, timeout=900,
    )
    seconds = time.monotonic() - started
    version = current_version(index)
    stored = Stored.read(version)
    trainer = als.AlternatingLeastSquares(factors=128, regularization=1.0, alpha=10, num_threads=1)
    trainer.item_factors, trainer.user_factors = items, users
    chosen = np.sort(annex.generator("gowalla fold").choice(len(users), 200, replace=False))
    expected = trainer.recalculate_user(chosen, matrix[chosen])
    worst = max(relative(stored.vectors[str(user)], vector) for user, vector in zip(chosen, expected))
    component = max(float(np.abs(stored.vectors[str(user)] - vector).max() / np.abs(vector).max())
                    for user, vector in zip(chosen, expected))
    fold_in = json.loads((version / "manifest.json").read_text())["foldIn"]
    stages = {s["stage"]: s["seconds"] for s in json.loads((version / "report.json").read_text())["stages"]}
    fact(f"Gowalla, fold-in als, built in {seconds:.1f} s (history {stages['reading the history']:.1f} s, solving "
         f"{stages['folding in']:.1f} s): 200 users' vectors differ from implicit's recalculate_user by at most {worst:.1e} "
         f"(components by {component:.1e} of the largest); all users' from the trainer's own by "
         f"{fold_in['meanDistance']:.4f} on average, {fold_in['distance99']:.4f} at most for 99 %")
    assert max(worst, component) <= 1e-4
    assert fold_in["solvedUsers"] == len(users) and 0.005 < fold_in["meanDistance"] < 0.06
