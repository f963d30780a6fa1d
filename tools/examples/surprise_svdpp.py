"""Surprise, SVD++:  python surprise_svdpp.py FOLDER

A user's vector is pu + n^-1/2 Σ yj over the n items that the user rated: the build sums it, from the implicit factors yj and
the ratings, given as a history."""

import sys
import time
from pathlib import Path

import numpy as np
from surprise import SVDpp

import interactions
from surprise_svd import save

folder = Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
train = interactions.ratings(folder / "ratings.tsv")
model = SVDpp(n_factors=16, n_epochs=10, random_state=42).fit(train)
save(folder, "surprise-svdpp", train, model)
np.save(folder / "implicit.npy", model.yj)
with (folder / "recipe.yaml").open("a") as recipe:
    recipe.write(f"implicit-factors: implicit.npy\nhistory: ratings.tsv\ntrained-until: {time.time_ns() // 10**6}\n")
