#!/usr/bin/env python3
"""Exact truth, PCA and clusters for the experiments in this folder, as .npy files in one folder.

    prepare.py items.npy queries.npy work/ [--lists 2048 --iterations 10 --sample 262144 --name 2048]

Writes, once: truth.npy (queries x 10, cosine), rotation.npy (PCA of the normalised rows, largest first). For each set of
lists: centroids-NAME.npy (unit length) and lists-NAME.npy (items x 2: the nearest list, and the second one that SOAR would
choose: smallest |r'|^2 + (r' . r / |r|)^2 among the 12 nearest), gap-NAME.npy (that cost over the first's |r|^2: small =
on a border). Needs numpy and faiss. One thread.
"""
import argparse
import time
from pathlib import Path

import faiss
import numpy as np


def normalised(path, count=None):
    rows = np.array(np.load(path, mmap_mode="r")[:count], np.float32)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-30)
    return rows


def clusters(items, lists, iterations, sample, seed):
    generator = np.random.default_rng(seed)
    picked = items if sample >= len(items) else items[np.sort(generator.choice(len(items), sample, replace=False))]
    kmeans = faiss.Kmeans(items.shape[1], lists, niter=iterations, spherical=True, seed=seed, verbose=False,
                          min_points_per_centroid=1, max_points_per_centroid=10**9)
    kmeans.train(picked)
    return kmeans.centroids


def assign(items, centroids, soar=1.0):
    index = faiss.IndexFlatIP(centroids.shape[1])
    index.add(centroids)
    lists, gaps = np.empty((len(items), 2), np.int32), np.empty(len(items), np.float32)
    for at in range(0, len(items), 65536):
        rows = items[at:at + 65536]
        _, near = index.search(rows, 12)
        first = rows - centroids[near[:, 0]]
        square = np.einsum("ij,ij->i", first, first)
        cost = np.empty((len(rows), near.shape[1] - 1), np.float32)
        for j in range(1, near.shape[1]):
            other = rows - centroids[near[:, j]]
            along = np.einsum("ij,ij->i", other, first)
            cost[:, j - 1] = np.einsum("ij,ij->i", other, other) + soar * along * along / np.maximum(square, 1e-12)
        best = cost.argmin(1)
        place = np.arange(len(rows))
        lists[at:at + len(rows), 0] = near[:, 0]
        lists[at:at + len(rows), 1] = near[place, best + 1]
        gaps[at:at + len(rows)] = cost[place, best] / np.maximum(square, 1e-12)
    return lists, gaps


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("items")
    parser.add_argument("queries")
    parser.add_argument("work")
    parser.add_argument("--count", type=int, default=2000, help="queries")
    parser.add_argument("--lists", type=int, default=2048)
    parser.add_argument("--iterations", type=int, default=10)
    parser.add_argument("--sample", type=int, default=262144)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--name")
    options = parser.parse_args()
    faiss.omp_set_num_threads(1)
    work = Path(options.work)
    work.mkdir(parents=True, exist_ok=True)
    name = options.name or str(options.lists)
    items = normalised(options.items)
    start = time.process_time()
    if not (work / "truth.npy").exists():
        exact = faiss.IndexFlatIP(items.shape[1])
        exact.add(items)
        np.save(work / "truth.npy", exact.search(normalised(options.queries, options.count), 10)[1].astype(np.int32))
        print(f"truth: {time.process_time() - start:.0f} s of CPU")
    if not (work / "rotation.npy").exists():
        values, vectors = np.linalg.eigh((items.T @ items / len(items)).astype(np.float64))
        order = np.argsort(-values)
        np.save(work / "rotation.npy", np.ascontiguousarray(vectors[:, order]).astype(np.float32))
        energy = np.cumsum(values[order]) / values.sum()
        queries = normalised(options.queries, options.count) @ vectors[:, order]
        theirs = np.cumsum((queries**2).mean(0)) / (queries**2).mean(0).sum()
        for dimensions in (1, 8, 16, 32, 48, 64, 80, 96, 112, 128):
            print(f"PCA {dimensions}: items' energy {energy[dimensions - 1]:.3f}, queries' {theirs[dimensions - 1]:.3f}")
    start = time.process_time()
    centroids = clusters(items, options.lists, options.iterations, options.sample, options.seed)
    middle = time.process_time()
    lists, gaps = assign(items, centroids)
    np.save(work / f"centroids-{name}.npy", centroids)
    np.save(work / f"lists-{name}.npy", lists)
    np.save(work / f"gap-{name}.npy", gaps)
    cosine = np.mean(np.einsum("ij,ij->i", items[::10], centroids[lists[::10, 0]]))
    print(f"{name}: k-means {middle - start:.0f} s, assignment {time.process_time() - middle:.0f} s of CPU; "
          f"mean cosine to the centroid {cosine:.4f}")


if __name__ == "__main__":
    main()
