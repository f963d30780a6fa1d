"""implicit, Bayesian personalised ranking:  python implicit_bpr.py FOLDER"""

import sys
from pathlib import Path

import numpy as np
from implicit.bpr import BayesianPersonalizedRanking
from scipy.sparse import csr_matrix

import interactions

folder = Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
users, items, rows, columns = interactions.load()
matrix = csr_matrix((np.ones(len(rows), np.float32), (rows, columns)), (len(users), len(items)))

model = BayesianPersonalizedRanking(factors=63, iterations=100, random_state=42, num_threads=1)  # 63 and a bias
model.fit(matrix, show_progress=False)

np.save(folder / "items.npy", model.item_factors)
np.save(folder / "users.npy", model.user_factors)
interactions.save_ids(folder / "items.txt", items)
interactions.save_ids(folder / "users.txt", users)

asked = interactions.some(users)
found, scores = model.recommend(asked, matrix[asked], N=10, filter_already_liked_items=False)
interactions.save_answers(folder / "answers.jsonl", (
    (users[u], zip((items[i] for i in row), row_scores)) for u, row, row_scores in zip(asked, found, scores)))
