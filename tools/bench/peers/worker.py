"""One library in a process of its own: builds, then measures one point of its grid each time it is asked.

Speaks lines of JSON: {"value": …} in, {"single": …, "batched": …, "ids": file, "cpu": …} out. Started by peers.py, which
holds every thread variable at 1 before this process imports anything.
"""

import json
import resource
import sys
import time

import numpy as np

import libraries


def processor_seconds():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def measure(library, queries, k):
    """Queries a second one at a time and all in one call, the ids, and processor time by wall time."""
    library.search(queries[:1], k)
    cpu, start = processor_seconds(), time.perf_counter()
    for number in range(len(queries)):
        library.search(queries[number : number + 1], k)
    single = time.perf_counter() - start
    start = time.perf_counter()
    ids = library.search(queries, k)
    batched = time.perf_counter() - start
    return single, batched, ids, (processor_seconds() - cpu) / (single + batched)


def main():
    class_name, items, queries, metric, k, out = sys.argv[1:7]
    kind = getattr(libraries, class_name)
    rows, asked, k = np.load(items), np.load(queries), int(k)
    start = time.perf_counter()
    try:
        release = libraries.version(kind.package)
        library = kind(rows, metric, threads=2)
    except (libraries.Missing, ImportError) as problem:
        print(json.dumps({"missing": str(problem)}), flush=True)
        return
    print(json.dumps({"built": time.perf_counter() - start, "version": release}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        value = request["value"]
        library.set(tuple(value) if isinstance(value, list) else value)
        single, batched, ids, cpu = measure(library, asked, k)
        padded = np.full((len(asked), k), -1, dtype=np.int64)
        for row, found in enumerate(ids):
            found = np.asarray(found).astype(np.int64)[:k]
            padded[row, : len(found)] = found
        np.save(out, padded)
        print(json.dumps({"single": len(asked) / single, "batched": len(asked) / batched, "cpu": cpu}), flush=True)


if __name__ == "__main__":
    main()
