"""Input of the golden version, and its answers by NumPy. Run here; then
annctl build --vectors items.npy --ids items.txt --attributes items.jsonl --users users.npy --user-ids users.txt \
  --index HNSW8 --threads 1 --output ../vN/shop
and
annctl build --vectors items.npy --ids items.txt --metric cosine --index HNSW8 --threads 1 --output ../vN/cosine-graph
and --index IVF4,Flat --output ../vN/cosine-lists. v7 has all three."""
import json
import numpy as np

rng = np.random.default_rng(20240301)
items, users = rng.standard_normal((60, 8)).astype(np.float32), rng.standard_normal((5, 8)).astype(np.float32)
ids = [f"item-{n}" for n in range(58)] + ["caf\u00e9", "cafe\u0301"]
names = [f"user-{n}" for n in range(5)]
np.save("items.npy", items)
np.save("users.npy", users)
open("items.txt", "w").write("\n".join(ids) + "\n")
open("users.txt", "w").write("\n".join(names) + "\n")
open("items.jsonl", "w").write("".join(json.dumps({"id": i, "n": n}) + "\n" for n, i in enumerate(ids)))
for metric in ["ip", "cosine"]:
    rows, top = items.astype(np.float64), {}
    for name, user in zip(names, users.astype(np.float64)):
        scores = rows @ user
        if metric == "cosine":
            scores /= np.linalg.norm(rows, axis=1) * np.linalg.norm(user)
        order = sorted(range(60), key=lambda n: (-scores[n], ids[n].encode()))[:5]
        top[name] = [[ids[n], round(float(scores[n]), 5)] for n in order]
    json.dump(top, open("expected.json" if metric == "ip" else "expected-cosine.json", "w"), indent=1, sort_keys=True)
