"""annctl bench index, tune, verify --all, auto, and FAISS's own search, as processes, against NumPy."""

import json
import shutil
import xml.etree.ElementTree

import numpy as np
import pytest

import annex

ROWS, USERS, DIMENSION = 3_000, 200, 24


@pytest.fixture(scope="module", params=["ip", "cosine", "l2"])
def shop(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(f"bench-{request.param}")
    random = np.random.default_rng(annex.SEED)
    items = random.normal(size=(ROWS, DIMENSION)).astype(np.float32) * random.gamma(1, size=(ROWS, 1)).astype(np.float32)
    users = random.normal(size=(USERS, DIMENSION)).astype(np.float32)
    for name, rows, prefix in (("items", items, "i"), ("users", users, "u")):
        np.save(folder / f"{name}.npy", rows)
        # In the order of rows, which is that of the bytes of ids: an ordinal is a row.
        (folder / f"{name}.txt").write_text("".join(f"{prefix}{n:05d}\n" for n in range(len(rows))))
    index = annex.built(
        folder / "shop", vectors=folder / "items.npy", ids=folder / "items.txt", users=folder / "users.npy",
        user_ids=folder / "users.txt", metric=request.param, index="auto", recall=0.95)
    return index, items, users, request.param


def scores(items, users, metric):
    if metric == "l2":
        return -((users**2).sum(1)[:, None] - 2 * users @ items.T + (items**2).sum(1))
    product = users.astype(np.float64) @ items.T.astype(np.float64)
    return product / np.linalg.norm(items, axis=1) if metric == "cosine" else product


def test_auto_says_what_it_tried(shop):
    index, _, _, metric = shop
    manifest = json.loads((annex.current_version(index) / "manifest.json").read_text())
    kinds = [c["kind"] for c in manifest["candidates"]]
    assert manifest["kind"] in kinds and len(kinds) >= 2 and kinds[0] == "Flat"
    report = json.loads((annex.current_version(index) / "report.json").read_text())
    micros = {c["kind"]: c["meanMicros"] for c in report["candidates"]}
    for candidate in manifest["candidates"]:
        if "recall" in candidate:
            assert candidate["recall"] >= 0.93
        else:  # given up, as it was slower than another
            assert candidate["kind"] != manifest["kind"] and micros[candidate["kind"]] > min(micros.values())
    assert [c["kind"] for c in report["candidates"]] == kinds and all(c["meanMicros"] > 0 for c in report["candidates"])


def test_bench_counts_what_numpy_counts(shop):
    """Exact answers that exist in somebody's top 10: the same number; recall of the exact search: 1."""
    index, items, users, metric = shop
    done = annex.run_annctl("bench", "index", index, "--effort", "exact", "--json", "--rounds", 1, check=True)
    report = json.loads(done.stdout)
    top = np.argsort(-scores(items, users, metric), axis=1, kind="stable")[:, :10]
    assert report["queries"] == USERS and report["itemsInTruth"] == len(np.unique(top))
    [line] = report["lines"]
    assert line["recall"] == 1 and line["worst"] == 1 and line["neverReturned"] == 0
    assert 0 < line["p50"] <= line["p90"] <= line["p99"] <= line["p999"] and line["queriesPerSecond"] > 0


@pytest.mark.parametrize("option", [["--exclude-random", 1_000], ["--exclude-top", 300], ["--k", 100]])
def test_bench_with_items_left_out_is_still_exact(shop, option):
    index, *_ = shop
    done = annex.run_annctl("bench", "index", index, "--effort", "exact", "--json", "--count", 50, *option, check=True)
    [line] = json.loads(done.stdout)["lines"]
    assert line["recall"] == 1
    # What leaves items out stands beside the same searches with nothing left out.
    assert ("p50LeavingNothingOut" in line) == option[0].startswith("--exclude")
    assert line.get("p50LeavingNothingOut", 1) > 0


@pytest.mark.parametrize(
    "arguments, word",
    [(["--effort", "kappa 0"], "no effort"), (["--effort", "speed 9"], "no effort"), (["--effort", "ef 99999999999999999999"], "no effort"),
     (["--k", "0"], "--k"), (["--count", "0"], "--count"), (["--queries", "/nonexistent.npy"], "nonexistent"),
     (["--exclude-top", "1", "--exclude-random", "1"], "exclude one another")])
def test_bench_refuses(shop, arguments, word):
    done = annex.run_annctl("bench", "index", shop[0], *arguments)
    assert done.returncode != 0 and word in annex.said(done)


def test_tune_marks_what_nothing_beats_and_draws_it(shop, tmp_path):
    index, *_ = shop
    drawing = tmp_path / "tune.svg"
    done = annex.run_annctl(
        "tune", index, "--kind", "Flat", "--kind", "IVF16,SQ8", "--kind", "HNSW8", "--count", 100, "--json", "--svg", drawing,
        check=True)
    points = json.loads(done.stdout)
    assert {p["kind"] for p in points} == {"Flat", "IVF16,SQ8", "HNSW8"}
    for point in points:
        beaten = any(o["recall"] >= point["recall"] and o["micros"] < point["micros"] for o in points)
        assert point["isPareto"] == (not beaten)
    root = xml.etree.ElementTree.parse(drawing).getroot()
    assert len(root.findall(".//{*}circle")) == len(points) and len(root.findall(".//{*}polyline")) == 3
    assert annex.versions_of(index) == [annex.current_version(index).name], "nothing was published"


def test_verify_all_finds_a_damaged_version_that_is_not_current(shop, tmp_path):
    index, *_ = shop
    copy = tmp_path / "shop"
    annex.run_annctl("verify", index, "--all", check=True)
    shutil.copytree(index, copy, symlinks=True)
    annex.flip_bit(annex.current_version(copy) / "serving.bin", 5_000, 3)
    # `current` goes away: the version is still there, and looked at.
    (copy / "current").unlink()
    assert "no version is current" in annex.said(annex.run_annctl("verify", copy))
    done = annex.run_annctl("verify", copy, "--all")
    assert done.returncode == 1 and "serving.bin" in annex.said(done)


def test_faiss_alone_serves_the_same_truth(shop, tmp_path):
    index, items, users, metric = shop
    with annex.Server(index, log=tmp_path / "log", options=["--engine", "faiss"]) as server, server.connect() as link:
        top = np.argsort(-scores(items, users, metric), axis=1, kind="stable")[:, :10]
        for number in range(0, USERS, 20):
            answer = link.call("TOPK", f"u{number:05d}", 10, "TRUTH")
            assert [int(i[1:]) for i in answer] == list(top[number])
            assert len(link.call("TOPK", f"u{number:05d}", 10)) == 10
