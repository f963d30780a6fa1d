"""At the size of a real catalogue: ALS factors of Gowalla (40,981 items, 29,858 users, 128 dimensions).

The data is not part of the project. The test looks for it in ANNEX_GOWALLA, or in ../shared/data/gowalla beside the
project, and is skipped where it finds none.
"""

import os
import time
from pathlib import Path

import numpy as np
import pytest

import annex
from annex import Server, built, pairs

USERS = 500


def data() -> Path | None:
    place = Path(os.environ.get("ANNEX_GOWALLA", annex.PROJECT.parent / "shared" / "data" / "gowalla"))
    return place if (place / "item_factors.npy").is_file() else None


@pytest.fixture(scope="module", params=["auto", "HNSW32"])
def gowalla(folder, request):
    place = data()
    if place is None:
        pytest.skip("no Gowalla factors: set ANNEX_GOWALLA to a folder with item_factors.npy and user_factors.npy")
    items, users = np.load(place / "item_factors.npy"), np.load(place / "user_factors.npy")
    ids, user_ids = [str(n) for n in range(len(items))], [str(n) for n in range(len(users))]
    inputs = folder / "input" / f"gowalla-{request.param}"
    inputs.mkdir(parents=True)
    started = time.monotonic()
    index = built(
        folder / "indexes" / request.param / "gowalla", vectors=place / "item_factors.npy", ids=annex.save_ids(inputs / "ids.txt", ids),
        users=place / "user_factors.npy", user_ids=annex.save_ids(inputs / "users.txt", user_ids), metric="ip",
        index=request.param, recall=0.99, threads=os.cpu_count() or 1, timeout=900,
    )
    build_seconds = time.monotonic() - started
    with Server(index, log=folder / f"gowalla-{request.param}.log") as server:
        yield server, annex.Catalogue(ids, items, user_ids, users, "ip"), f"{request.param}, built in {build_seconds:.1f} s"


def test_truth_equals_numpy_and_recall_holds(gowalla, fact):
    server, catalogue, what = gowalla
    chosen = annex.generator("gowalla").choice(len(catalogue.users), USERS, replace=False)
    exact = catalogue.users[chosen].astype(np.float64) @ catalogue.items.astype(np.float64).T
    recalls, worst = [], 0.0
    with server.connect(timeout=60) as c:
        for user, scores in zip(chosen, exact):
            order = np.argsort(-scores, kind="stable")[:11]
            truth = pairs(c.call("TOPK", str(user), 10, "TRUTH", "WITHSCORES"))
            ids, got = [int(i) for i, _ in truth], np.array([s for _, s in truth])
            relative = np.abs(got - scores[ids]) / np.maximum(np.abs(scores[ids]), 1e-12)
            worst = max(worst, float(relative.max()))
            # Equal ids, but where float32 cannot tell two neighbours apart.
            gaps = np.abs(np.diff(scores[order])) / np.abs(scores[order][:-1])
            for place in range(10):
                near = gaps[place] < 1e-6 or (place > 0 and gaps[place - 1] < 1e-6)
                assert ids[place] == order[place] or near, f"user {user}, place {place}"
            found = {int(i) for i in c.call("TOPK", str(user), 10)}
            recalls.append(len(found & set(order[:10].tolist())) / 10)
    fact(f"Gowalla, {what}; {USERS} users: largest relative error of TRUTH {worst:.1e}, "
         f"recall@10 {np.mean(recalls):.4f} at the default effort, worst user {min(recalls):.1f}")
    assert worst <= 1e-5
    assert np.mean(recalls) >= 0.99


@pytest.mark.parametrize("left_out", [10, 30, 100])
def test_recall_holds_where_a_user_has_seen_the_best(gowalla, fact, left_out):
    server, catalogue, what = gowalla
    chosen = annex.generator("gowalla").choice(len(catalogue.users), USERS, replace=False)
    exact = catalogue.users[chosen].astype(np.float64) @ catalogue.items.astype(np.float64).T
    recalls = []
    with server.connect(timeout=60) as c:
        for user, scores in zip(chosen, exact):
            order = np.argsort(-scores, kind="stable")[:left_out + 10].tolist()
            found = [int(i) for i in c.call("TOPK", str(user), 10, "EXCLUDE", left_out, *order[:left_out])]
            assert len(found) == 10 and not set(found) & set(order[:left_out])
            recalls.append(len(set(found) & set(order[left_out:])) / 10)
    fact(f"Gowalla, {what}; {USERS} users who have seen their best {left_out}: recall@10 {np.mean(recalls):.4f} of the rest, "
         f"worst user {min(recalls):.1f}")
    assert np.mean(recalls) >= 0.985
