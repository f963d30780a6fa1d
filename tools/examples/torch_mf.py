"""PyTorch, two embeddings and their product:  python torch_mf.py FOLDER"""

import sys
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import softplus

import interactions

folder = Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
users, items, rows, columns = interactions.load()
torch.manual_seed(42)
user, used = torch.tensor(rows), torch.tensor(columns)

user_factors, item_factors = torch.nn.Embedding(len(users), 32), torch.nn.Embedding(len(items), 32)
for table in (user_factors, item_factors):
    torch.nn.init.normal_(table.weight, std=0.1)
optimiser = torch.optim.Adam([*user_factors.parameters(), *item_factors.parameters()], lr=0.01)
for _ in range(10):
    for batch in torch.randperm(len(user)).split(4096):
        p, other = user_factors(user[batch]), torch.randint(len(items), (len(batch),))
        gap = (p * (item_factors(used[batch]) - item_factors(other))).sum(1)  # what was used against any other item
        loss = softplus(-gap).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

np.save(folder / "items.npy", item_factors.weight.detach().numpy())
np.save(folder / "users.npy", user_factors.weight.detach().numpy())
interactions.save_ids(folder / "items.txt", items)
interactions.save_ids(folder / "users.txt", users)

with torch.no_grad():
    best = [(u, (user_factors.weight[u] @ item_factors.weight.T).topk(10)) for u in interactions.some(users)]
interactions.save_answers(folder / "answers.jsonl", (
    (users[u], ((items[i], score) for score, i in zip(*top))) for u, top in best))
