"""Biased models: what Annex answers is what the trainer predicts.

Surprise's SVD and SVD++ and implicit's BPR are trained here, on ratings that are made up; their own predictions are the
truth. The rest is compared with NumPy in float64 over the files that the build read.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse

import annex
from annex import Server, build, built, current_version, pairs, run_annctl, said
from test_50_fold_in_build import Stored

USERS, ITEMS, CUT = 250, 900, 1_700_000_000_000


def made_up_ratings(label: str) -> list[tuple[str, str, float]]:
    """Users and items with levels and tastes; ratings of 1 to 5 in halves, each pair once."""
    rng = annex.generator(label)
    x, y = rng.normal(size=(USERS, 4)), rng.normal(size=(ITEMS, 4))
    levels, popular = rng.normal(0, 0.5, USERS), rng.normal(0, 0.6, ITEMS)
    out = []
    for user in range(USERS):
        for item in rng.choice(ITEMS, rng.integers(5, 60), replace=False):
            rating = 3.4 + levels[user] + popular[item] + 0.4 * x[user] @ y[item] + rng.normal(0, 0.3)
            out.append((f"u{user}", f"i{item}" if item % 7 else f"é{item}", float(np.clip(round(2 * rating) / 2, 1, 5))))
    return out


@dataclass
class Trained:
    """A model of Surprise's and where its parts were saved."""

    model: object
    train: object
    folder: Path
    files: dict

    def __post_init__(self):
        self.items = [self.train.to_raw_iid(n) for n in self.train.all_items()]
        self.users = [self.train.to_raw_uid(n) for n in self.train.all_users()]

    def predictions(self, user: str) -> dict[str, float]:
        """Of every item, without clipping to the scale."""
        return {item: self.model.predict(user, item, clip=False).est for item in self.items}

    def history(self) -> str:
        lines = [f"{self.train.to_raw_uid(u)}\t{self.train.to_raw_iid(i)}\t{r}\n" for u, i, r in self.train.all_ratings()]
        annex.generator("bias history").shuffle(lines)
        return "".join(lines)


def train(folder: Path, name: str, label: str) -> Trained:
    surprise = pytest.importorskip("surprise", reason="scikit-surprise is not installed")
    folder = folder / label
    folder.mkdir(parents=True)
    lines = folder / "ratings.tsv"
    lines.write_text("".join(f"{u}\t{i}\t{r}\n" for u, i, r in made_up_ratings(label)), encoding="utf-8")
    reader = surprise.Reader(line_format="user item rating", sep="\t", rating_scale=(1, 5))
    trainset = surprise.Dataset.load_from_file(str(lines), reader).build_full_trainset()
    model = getattr(surprise, name)(n_factors=12, n_epochs=15, random_state=1).fit(trainset)
    for part in ("qi", "pu", "bi", "bu", *(["yj"] if name == "SVDpp" else [])):
        np.save(folder / f"{part}.npy", getattr(model, part))
    trained = Trained(model, trainset, folder, {})
    trained.files = dict(
        vectors=folder / "qi.npy", ids=annex.save_ids(folder / "items.txt", trained.items),
        users=folder / "pu.npy", user_ids=annex.save_ids(folder / "users.txt", trained.users),
        bias=folder / "bi.npy", user_bias=folder / "bu.npy", global_mean=repr(float(trainset.global_mean)),
    )
    (folder / "history.tsv").write_text(trained.history(), encoding="utf-8")
    return trained


@pytest.fixture(scope="module")
def svd(folder) -> Trained:
    return train(folder / "bias", "SVD", "svd")


@pytest.fixture(scope="module")
def svd_index(svd) -> Path:
    return built(svd.folder / "indexes" / "svd", index="auto", recall=0.95, **svd.files)


def compare(c, trained: Trained, users: list[str], k: int = 10) -> tuple[float, float]:
    """Scores of every item and exact answers of some users beside predictions: the worst difference, and recall."""
    worst, found = 0.0, 0
    for user in users:
        expected = trained.predictions(user)
        scores = c.call("SCORE", user, len(trained.items), *trained.items)
        worst = max(worst, max(abs(float(s) - expected[i]) for i, s in zip(trained.items, scores)))
        order = sorted(expected, key=lambda item: (-expected[item], item.encode()))
        answer = pairs(c.call("TOPK", user, k, "TRUTH", "WITHSCORES", "WITHSEEN"))
        assert len(answer) == k
        for (item, score), wanted in zip(answer, order):
            assert abs(expected[item.decode()] - expected[wanted]) < 1e-5, f"{user}: {item} instead of {wanted}"
            worst = max(worst, abs(score - expected[item.decode()]))
        found += len({i.decode() for i in c.call("TOPK", user, k, "WITHSEEN")} & set(order[:k]))
    return worst, found / (k * len(users))


def test_svd_scores_are_its_predictions(svd, svd_index, fact):
    manifest = json.loads((current_version(svd_index) / "manifest.json").read_text())
    assert manifest["format"] == 7 and manifest["dimension"] == 12 and manifest["storedDimension"] == 13
    assert manifest["bias"] == {"globalMean": float(svd.files["global_mean"]), "ofUsers": True}
    assert {"bias", "user-bias"} <= {source["role"] for source in manifest["sources"]}
    run_annctl("verify", svd_index, "--all", check=True)
    assert "user bias + item bias" in run_annctl("inspect", svd_index, check=True).stdout
    with Server(svd_index, log=svd.folder / "svd.log") as server, server.connect() as c:
        worst, recall = compare(c, svd, svd.users[:60])
        many = c.call("MTOPK", 2, *svd.users[:2], 5, "TRUTH")
        assert many == [c.call("TOPK", user, 5, "TRUTH") for user in svd.users[:2]]
    fact(f"Surprise's SVD, 60 users × {len(svd.items)} items: scores differ from its predictions by at most {worst:.1e}; "
         f"recall@10 {recall:.3f}")
    assert worst < 1e-5 and recall >= 0.95


def test_svd_by_faiss_and_by_other_kinds(svd):
    for kind in ("Flat", "IVF16,SQ8", "HNSW16"):
        index = built(svd.folder / "kinds" / kind.split(",")[0].lower(), **{**svd.files, "index": kind, "recall": 0.8})
        for engine in ("annex", "faiss"):
            log = svd.folder / f"{kind}-{engine}.log"
            with Server(index, log=log, options=["--engine", engine]) as server, server.connect() as c:
                worst, recall = compare(c, svd, svd.users[:8])
                assert worst < 1e-5 and recall >= 0.7, (kind, engine)


def test_likeness_of_items_is_without_biases(svd, svd_index):
    items = np.load(svd.files["vectors"]).astype(np.float32)
    catalogue = annex.Catalogue(svd.items, items, svd.users, np.load(svd.files["users"]).astype(np.float32), "ip")
    with Server(svd_index, log=svd.folder / "items.log") as server, server.connect() as c:
        assert c.call("VDIM", "svd") == 12
        for item in svd.items[:10]:
            row = catalogue.item(item)
            shown = np.array([float(v) for v in c.call("VEMB", "svd", item)], dtype=np.float32)
            assert (shown == row).all()
            _, raw, norm = c.call("VEMB", "svd", item, "RAW")
            assert raw == row.tobytes() and abs(float(norm) - np.linalg.norm(row.astype(np.float64))) < 1e-6
            answer = pairs(c.call("VSIM", "svd", "ELE", item, "WITHSCORES", "COUNT", 10, "TRUTH"))
            catalogue.check_exact(answer, row, 10)
            given = c.call("VSIM", "svd", "FP32", row.tobytes(), "WITHSCORES", "COUNT", 10, "TRUTH")
            assert pairs(given) == answer
        vector = ["VALUES", 12, *map(str, range(12))]
        answer = pairs(c.call("VSIM", "svd", *vector, "WITHSCORES", "COUNT", 10, "TRUTH"))
        catalogue.check_exact(answer, np.arange(12), 10)
        with pytest.raises(annex.ServerError, match="got 13 but set has 12"):
            c.call("VSIM", "svd", "VALUES", 13, *map(str, range(13)))
        # A user's constant does not stay behind for the next query.
        first = c.call("VSIM", "svd", *vector, "WITHSCORES", "COUNT", 5)
        c.call("TOPK", svd.users[0], 5)
        assert c.call("VSIM", "svd", *vector, "WITHSCORES", "COUNT", 5) == first


def test_svdpp_sums_implicit_factors_over_the_history(folder, fact):
    trained = train(folder / "bias", "SVDpp", "svdpp")
    options = dict(history=trained.folder / "history.tsv", trained_until=CUT, implicit_factors=trained.folder / "yj.npy")
    index = built(trained.folder / "indexes" / "svdpp", index="auto", recall=0.95, **trained.files, **options)
    with Server(index, log=trained.folder / "svdpp.log") as server, server.connect() as c:
        worst, recall = compare(c, trained, trained.users[:60])
    fact(f"Surprise's SVD++, 60 users × {len(trained.items)} items: scores differ from its predictions by at most "
         f"{worst:.1e}; recall@10 {recall:.3f}")
    assert worst < 1e-5 and recall >= 0.95
    version = current_version(index)
    assert not [p.name for p in version.iterdir() if p.name.startswith(".")]
    run_annctl("verify", index, check=True)

    def refused(words, **change):
        done = build(trained.folder / "refused", **{**trained.files, **options, **change})
        assert done.returncode in (1, 64) and words in done.stderr, said(done)

    short = trained.folder / "short.npy"
    np.save(short, trained.model.yj[:-1])
    refused(f"has {len(trained.items) - 1} rows, the items {len(trained.items)}", implicit_factors=short)
    np.save(short, trained.model.yj[:, :-1])
    refused("11 components", implicit_factors=short)
    np.save(short, np.where(np.arange(12) == 3, np.nan, trained.model.yj))
    refused("short.npy:1:4", implicit_factors=short)
    lines = "".join(f"{i}," + ",".join("0" * 12) + "\n" for i in [*trained.items[1:], trained.items[0]])
    (trained.folder / "other.csv").write_text(lines, encoding="utf-8")
    refused("other.csv:1", implicit_factors=trained.folder / "other.csv")


@pytest.mark.filterwarnings("ignore:OpenBLAS")
def test_bpr_of_implicit_with_its_bias_apart(folder, fact):
    """Implicit keeps the item's bias in the last component: taken out, it ranks the same."""
    bpr = pytest.importorskip("implicit.cpu.bpr", reason="implicit is not installed")
    place = folder / "bias" / "bpr"
    place.mkdir(parents=True)
    lines = made_up_ratings("bpr")
    users, items = sorted({u for u, _, _ in lines}), sorted({i for _, i, _ in lines})
    rows, columns = [users.index(u) for u, _, _ in lines], [items.index(i) for _, i, _ in lines]
    matrix = scipy.sparse.csr_matrix((np.ones(len(lines), np.float32), (rows, columns)))
    model = bpr.BayesianPersonalizedRanking(factors=10, iterations=30, random_state=1, num_threads=1)
    model.fit(matrix, show_progress=False)
    np.save(place / "y.npy", model.item_factors[:, :-1])
    np.save(place / "b.npy", model.item_factors[:, -1])
    np.save(place / "x.npy", model.user_factors[:, :-1])
    assert (model.user_factors[:, -1] == 1).all()
    index = built(place / "indexes" / "bpr", vectors=place / "y.npy", bias=place / "b.npy", users=place / "x.npy",
                  ids=annex.save_ids(place / "items.txt", items), user_ids=annex.save_ids(place / "users.txt", users))
    manifest = json.loads((current_version(index) / "manifest.json").read_text())
    assert manifest["bias"] == {"globalMean": 0, "ofUsers": False}
    worst = 0.0
    with Server(index, log=place / "bpr.log") as server, server.connect() as c:
        for user in range(40):
            found, scores = model.recommend(user, matrix[user], 10, filter_already_liked_items=False)
            answer = pairs(c.call("TOPK", users[user], 10, "TRUTH", "WITHSCORES"))
            own = dict(zip([items[n] for n in found], scores.tolist()))
            for (item, score), wanted in zip(answer, scores.tolist()):
                worst = max(worst, abs(score - wanted), abs(score - own.get(item.decode(), score)))
    fact(f"implicit's BPR, 40 users: the ten best scores differ from its own by at most {worst:.1e}")
    assert worst < 1e-5


# --- Fold-in -----------------------------------------------------------------------------------------------------------


def ridge(rows: np.ndarray, left: np.ndarray, regularization: float) -> np.ndarray:
    return np.linalg.solve(rows.T @ rows + regularization * np.eye(rows.shape[1]), rows.T @ left)


@pytest.mark.parametrize("with_levels", [True, False])
def test_new_users_are_solved_from_what_biases_leave(svd, with_levels):
    """With a mean users' levels are solved too; a model of items' biases alone (BPR) has none."""
    rng = annex.generator("bias fold")
    items, biases = np.load(svd.files["vectors"]), np.load(svd.files["bias"])
    mean = float(svd.files["global_mean"]) if with_levels else 0.0
    histories = {f"new{n}": rng.choice(len(items), count, replace=False) for n, count in enumerate([1, 2, 7, 40, 300])}
    weights = {user: rng.integers(2, 11, len(rows)) / 2 for user, rows in histories.items()}
    path = svd.folder / f"new-{with_levels}.tsv"
    path.write_text("".join(
        f"{user}\t{svd.items[row]}\t{weight}\n" for user, rows in histories.items()
        for row, weight in zip(rows, weights[user])), encoding="utf-8")
    files = svd.files if with_levels else {
        name: file for name, file in svd.files.items() if name not in ("user_bias", "global_mean")}
    index = built(svd.folder / "folded" / f"svd{with_levels:d}", history=path, trained_until=CUT, fold_in="ridge",
                  regularization=0.8, **files)
    manifest = json.loads((current_version(index) / "manifest.json").read_text())
    assert manifest["foldIn"]["solvedUsers"] == 5 and manifest["users"] == len(svd.users) + 5
    stored = Stored.read(current_version(index))
    with Server(index, log=svd.folder / "fold.log") as server, server.connect() as c:
        for user, rows in histories.items():
            left = weights[user] - mean - biases[rows]
            if with_levels:
                solved = ridge(np.column_stack([items[rows], np.ones(len(rows))]), left, 0.8)
            else:
                solved = np.append(ridge(items[rows], left, 0.8), 0)
            wanted = np.append(solved[:-1], mean + solved[-1])
            assert np.abs(stored.vectors[user] - wanted).max() < 1e-5 * max(1, np.abs(wanted).max())
            scores = np.array([float(s) for s in c.call("SCORE", user, len(svd.items), *svd.items)])
            assert np.abs(scores - (wanted[-1] + biases + items @ solved[:-1])).max() < 2e-5
        worst, _ = compare(c, svd, svd.users[:5]) if with_levels else (0, 0)
        assert worst < 1e-5, "users whom the trainer knew keep its vectors"


# --- Users as of now ---------------------------------------------------------------------------------------------------


def test_events_are_ratings_of_a_biased_model(svd):
    """New users by their events and by HISTORY, beside NumPy: scores, what is left out, and what made a score."""
    items, biases, mean = np.load(svd.files["vectors"]), np.load(svd.files["bias"]), float(svd.files["global_mean"])
    rows = {item: np.append(items[n], 1.0) for n, item in enumerate(svd.items)}
    bias = dict(zip(svd.items, biases))
    history = svd.folder / "one.tsv"
    history.write_text("".join(f"trained\t{item}\t{2 + n / 2}\n" for n, item in enumerate(svd.items[:6])))
    index = built(svd.folder / "live" / "svd", history=history, trained_until=CUT, fold_in="ridge", regularization=0.5,
                  **svd.files)

    def inverse(ratings):
        design = np.array([rows[item] for item in ratings])
        return np.linalg.inv(design.T @ design + 0.5 * np.eye(13))

    def parts(item, ratings):
        solve = inverse(ratings)
        return {rated: rows[item] @ solve @ rows[rated] * (weight - mean - bias[rated]) for rated, weight in ratings.items()}

    def prediction(item, ratings):
        return mean + bias[item] + sum(parts(item, ratings).values())

    def check(c, user, ratings):
        scores = c.call("SCORE", user, 40, *svd.items[:40])
        assert max(abs(float(s) - prediction(i, ratings)) for i, s in zip(svd.items[:40], scores)) < 1e-5
        expected = {item: prediction(item, ratings) for item in svd.items if item not in ratings}
        answer = pairs(c.call("TOPK", user, 10, "TRUTH", "WITHSCORES"))
        for (item, score), wanted in zip(answer, sorted(expected.values(), reverse=True), strict=False):
            assert abs(expected[item.decode()] - wanted) < 1e-5 and abs(score - wanted) < 1e-5
        assert len(answer) == 10
        for item in (svd.items[50], next(iter(ratings))):
            reply = c.call("EXPLAIN", user, item, "COUNT", 3)
            fields = dict(zip([key.decode() for key in reply[::2]], reply[1::2]))
            made = parts(item, ratings)
            assert abs(float(fields["baseline"]) - mean - bias[item]) < 1e-5 and fields["events"] == len(ratings)
            shown = [(name.decode(), float(part)) for name, _, part in fields["contributions"]]
            assert all(abs(made[name] - part) < 1e-5 for name, part in shown) and len(shown) == min(3, len(ratings))
            total = float(fields["baseline"]) + sum(part for _, part in shown) + float(fields["rest"])
            assert abs(total - float(fields["score"])) < 1e-5 and abs(total - prediction(item, ratings)) < 1e-5

    state = svd.folder / "live-state"
    with Server(index, log=svd.folder / "live.log", options=["--state", state]) as server, server.connect() as c:
        ratings = {}
        for item, weight in zip(svd.items[100:140:4], [5, 1, 4.5, 3, 2, 5, 5, 1.5, 4, 3.5]):
            assert c.call("EVENT", "somebody", item, weight) == "OK"
            ratings[item] = weight
            check(c, "somebody", ratings)
        session = list(ratings.items())[:4]
        answer = c.call("TOPK", "nobody", 10, "HISTORY", 4, *[i for i, _ in session], "WEIGHTS", *[w for _, w in session],
                        "TRUTH", "WITHSCORES")
        for item, score in pairs(answer):
            assert abs(score - prediction(item.decode(), dict(session))) < 1e-5
        # The build solved for this one; an event comes on top of what it read.
        trained = {item: 2 + n / 2 for n, item in enumerate(svd.items[:6])}
        check(c, "trained", trained)
        c.call("EVENT", "trained", svd.items[7], 1)
        check(c, "trained", trained | {svd.items[7]: 1})
        # A known user without a history keeps the trainer's vector.
        c.call("EVENT", svd.users[0], svd.items[7], 1)
        expected = svd.predictions(svd.users[0])
        scores = c.call("SCORE", svd.users[0], 20, *svd.items[:20])
        assert max(abs(float(s) - expected[i]) for i, s in zip(svd.items, scores)) < 1e-5
        reply = c.call("WHYNOT", svd.users[0], svd.items[8], 1)
        fields = dict(zip([key.decode() for key in reply[::2]], reply[1::2]))
        assert abs(float(fields["score"]) - expected[svd.items[8]]) < 1e-5


# --- Ties, efforts, formats --------------------------------------------------------------------------------------------


def test_scores_that_a_large_constant_makes_equal(folder):
    """μ + b_u so large that float32 holds no difference below 1/128: equal scores come in the order of ids."""
    place = folder / "bias" / "ties"
    place.mkdir(parents=True)
    rng = annex.generator("bias ties")
    items, users = rng.integers(-8, 9, (500, 6)) / 64, rng.integers(-8, 9, (12, 6)) / 8
    biases, levels = rng.integers(-30, 31, 500) / 512, rng.integers(-9, 10, 12).astype(float)
    for name, array in (("y", items), ("x", users), ("b", biases), ("l", levels)):
        np.save(place / f"{name}.npy", array)
    ids = [f"i{n}" for n in rng.permutation(500)]
    index = built(place / "ties", vectors=place / "y.npy", users=place / "x.npy", bias=place / "b.npy",
                  user_bias=place / "l.npy", global_mean=1e5, ids=annex.save_ids(place / "ids.txt", ids),
                  user_ids=annex.save_ids(place / "users.txt", [f"u{n}" for n in range(12)]))
    equal = 0
    with Server(index, log=place / "ties.log") as server, server.connect() as c:
        for user in range(12):
            dots = (items @ users[user] + biases).astype(np.float32)
            assert (dots == items @ users[user] + biases).all(), "sums are exact"
            scores = dots + np.float32(1e5 + levels[user])
            order = sorted(range(500), key=lambda n: (-scores[n], ids[n].encode()))
            for k in (1, 7, 60, 499, 500):
                answer = pairs(c.call("TOPK", f"u{user}", k, "TRUTH", "WITHSCORES"))
                assert [(i.decode(), np.float32(s)) for i, s in answer] == [(ids[n], scores[n]) for n in order[:k]]
            equal += int(scores[order[6]] == scores[order[7]])
    assert equal > 3, "the seventh and the eighth are often equal"


def test_bench_and_tune_measure_it(svd, svd_index):
    lines = json.loads(run_annctl("bench", "index", svd_index, "--json", "--rounds", 1, check=True).stdout)
    assert lines["dimension"] == 12 and lines["lines"][-1]["recall"] == 1
    for queries in ("items", svd.files["users"]):
        done = run_annctl("bench", "index", svd_index, "--rounds", 1, "--queries", queries, check=True)
        assert "recall" in done.stdout
    run_annctl("tune", svd_index, check=True)


def test_a_recipe_says_it_too(svd):
    """The same build by recipe.yaml, biases as text: the same rows."""
    place = svd.folder / "recipes" / "shop"
    place.mkdir(parents=True)
    for name in ("bi", "bu"):
        text = "\n".join(repr(float(v)) for v in np.load(svd.folder / f"{name}.npy"))
        (place / f"{name}.txt").write_text(text)
    (place / "recipe.yaml").write_text(
        f"name: shop\nvectors: {svd.files['vectors']}\nids: {svd.files['ids']}\nusers: {svd.files['users']}\n"
        f"user-ids: {svd.files['user_ids']}\nbias: bi.txt\nuser-bias: bu.txt\nglobal-mean: {svd.files['global_mean']}\n"
        "index: Flat\nthreads: 1\n", encoding="utf-8")
    run_annctl("build", place / "recipe.yaml", check=True)
    flags = built(svd.folder / "recipes" / "flags" / "shop", **svd.files)
    for file in ("vectors.f32", "users/03.lmdb", "items.lmdb"):
        assert (current_version(place) / file).read_bytes() == (current_version(flags) / file).read_bytes(), file
    manifest = json.loads((current_version(place) / "manifest.json").read_text())
    assert manifest["recipe"]["bias"] == "bi.txt" and manifest["recipe"]["global-mean"] == svd.files["global_mean"]


def test_bad_biases_stop_the_build_or_leave_their_row_out(svd):
    biases = np.load(svd.folder / "bi.npy")
    biases[4] = np.nan
    np.save(svd.folder / "nan.npy", biases)
    done = build(svd.folder / "bad" / "shop", **{**svd.files, "bias": svd.folder / "nan.npy"})
    assert done.returncode == 1 and "nan.npy:5" in done.stderr, said(done)
    done = build(svd.folder / "bad" / "shop", skip_bad_rows=True, **{**svd.files, "bias": svd.folder / "nan.npy"})
    assert done.returncode == 0 and f"{len(svd.items) - 1} items" in done.stdout, said(done)
    with Server(svd.folder / "bad" / "shop", log=svd.folder / "bad.log") as server, server.connect() as c:
        assert c.call("VISMEMBER", "shop", svd.items[4]) == 0
        expected = svd.predictions(svd.users[3])
        for item in (svd.items[3], svd.items[5]):
            assert abs(float(c.call("SCORE", svd.users[3], 1, item)[0]) - expected[item]) < 1e-5


@pytest.mark.parametrize("change, words", [
    (dict(metric="cosine"), "bias on metric cosine"), (dict(metric="l2"), "bias on metric l2"),
    (dict(bias=None), "user-bias without bias"), (dict(bias=None, user_bias=None), "global-mean without bias"),
    (dict(users=None, user_ids=None), "user-bias without users"),
    (dict(fold_in="als", regularization=1), "fold-in als with bias"),
    (dict(global_mean="nan"), "global-mean"), (dict(global_mean="1e39"), "global-mean"),
    (dict(bias="bu.npy"), "biases for"), (dict(user_bias="bi.npy"), "biases for"), (dict(bias="qi.npy"), "one-dimensional"),
    (dict(bias="absent.npy"), "cannot open"), (dict(bias="words.txt"), "words.txt:2"), (dict(bias="ids.npy"), "numbers"),
    (dict(implicit_factors="qi.npy"), "implicit-factors without a history"),
])
def test_what_is_refused(svd, change, words):
    (svd.folder / "words.txt").write_text("0.5\nhigh\n")
    np.save(svd.folder / "ids.npy", np.array(svd.items))
    options = {**svd.files, **change}
    for name in ("bias", "user_bias", "implicit_factors"):
        if isinstance(options.get(name), str):
            options[name] = svd.folder / options[name]
    done = build(svd.folder / "refused" / "shop", **{k: v for k, v in options.items() if v is not None})
    assert done.returncode in (1, 64) and words in done.stderr, said(done)
    assert not annex.versions_of(svd.folder / "refused" / "shop")
