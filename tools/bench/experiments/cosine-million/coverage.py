#!/usr/bin/env python3
"""How many items a perfect scan of the nearest lists reads for a recall: the bound on any code over these lists.

    coverage.py items.npy queries.npy work/ NAME...      (NAMEs given to prepare.py)

Ranks lists by the product with the centroid's direction and with the lists' mean, without and with items spilled to a
second list (the share with the smallest gaps). Prints nprobe and mean items read at recall 0.98, 0.99. Needs numpy.
"""
import argparse
from pathlib import Path

import numpy as np

from prepare import normalised


def curve(ranks_of_list, sizes, lists_of_truth):
    """ranks_of_list: queries x lists; lists_of_truth: queries x 10 x (1 or 2), -1 for none."""
    query = np.arange(len(ranks_of_list))[:, None, None]
    rank = np.where(lists_of_truth >= 0, ranks_of_list[query, np.maximum(lists_of_truth, 0)], 1 << 30).min(2)
    order = np.argsort(ranks_of_list, axis=1)
    read = np.cumsum(sizes[order[:, :512]], axis=1).mean(0)
    recall = np.array([(rank < probes).mean() for probes in range(1, 513)])
    return recall, read


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("items")
    parser.add_argument("queries")
    parser.add_argument("work")
    parser.add_argument("names", nargs="+")
    options = parser.parse_args()
    work = Path(options.work)
    truth = np.load(work / "truth.npy")
    items = normalised(options.items)
    queries = normalised(options.queries, len(truth))
    print("| lists | ranked by | spilled | 0.98: nprobe, items, + centroids | 0.99: nprobe, items, + centroids |\n|---|---|---|---|---|")
    for name in options.names:
        centroids, lists, gap = (np.load(work / f"{kind}-{name}.npy") for kind in ("centroids", "lists", "gap"))
        count = len(centroids)
        sums = np.stack([np.bincount(lists[:, 0], items[:, d], count) for d in range(items.shape[1])], 1)
        means = (sums / np.maximum(np.bincount(lists[:, 0], minlength=count), 1)[:, None]).astype(np.float32)
        for how, points, shares in (("direction", centroids, (0, 0.2, 0.5, 1)), ("mean", means, (0,))):
            order = np.argsort(-(queries @ points.T), axis=1)
            ranks = np.empty_like(order)
            np.put_along_axis(ranks, order, np.broadcast_to(np.arange(count), order.shape), axis=1)
            for share in shares:
                spilled = gap <= np.quantile(gap, share) if share else np.zeros(len(gap), bool)
                sizes = np.bincount(lists[:, 0], minlength=count) + np.bincount(lists[spilled, 1], minlength=count)
                both = np.where(np.stack([np.ones_like(spilled), spilled], 1), lists, -1)
                recall, read = curve(ranks, sizes, both[truth])
                cells = []
                for wanted in (0.98, 0.99):
                    at = int(np.argmax(recall >= wanted))
                    cells.append(f"{at + 1}, {read[at]:,.0f}, {read[at] + count:,.0f}")
                print(f"| {name} | {how} | {share:.0%} | {cells[0]} | {cells[1]} |", flush=True)


if __name__ == "__main__":
    main()
