"""Biases, implicit factors and history of the golden version of a biased model, and its answers by NumPy; the factors are
those of v1. Run here; then
annctl build --vectors ../../source/items.npy --ids ../../v1/source/items.txt --users ../../v1/source/users.npy \
  --user-ids ../../source/users.txt --bias bias.txt --user-bias user-bias.npy --global-mean 3.5 \
  --implicit-factors implicit.npy --history history.tsv --trained-until 1700000000000 \
  --fold-in ridge --regularization 0.5 --index HNSW8 --threads 1 --output ../shop
and, of v7, --output ../../v7/biased."""
import json
import numpy as np

rng = np.random.default_rng(20261126)
source = "../../source/"
items, users = np.load(source + "items.npy").astype(np.float64), np.load(source + "users.npy").astype(np.float64)
ids = open(source + "items.txt").read().split()
bias, user_bias, implicit = rng.integers(-40, 41, 60) / 32, rng.integers(-40, 41, 5) / 64, rng.normal(0, 0.2, (60, 8))
open("bias.txt", "w").write("".join(f"{value}\n" for value in bias))
np.save("user-bias.npy", user_bias)
np.save("implicit.npy", implicit)
lines, top = [], {}
for number, user in [(None, "guest"), *((n, f"user-{n}") for n in range(4))]:
    rows, weights = rng.choice(60, 7, replace=False), rng.integers(2, 11, 7) / 2
    lines += [f"{user}\t{ids[row]}\t{weight}\n" for row, weight in zip(rows, weights)]
    if number is None:  # whom the trainer did not know: factors and level are solved together
        design = np.column_stack([items[rows], np.ones(7)])
        solved = np.linalg.solve(design.T @ design + 0.5 * np.eye(9), design.T @ (weights - 3.5 - bias[rows]))
        x, level = solved[:-1], solved[-1]
    else:
        x, level = users[number] + implicit[rows].sum(0) / np.sqrt(7), user_bias[number]
    scores = 3.5 + level + bias + items @ x
    order = sorted(range(60), key=lambda n: (-scores[n], ids[n].encode()))[:5]
    top[user] = [[ids[n], round(float(scores[n]), 5)] for n in order]
rng.shuffle(lines)
open("history.tsv", "w").writelines(["user\titem\tweight\n", *lines])
json.dump(top, open("expected.json", "w"), indent=1, sort_keys=True)
