"""Indexes and servers that many tests share; built once per run from small seeded matrices."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

import pytest

import annex
import live
from cluster import Cluster
from cluster_network import Loopback, Namespaces


def pytest_report_header(config):
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=annex.PROJECT, capture_output=True, text=True
    ).stdout.strip()
    return [
        f"annctl: {os.environ.get('ANNCTL', 'from PATH')}",
        f"seed: {annex.SEED} (ANNEX_SEED), commit: {commit or 'unknown'}, machine: {platform.machine()}, "
        f"{os.cpu_count()} cores, kernel {platform.release()}",
    ]


# What `tools/test --quick` runs: files that show plain meaning in seconds. A test among them that takes long is marked `slow`.
QUICK = {
    "test_10_oracle", "test_12_inputs", "test_20_redis_py", "test_21_tools", "test_22_languages", "test_23_transactions",
    "test_30_limits", "test_40_versions", "test_60_live_users", "test_60_forgetting", "test_60_reasons", "test_90_deploy",
    "test_91_kubernetes", "test_94_units", "test_95_docs",
}


def pytest_collection_modifyitems(items):
    files = {item.path.stem for item in items}
    if len(files) > len(QUICK):  # not where files were named
        assert QUICK <= files, f"QUICK in conftest.py names what is not there: {sorted(QUICK - files)}"
    for item in items:
        if item.path.stem in QUICK and item.get_closest_marker("slow") is None:
            item.add_marker("quick")


@pytest.fixture(scope="session", autouse=True)
def many_descriptors():
    annex.raise_descriptor_limit()


_facts: list[str] = []


@pytest.fixture
def fact():
    """fact("kills: 12"): a number that belongs in the report; printed at the end of the run."""
    return _facts.append


def pytest_terminal_summary(terminalreporter):
    if _facts:
        terminalreporter.section("counted")
        for line in _facts:
            terminalreporter.line(line)


# Every kind of index × metric that the oracle tests look at: name -> (metric, FAISS factory string).
KINDS = {
    "ip-flat": ("ip", "Flat"),
    "ip-hnsw": ("ip", "HNSW16"),
    "ip-ivf": ("ip", "IVF16,Flat"),
    "ip-pq": ("ip", "IVF8,PQ12"),
    "cosine-flat": ("cosine", "Flat"),
    "cosine-hnsw": ("cosine", "HNSW16,SQ8"),
    "cosine-ivf": ("cosine", "IVF16,SQ8"),
    "l2-flat": ("l2", "Flat"),
    "l2-hnsw": ("l2", "HNSW16"),
    "l2-pq": ("l2", "IVF8,PQ12"),
}
# Asked of the build. PQ of 24 random dimensions is coarse; exact rescoring of a few candidates cannot mend all of it.
RECALL = {name: 0.5 if name.endswith("pq") else 0.95 for name in KINDS}


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("annex")


@pytest.fixture(scope="session")
def catalogues(folder) -> dict[str, annex.Catalogue]:
    found = {name: annex.make_catalogue(name, metric) for name, (metric, _) in KINDS.items()}
    found["ties"] = annex.make_catalogue("ties", "ip", items=900, users=40, dimension=16, integers=True)
    return found


@pytest.fixture(scope="session")
def indexes(folder, catalogues) -> dict[str, Path]:
    out = {}
    for name, catalogue in catalogues.items():
        _, kind = KINDS.get(name, ("ip", "Flat"))
        files = annex.save_catalogue(catalogue, folder / "input" / name)
        out[name] = annex.built(folder / "indexes" / name, index=kind, recall=RECALL.get(name, 0.9), **files)
    return out


@pytest.fixture(scope="session")
def server(folder, indexes):
    """One server over all the indexes; tests of one index name it with INDEX."""
    with annex.Server(*indexes.values(), log=folder / "server.log") as running:
        yield running


@pytest.fixture
def connection(server):
    with server.connect() as c:
        yield c


@pytest.fixture(scope="session")
def single(folder, indexes):
    """A server over one index, so that INDEX may be left out."""
    with annex.Server(indexes["ip-hnsw"], log=folder / "single.log") as running:
        yield running


@pytest.fixture
def fresh(folder, indexes, tmp_path):
    """A server of the test's own, for what may upset one."""
    with annex.Server(indexes["ip-hnsw"], log=tmp_path / "server.log") as running:
        yield running


@pytest.fixture(scope="session")
def small(folder) -> tuple[annex.Catalogue, dict]:
    """A small catalogue and its files, for tests that build versions of their own."""
    catalogue = annex.make_catalogue("small", "ip", items=300, users=20, dimension=8)
    return catalogue, annex.save_catalogue(catalogue, folder / "input" / "small")


@pytest.fixture(scope="session")
def als_shop(folder):
    """An index that folds in, for the tests of live users; each module serves it with a state of its own."""
    return live.make_shop(folder / "live", "als")


# A cluster that tests share, mended after each.


@pytest.fixture(scope="session")
def cluster_catalogue():
    return annex.make_catalogue("cluster", "ip", items=2000, users=40, dimension=16)


@pytest.fixture(scope="session")
def cluster_index(cluster_catalogue, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cluster-index")
    files = annex.save_catalogue(cluster_catalogue, folder / "input")
    return annex.built(folder / "shop", fold_in="als", regularization=0.7, alpha=5, **files)


@pytest.fixture(scope="session")
def cluster_network():
    """Namespaces where they can be made; elsewhere loopback, and what needs a cut is skipped."""
    try:
        Namespaces.skip_unless_possible()
        network = Namespaces()
    except pytest.skip.Exception:
        network = Loopback()
    with network:
        yield network


@pytest.fixture(scope="session")
def whole_cluster(cluster_index, cluster_network, tmp_path_factory):
    with Cluster(cluster_index, tmp_path_factory.mktemp("cluster"), cluster_network, serve_options=["--max-lag", 4]) as cluster:
        yield cluster


@pytest.fixture
def cluster(whole_cluster):
    """Mended after each test, whatever it did."""
    yield whole_cluster
    whole_cluster.mend()


@pytest.fixture
def cuttable(cluster):
    if not cluster.network.can_cut:
        pytest.skip("cutting a network needs root, for network namespaces")
    return cluster
