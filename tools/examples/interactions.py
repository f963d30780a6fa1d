"""What the examples learn from, and the two small files that each writes beside its factors.

Interactions are pairs (user, item), read from ANNEX_INTERACTIONS (TSV, also gzipped) or from
../shared/data/debian/interactions.tsv.gz beside the project; where there are none, 1,000 users and 300 items are made up.
"""

import gzip
import json
import os
import random
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]


def load():
    """Users' names, items' names, and the pairs as two lists of equal length: rows in users, rows in items."""
    path = Path(os.environ.get("ANNEX_INTERACTIONS", PROJECT.parent / "shared/data/debian/interactions.tsv.gz"))
    if path.is_file():
        with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as file:
            pairs = sorted({tuple(line.rstrip("\n").split("\t")[:2]) for line in file})
    elif "ANNEX_INTERACTIONS" in os.environ:
        raise SystemExit(f"ANNEX_INTERACTIONS names no file: {path}")
    else:  # Ten tastes; each user has one of them and takes mostly its items.
        draw, pairs = random.Random(1), set()
        for user in range(1000):
            for _ in range(15):
                item = draw.randrange(30) * 10 + user % 10 if draw.random() < 0.8 else draw.randrange(300)
                pairs.add((f"user{user}", f"item{item}"))
        pairs = sorted(pairs)
    users, items = sorted({u for u, _ in pairs}), sorted({i for _, i in pairs})
    user_row, item_row = {u: n for n, u in enumerate(users)}, {i: n for n, i in enumerate(items)}
    return users, items, [user_row[u] for u, _ in pairs], [item_row[i] for _, i in pairs]


def ratings(path):
    """What Surprise trains on, also saved as TSV: 1 for what was used, 0 for as many random pairs that were not."""
    from surprise import Dataset, Reader

    users, items, rows, columns = load()
    draw, used, unused = random.Random(42), set(zip(rows, columns)), {}
    for _ in range(len(used)):
        pair = draw.randrange(len(users)), draw.randrange(len(items))
        if pair not in used:
            unused[pair] = None
    with path.open("w", encoding="utf-8") as file:
        for rating, pairs in (1, zip(rows, columns)), (0, unused):
            file.writelines(f"{users[u]}\t{items[i]}\t{rating}\n" for u, i in pairs)
    reader = Reader(line_format="user item rating", sep="\t", rating_scale=(0, 1))
    return Dataset.load_from_file(path, reader).build_full_trainset()


def save_ids(path, names):
    """One id per line, in the order of the rows."""
    path.write_text("".join(f"{name}\n" for name in names), encoding="utf-8")


def some(names, count=20):
    """Rows of `count` names, evenly spread."""
    return list(range(0, len(names), max(1, len(names) // count)))[:count]


def save_answers(path, answers, pairs=()):
    """What the trainer itself says, for ./check, as JSON lines: the best items of some users, scores of some pairs."""
    with path.open("w", encoding="utf-8") as file:
        for name, found in answers:
            file.write(json.dumps({"ask": name, "answers": [[item, float(score)] for item, score in found]}) + "\n")
        for name, item, score in pairs:
            file.write(json.dumps({"ask": name, "item": item, "score": float(score)}) + "\n")
