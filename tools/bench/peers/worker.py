"""One peer in a process of its own; peers.py starts it and talks to it in lines of JSON.

    worker.py NAME METRIC FOLDER

FOLDER holds items.npy and queries.npy as the peer gets them, and last.npy, the scores of the true k-th items. Commands:
{"do": "build"}, {"do": "recall", "point": p}, {"do": "measure", "point": p, "count": n}, {"do": "stop"}.
"""

import os

for variable in ("OMP", "OPENBLAS", "MKL", "BLIS", "NUMEXPR", "VECLIB_MAXIMUM"):  # before any import reads them
    os.environ[variable + "_NUM_THREADS"] = "1"
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"

import json
import sys
import time
from pathlib import Path

import numpy as np

import data
import systems

WARM = 200
CPU_LIMIT = 1.1


class TooManyThreads(Exception):
    pass


def task_times():
    """CPU nanoseconds of each thread of this process."""
    times = {}
    for task in os.listdir("/proc/self/task"):
        try:
            with open(f"/proc/self/task/{task}/schedstat") as file:
                times[task] = int(file.read().split()[0])
        except OSError:
            pass  # it has ended
    return times


class Watch:
    """Wall and CPU time of a loop, and how many threads of the process worked in it."""

    def __enter__(self):
        self.before = task_times()
        self.cpu_before, self.wall_before = time.process_time(), time.perf_counter()
        return self

    def __exit__(self, *_):
        self.wall = time.perf_counter() - self.wall_before
        self.cpu = time.process_time() - self.cpu_before
        spent = [after - self.before.get(task, 0) for task, after in task_times().items()]
        self.busy = sum(1 for each in spent if each > 0.05 * sum(spent))

    def check(self, what):
        """One thread and no more. On a busy machine two threads may stay below the limit of CPU, so both are asked."""
        if self.cpu > CPU_LIMIT * self.wall or self.busy > 1:
            raise TooManyThreads(f"{what}: {self.cpu / self.wall:.2f} s of CPU a second, {self.busy} busy threads")


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def padded(answers):
    return [list(a)[:systems.K] + [-1] * (systems.K - len(a)) for a in answers]


class Worker:
    def __init__(self, name, metric, folder):
        self.system = next(kind for kind in systems.ALL if kind.name == name)(metric)
        self.metric = metric
        self.items = np.load(folder / "items.npy")
        self.queries = np.load(folder / "queries.npy")
        self.last = np.load(folder / "last.npy")

    def build(self, _):
        before = resident()
        with Watch() as watch:
            self.system.build(self.items)
        grid = [{"point": p, "label": self.system.label(p)} for p in self.system.grid(len(self.items))]
        return {"seconds": watch.wall, "cpu": watch.cpu, "bytes": resident() - before, "grid": grid}

    def recall(self, request):
        """Of all queries. One at a time and all at once must give the same recall, on a part of them."""
        self.system.set(request["point"])
        part = [self.system.one(self.system.shape(row)) for row in self.queries[:WARM]]
        answers = self.system.many(self.queries)
        if answers is None:
            answers = part + [self.system.one(self.system.shape(row)) for row in self.queries[WARM:]]
        answers = np.asarray(answers if isinstance(answers, np.ndarray) else padded(answers)).astype(np.int64)
        single, batch = self.score(padded(part)), self.score(answers[:len(part)])
        if abs(single - batch) > 0.01:
            raise ValueError(f"recall {single:.4f} one at a time, {batch:.4f} in one call")
        return {"recall": self.score(answers)}

    def score(self, answers):
        n = len(answers)
        return data.recall(self.items, self.queries[:n], answers, self.last[:n], self.metric)

    def measure(self, request):
        """Queries a second of one pass, one at a time and in one call, after a short warming."""
        self.system.set(request["point"])
        queries = self.queries[:request["count"]]
        shaped, one = [self.system.shape(row) for row in queries], self.system.one
        for query in shaped[:WARM]:
            one(query)
        with Watch() as single:
            for query in shaped:
                one(query)
        single.check("one at a time")
        out = {"single": len(queries) / single.wall, "single_cpu": single.cpu / single.wall, "batch": None, "batch_cpu": None,
               "per_cpu": len(queries) / single.cpu}
        if self.system.many(queries[:1]) is not None:
            with Watch() as batch:
                self.system.many(queries)
            batch.check("in one call")
            out |= {"batch": len(queries) / batch.wall, "batch_cpu": batch.cpu / batch.wall, "per_cpu": len(queries) / batch.cpu}
        return out


def main():
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints goes to the log
    worker = Worker(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
    for line in sys.stdin:
        request = json.loads(line)
        if request["do"] == "stop":
            break
        try:
            reply = getattr(worker, request["do"])(request)
        except Exception as error:  # whatever a library throws is a line of the report
            reply = {"error": f"{type(error).__name__}: {error}"[:400]}
        print(json.dumps(reply), file=out, flush=True)


if __name__ == "__main__":
    main()
