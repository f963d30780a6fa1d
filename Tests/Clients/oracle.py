"""Seeded data sets and their exact answers, in NumPy and float64."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from seeds import generator


def save_ids(path: Path, ids: list[str]) -> Path:
    path.write_text("".join(i + "\n" for i in ids), encoding="utf-8")
    return path


@dataclass
class Catalogue:
    """A seeded data set and its exact answers, computed in float64 from the float32 rows that the index holds."""

    ids: list[str]
    items: np.ndarray
    user_ids: list[str]
    users: np.ndarray
    metric: str

    def __post_init__(self):
        self.rows = {i: n for n, i in enumerate(self.ids)}
        self.user_rows = {i: n for n, i in enumerate(self.user_ids)}

    def user(self, user: str) -> np.ndarray:
        return self.users[self.user_rows[user]]

    def item(self, item: str) -> np.ndarray:
        return self.items[self.rows[item]]

    def scores(self, query: np.ndarray) -> np.ndarray:
        x = self.items.astype(np.float32).astype(np.float64)
        q = np.asarray(query, dtype=np.float32).astype(np.float64)
        if self.metric == "l2":
            return ((x - q) ** 2).sum(axis=1)
        dots = x @ q
        if self.metric == "ip":
            return dots
        lengths = np.linalg.norm(x, axis=1) * np.linalg.norm(q)
        return np.divide(dots, lengths, out=np.zeros_like(dots), where=lengths > 0)

    def tolerance(self, query: np.ndarray) -> np.ndarray:
        """1e-5 relative; near zero, what float32 sums of these magnitudes can lose to cancellation."""
        x = np.linalg.norm(self.items.astype(np.float64), axis=1)
        q = np.linalg.norm(np.asarray(query, dtype=np.float64))
        size = {"ip": x * q, "cosine": np.ones_like(x), "l2": (x + q) ** 2}[self.metric]
        return 1e-5 * np.abs(self.scores(query)) + 1e-6 * size

    def order(self, query: np.ndarray, leave_out=()) -> list[str]:
        """All ids best first, ties by the bytes of the id."""
        scores = self.scores(query)
        sign = 1 if self.metric == "l2" else -1
        kept = [i for i in self.ids if i not in set(leave_out)]
        return sorted(kept, key=lambda i: (sign * scores[self.rows[i]], i.encode()))

    def check_exact(self, answer: list[tuple], query: np.ndarray, k: int, leave_out=(), map_score=None) -> None:
        """`answer` [(id bytes, score)] is the exact top k: right scores, right order, ties by id, nothing better left out.

        `map_score` is a rising function that the command applies to the metric's score. Rounding may make two mapped
        scores equal that were not, so ties are judged only without one.
        """
        mapped = map_score or float
        scores, tolerance = self.scores(query), self.tolerance(query)
        left_out = set(leave_out)
        eligible = [i for i in self.ids if i not in left_out]
        ids = [i.decode() if isinstance(i, bytes) else i for i, _ in answer]
        assert len(ids) == min(k, len(eligible)), f"{len(ids)} answers for k={k} of {len(eligible)}"
        assert len(set(ids)) == len(ids), "an id came twice"
        assert not left_out & set(ids), "an excluded id came"
        for (_, score), i in zip(answer, ids):
            wanted, slack = scores[self.rows[i]], tolerance[self.rows[i]]
            low, high = mapped(wanted - slack), mapped(wanted + slack)
            assert low <= score <= high, f"score of {i}: {score}, exact {mapped(wanted)}"
        sign = 1 if self.metric == "l2" else -1
        keys = [(sign * s, i.encode() if map_score is None else b"") for (_, s), i in zip(answer, ids)]
        assert keys == sorted(keys), f"not in order, or a tie not broken by id: {answer[:20]}"
        if ids and len(ids) < len(eligible):
            better = 1 if self.metric == "l2" else -1
            worst = max(better * scores[self.rows[i]] for i in ids)
            chosen = set(ids)
            for i in eligible:
                if i not in chosen:
                    assert better * scores[self.rows[i]] >= worst - 2 * tolerance[self.rows[i]], f"{i} was left out"

    def recall(self, ids, query: np.ndarray, k: int) -> float:
        """Share of the answer that is as good as the exact k-th, so that ties count."""
        scores, sign = self.scores(query), (1 if self.metric == "l2" else -1)
        kth = np.sort(sign * scores)[min(k, len(self.ids)) - 1]
        got = [sign * scores[self.rows[i.decode() if isinstance(i, bytes) else i]] for i in ids[:k]]
        return sum(g <= kth + 1e-6 * abs(kth) for g in got) / min(k, len(self.ids))


def make_catalogue(label: str, metric: str, items=1200, users=60, dimension=24, integers=False) -> Catalogue:
    rng = generator(label)
    if integers:  # sums of small integers are exact in float32 in any order, so ties are real ties
        x = rng.integers(-2, 3, (items, dimension)).astype(np.float32)
        u = rng.integers(-2, 3, (users, dimension)).astype(np.float32)
    else:
        x = rng.standard_normal((items, dimension)).astype(np.float32) * rng.lognormal(0, 0.5, (items, 1)).astype(np.float32)
        u = rng.standard_normal((users, dimension)).astype(np.float32)
    # Ids whose byte order is neither the order of the rows nor the order of their numbers; some are not ASCII.
    numbers = rng.permutation(items)
    ids = [f"i{n}" if n % 7 else f"é{n}:ü" for n in numbers]
    return Catalogue(ids, x, [f"u{n}" for n in range(users)], u, metric)


def save_catalogue(catalogue: Catalogue, folder: Path) -> dict:
    """Files as a trainer would leave them; the keyword arguments for `build`."""
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "items.npy", catalogue.items)
    np.save(folder / "users.npy", catalogue.users)
    attributes = [{"id": i, "n": n, "text": f"row {n} \"quoted\""} for n, i in enumerate(catalogue.ids) if n % 3 == 0]
    with open(folder / "attributes.jsonl", "w", encoding="utf-8") as file:
        file.writelines(json.dumps(a, ensure_ascii=False) + "\n" for a in attributes)
    return dict(
        vectors=folder / "items.npy", ids=save_ids(folder / "ids.txt", catalogue.ids), metric=catalogue.metric,
        attributes=folder / "attributes.jsonl",
        users=folder / "users.npy", user_ids=save_ids(folder / "user_ids.txt", catalogue.user_ids),
    )


def attributes_of(catalogue: Catalogue, item: str) -> dict | None:
    n = catalogue.rows[item]
    return {"id": item, "n": n, "text": f"row {n} \"quoted\""} if n % 3 == 0 else None
