"""Vectors, exact answers and recall."""

import numpy as np

EXTRA = 16  # candidates beyond k that are scored again in float64


def load(items_file, queries_file, count, seed, metric):
    """Items and `count` queries drawn by the seed, float32; and both as peers get them (normalised on cosine)."""
    items = np.ascontiguousarray(np.load(items_file), dtype=np.float32)
    queries = np.load(queries_file, mmap_mode="r")
    if items.ndim != 2 or queries.ndim != 2 or items.shape[1] != queries.shape[1]:
        raise SystemExit(f"items {items.shape} and queries {queries.shape} do not fit together")
    if count < len(queries):
        queries = queries[np.sort(np.random.default_rng(seed).choice(len(queries), count, replace=False))]
        queries = queries[np.random.default_rng(seed + 1).permutation(count)]  # any first part is a sample too
    queries = np.ascontiguousarray(queries, dtype=np.float32)
    return items, queries, prepared(items, metric), prepared(queries, metric)


def prepared(vectors, metric):
    """Unit length on cosine, where the inner product is then the cosine; else as they are."""
    if metric != "cosine":
        return vectors
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.maximum(norms, 1e-30)).astype(np.float32)


def scores(items, queries, rows, metric):
    """float64 scores, higher is better, of the items `rows[q]` for each query q."""
    out = np.empty(rows.shape, np.float64)
    step = max(1, (1 << 24) // (rows.shape[1] * items.shape[1]))
    for at in range(0, len(rows), step):
        picked = items[rows[at:at + step]].astype(np.float64)
        query = queries[at:at + step, None, :].astype(np.float64)
        out[at:at + step] = -((picked - query) ** 2).sum(-1) if metric == "l2" else (picked * query).sum(-1)
    return out


def last_scores(items, queries, k, metric):
    """The score of each query's true k-th item: float32 products in blocks find the candidates, float64 decides."""
    keep = min(k + EXTRA, len(items))
    halves = 0.5 * np.einsum("ij,ij->i", items, items) if metric == "l2" else None
    last = np.empty(len(queries))
    for at in range(0, len(queries), 512):
        block = queries[at:at + 512]
        best = np.empty((len(block), 0), np.float32)
        rows = np.empty((len(block), 0), np.int64)
        for start in range(0, len(items), 65536):
            part = block @ items[start:start + 65536].T
            if halves is not None:
                part -= halves[start:start + 65536]  # the order of -|x - q|^2
            found = np.argpartition(-part, min(keep, part.shape[1]) - 1, axis=1)[:, :keep]
            best = np.concatenate([best, np.take_along_axis(part, found, 1)], axis=1)
            rows = np.concatenate([rows, found + start], axis=1)
            if best.shape[1] > keep:
                chosen = np.argpartition(-best, keep - 1, axis=1)[:, :keep]
                best, rows = np.take_along_axis(best, chosen, 1), np.take_along_axis(rows, chosen, 1)
        last[at:at + 512] = -np.sort(-scores(items, block, rows, metric), axis=1)[:, k - 1]
    return last


def recall(items, queries, answers, last, metric):
    """Mean share of the k answers that score no worse than the true k-th; what is repeated or no item counts nothing."""
    answers = np.asarray(answers, dtype=np.int64)
    valid = (answers >= 0) & (answers < len(items))
    order = np.argsort(answers, axis=1, kind="stable")
    ordered = np.take_along_axis(answers, order, 1)
    repeated = np.zeros_like(valid)
    np.put_along_axis(repeated, order[:, 1:], ordered[:, 1:] == ordered[:, :-1], 1)
    got = scores(items, queries, np.where(valid, answers, 0), metric)
    margin = 1e-9 * np.abs(last)[:, None] + 1e-12  # what summing float64 in another order may cost
    return float(((got >= last[:, None] - margin) & valid & ~repeated).mean())
