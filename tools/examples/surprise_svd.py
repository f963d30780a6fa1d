"""Surprise, SVD with biases:  python surprise_svd.py FOLDER

A prediction is mean + user's bias + item's bias + pu · qi. The first two are the same for all items of a user; the item's
bias becomes one more component of the item's vector, beside a 1 in the user's."""

import random
import sys
from pathlib import Path

import numpy as np
from surprise import SVD, Dataset, Reader

import interactions

folder = Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
users, items, rows, columns = interactions.load()
draw = random.Random(42)  # SVD wants ratings: 1 for what was used, 0 for as many random pairs
with (folder / "ratings.tsv").open("w") as file:
    for u, i in zip(rows, columns):
        file.write(f"{users[u]}\t{items[i]}\t1\n{draw.choice(users)}\t{draw.choice(items)}\t0\n")
reader = Reader(line_format="user item rating", sep="\t", rating_scale=(0, 1))
train = Dataset.load_from_file(folder / "ratings.tsv", reader).build_full_trainset()
model = SVD(n_factors=32, n_epochs=20, random_state=42).fit(train)

item_names, user_names = [*map(train.to_raw_iid, train.all_items())], [*map(train.to_raw_uid, train.all_users())]
np.save(folder / "items.npy", np.column_stack([model.qi, model.bi]))
np.save(folder / "users.npy", np.column_stack([model.pu, np.ones(train.n_users)]))
interactions.save_ids(folder / "items.txt", item_names)
interactions.save_ids(folder / "users.txt", user_names)


def score(u, item):  # what the server should say
    return model.predict(user_names[u], item, clip=False).est - train.global_mean - model.bu[u]


best = ((user_names[u], sorted(((i, score(u, i)) for i in item_names), key=lambda pair: -pair[1])[:10])
        for u in interactions.some(user_names))
pairs = ((user_names[u], i, score(u, i)) for u in interactions.some(user_names, 100) for i in [draw.choice(item_names)])
interactions.save_answers(folder / "answers.jsonl", best, pairs)
