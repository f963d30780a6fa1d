#!/usr/bin/env python3
"""ScaNN with as many leaves as the lists of the other experiments, with and without SOAR: recall and time, in turns.

    scann_lists.py items.npy queries.npy work/ [--leaves 1000 2048 2048soar]

Needs numpy and scann. One thread; all queries in one call (no Python per query). Times are CPU, medians of the rounds.
"""
import argparse
import time
from pathlib import Path

import numpy as np
import scann

from prepare import normalised


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("items")
    parser.add_argument("queries")
    parser.add_argument("work")
    parser.add_argument("--leaves", nargs="+", default=["1000", "2048", "2048soar"])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    truth = np.load(Path(options.work) / "truth.npy")
    items, queries = normalised(options.items), normalised(options.queries, len(truth))
    points = []
    for text in options.leaves:
        leaves, soar = int(text.removesuffix("soar")), text.endswith("soar")
        start = time.process_time()
        build = scann.scann_ops_pybind.builder(items, 10, "dot_product").set_n_training_threads(1)
        extra = {"soar_lambda": 1.5, "overretrieve_factor": 2.0} if soar else {}
        build = build.tree(num_leaves=leaves, num_leaves_to_search=10, training_sample_size=250_000, **extra)
        index = build.score_ah(2, anisotropic_quantization_threshold=0.2).reorder(100).build()
        print(f"{text}: built in {time.process_time() - start:.0f} s of CPU", flush=True)
        probes = (16, 20, 24, 30) if leaves <= 1000 else (10, 14, 20, 28) if soar else (16, 24, 32, 40)
        points += [(text, index, probe, rescored) for probe in probes for rescored in (100, 175, 250)]
    times = [[] for _ in points]
    recalls = [0.0] * len(points)
    for _ in range(options.rounds):
        for at, (_, index, probe, rescored) in enumerate(points):
            start = time.process_time()
            found = index.search_batched(queries, 10, rescored, probe)[0]
            times[at].append((time.process_time() - start) / len(queries) * 1e6)
            recalls[at] = (found[:, :, None] == truth[:, None, :]).any(2).mean()
    print("| leaves | searched | rescored | recall@10 | us CPU (smallest) |\n|---|---|---|---|---|")
    for (text, _, probe, rescored), value, taken in zip(points, recalls, times):
        print(f"| {text} | {probe} | {rescored} | {value:.4f} | {np.median(taken):.1f} ({min(taken):.1f}) |")


if __name__ == "__main__":
    main()
