"""Spark, ALS on implicit feedback:  python spark_als.py FOLDER   (needs Java)

Spark writes a folder of parts; `cat items/part-*.json > items.jsonl` makes one file of them, ids included.
"""

import shutil
import sys
from pathlib import Path

from pyspark.ml.recommendation import ALS
from pyspark.sql import SparkSession

import interactions

folder = Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
users, items, rows, columns = interactions.load()
spark = (SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
         .config("spark.ui.showConsoleProgress", "false").getOrCreate())
pairs = spark.createDataFrame(list(zip(rows, columns, [1.0] * len(rows))), "user int, item int, rating float")

model = ALS(rank=32, maxIter=10, implicitPrefs=True, alpha=4.0, regParam=0.1, seed=42).fit(pairs)

for factors, names, name in ((model.itemFactors, items, "items"), (model.userFactors, users, "users")):
    table = spark.createDataFrame(list(enumerate(names)), "id int, name string")
    named = factors.join(table, "id").selectExpr("name AS id", "features")
    named.write.mode("overwrite").json(str(folder / name))
    with (folder / f"{name}.jsonl").open("wb") as out:
        for part in sorted((folder / name).glob("part-*.json")):
            shutil.copyfileobj(part.open("rb"), out)

asked = spark.createDataFrame([(u,) for u in interactions.some(users)], "user int")
interactions.save_answers(folder / "answers.jsonl", (
    (users[row.user], ((items[r.item], r.rating) for r in row.recommendations))
    for row in model.recommendForUserSubset(asked, 10).collect()))
spark.stop()
