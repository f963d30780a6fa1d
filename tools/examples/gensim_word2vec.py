"""gensim, word2vec over the items of each user:  python gensim_word2vec.py FOLDER"""

import random
import sys
from pathlib import Path

from gensim.models import Word2Vec

import interactions

folder = Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
users, items, rows, columns = interactions.load()
baskets = [[] for _ in users]
for u, i in zip(rows, columns):
    baskets[u].append(items[i])
for basket in baskets:  # what is used has no order
    random.Random(42).shuffle(basket)

model = Word2Vec(baskets, vector_size=64, window=10, min_count=1, sg=1, epochs=10, seed=42, workers=1)

model.wv.save_word2vec_format(folder / "items.vec")
model.wv.save_word2vec_format(folder / "items.w2v", binary=True)

names = model.wv.index_to_key
interactions.save_answers(folder / "answers.jsonl", (
    (names[n], model.wv.most_similar(names[n], topn=10)) for n in interactions.some(names)))
