"""Surprise, SVD with biases:  python surprise_svd.py FOLDER

A prediction is mean + user's bias + item's bias + pu · qi. The biases and the mean go into files and keys of their own
(recipe.yaml), and the server's score is the prediction."""

import sys
from pathlib import Path

import numpy as np
from surprise import SVD

import interactions

RECIPE = """name: {name}
vectors: items.npy
ids: items.txt
bias: item_bias.npy
users: users.npy
user-ids: users.txt
user-bias: user_bias.npy
global-mean: {mean!r}
"""


def save(folder, name, train, model):
    """Factors, biases, ids, a recipe for them, and what the model itself says of some users."""
    np.save(folder / "items.npy", model.qi)
    np.save(folder / "item_bias.npy", model.bi)
    np.save(folder / "users.npy", model.pu)
    np.save(folder / "user_bias.npy", model.bu)
    items, users = [*map(train.to_raw_iid, train.all_items())], [*map(train.to_raw_uid, train.all_users())]
    interactions.save_ids(folder / "items.txt", items)
    interactions.save_ids(folder / "users.txt", users)
    (folder / "recipe.yaml").write_text(RECIPE.format(name=name, mean=float(train.global_mean)))

    def score(u, item):  # what the server should say
        return model.predict(users[u], item, clip=False).est

    best = ((users[u], sorted(((i, score(u, i)) for i in items), key=lambda pair: -pair[1])[:10])
            for u in interactions.some(users))
    some = zip(interactions.some(users, 100), interactions.some(items, 100))
    interactions.save_answers(folder / "answers.jsonl", best, ((users[u], items[i], score(u, items[i])) for u, i in some))


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    train = interactions.ratings(folder / "ratings.tsv")
    save(folder, "surprise-svd", train, SVD(n_factors=32, n_epochs=20, random_state=42).fit(train))
