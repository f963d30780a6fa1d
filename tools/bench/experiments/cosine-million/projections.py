#!/usr/bin/env python3
"""What fewer dimensions can give at best: an exhaustive pass over d of them, the best R rescored exactly; and graphs.

    projections.py items.npy queries.npy work/ [--graph 200000]

"PCA" keeps the directions with most of the items' energy; "queries" those that matter most to the products with queries of
the other half of the file (PCA of C^1/2 x, C the queries' second moments; the query is multiplied by C^-1/2). No graph
over d dimensions finds more than the exhaustive pass (lists may, a little, where all dimensions choose them). --graph:
hnswlib over the first N items in 64 and 96 PCA dimensions, the best ef rescored by all, and in 128. Needs numpy, faiss; hnswlib for --graph. One thread.
"""
import argparse
import time
from pathlib import Path

import faiss
import numpy as np

from prepare import normalised

DEPTHS = (32, 100, 250, 600, 1000)


def recall(found, truth):
    return np.mean([len(np.intersect1d(a, b)) for a, b in zip(found, truth)]) / truth.shape[1]


def rescored(items, queries, found):
    scores = np.einsum("qrd,qd->qr", items[found], queries)
    return np.take_along_axis(found, np.argsort(-scores, axis=1)[:, :10], axis=1)


def exhaustive(items, queries, depth):
    index = faiss.IndexFlatIP(items.shape[1])
    index.add(np.ascontiguousarray(items))
    return index.search(np.ascontiguousarray(queries), depth)[1]


def graphs(items, queries, rotation):
    import hnswlib
    truth = exhaustive(items, queries, 10)
    turned, asked = items @ rotation, queries @ rotation
    for dimensions in (64, 96, 128):
        start = time.process_time()
        graph = hnswlib.Index("ip", dimensions)
        graph.init_index(len(items), M=16, ef_construction=100)
        graph.set_num_threads(1)
        graph.add_items(turned[:, :dimensions], num_threads=1)
        built = time.process_time() - start
        for ef in ((16, 32, 64, 128) if dimensions == 128 else (100, 250, 600)):
            graph.set_ef(ef)
            times = []
            for _ in range(3):
                start = time.process_time()
                found = graph.knn_query(asked[:, :dimensions], 10 if dimensions == 128 else ef, num_threads=1)[0].astype(np.int64)
                times.append((time.process_time() - start) / len(queries) * 1e6)
            best = found if dimensions == 128 else rescored(items, queries, found)
            print(f"| {len(items):,} | {dimensions} | {ef} | {recall(best, truth):.4f} | {np.median(times):.0f} without rescoring | {built:.0f} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("items")
    parser.add_argument("queries")
    parser.add_argument("work")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--graph", type=int, help="instead of the exhaustive passes: graphs over so many items")
    options = parser.parse_args()
    faiss.omp_set_num_threads(1)
    work = Path(options.work)
    truth = np.load(work / "truth.npy")[:options.count]
    rotation = np.load(work / "rotation.npy")
    items = normalised(options.items, options.graph)
    queries = normalised(options.queries, len(truth))
    if options.graph:
        print("| items | dimensions | ef = R | recall@10 | us CPU | build s |\n|---|---|---|---|---|---|")
        return graphs(items, queries, rotation)
    others = normalised(options.queries)
    others = others[len(others) // 2:]
    values, vectors = np.linalg.eigh((others.T @ others / len(others)).astype(np.float64))
    root, back = (vectors * values**0.5) @ vectors.T, (vectors * values**-0.5) @ vectors.T
    weighed, directions = np.linalg.eigh(root @ np.cov(items[::10].T, bias=True) @ root)
    directions = directions[:, np.argsort(-weighed)]
    print("| projection | dimensions | " + " | ".join(f"R {depth}" for depth in DEPTHS) + " |\n|---|---|" + "---|" * len(DEPTHS))
    for name, of_items, of_queries in (("PCA", rotation, rotation), ("queries", root @ directions, back @ directions)):
        for dimensions in (64, 96):
            turn = lambda rows, matrix: rows @ np.ascontiguousarray(matrix[:, :dimensions], np.float32)
            found = exhaustive(turn(items, of_items), turn(queries, of_queries), max(DEPTHS))
            cells = [(found[:, :depth, None] == truth[:, None, :]).any(1).mean() for depth in DEPTHS]
            print(f"| {name} | {dimensions} | " + " | ".join(f"{cell:.3f}" for cell in cells) + " |", flush=True)


if __name__ == "__main__":
    main()
