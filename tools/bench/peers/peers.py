#!/usr/bin/env python3
"""Annex beside other libraries, in one run on the same rows and queries: recall@10 and queries a second of one thread.

    tools/bench/peers/run [--items F.npy] [--queries F.npy] [--metric ip] [--rounds 5] [--count 10000] [--write NAME]

Each library runs in a process of its own, sweeps its own grid (printed), searches with one thread (processor time by wall
time is shown and must stay near 1) and is asked one query at a time and all in one call, so that Python's call costs it
nothing in the second figure. Annex is searched by `annctl bench index`, one query at a time. Rounds take turns over all;
figures are medians. Recall is against NumPy; an answer that scores as well as the true tenth is right.
"""

import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")}
if os.environ.get("OPENBLAS_NUM_THREADS") is None:
    os.environ["OPENBLAS_NUM_THREADS"] = "2"

import numpy as np  # noqa: E402  (after the number of threads is set)

import libraries  # noqa: E402

PROJECT = Path(__file__).resolve().parents[3]
K = 10
TARGETS = [0.95, 0.98, 0.99, 0.999]


class Truth:
    """Scores of the true tenth; what has at least that (or a hair less, for another order of summation) is right."""

    def __init__(self, rows, queries, metric):
        self.rows, self.queries, self.metric = rows, queries, metric
        self.norms = np.maximum(np.linalg.norm(rows, axis=1), 1e-12)
        self.tenth = np.concatenate([self.block(queries[i : i + 500]) for i in range(0, len(queries), 500)])

    def block(self, queries):
        scores = queries @ self.rows.T
        if self.metric == "cosine":
            scores /= self.norms
        if self.metric == "l2":
            scores = scores - 0.5 * self.norms**2
        return np.partition(scores, -K, axis=1)[:, -K]

    def recall(self, ids):
        right = 0
        for query, found, tenth in zip(self.queries, ids, self.tenth):
            known = np.unique(found[found >= 0])
            scores = self.rows[known] @ query
            if self.metric == "cosine":
                scores = scores / self.norms[known]
            if self.metric == "l2":
                scores = scores - 0.5 * self.norms[known] ** 2
            right += min(K, int(np.sum(scores >= tenth - 1e-5 * max(1.0, abs(tenth)))))
        return right / (K * len(self.queries))


class Peer:
    def __init__(self, kind, files, metric, folder):
        self.kind, self.ids, self.points = kind, Path(folder) / f"{kind.__name__}.npy", {}
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).parent / "worker.py"), kind.__name__, *files, metric, str(K), str(self.ids)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            env={**os.environ, **ONE_THREAD})
        self.facts = json.loads(self.process.stdout.readline() or '{"missing": "it ended while it was building"}')
        if "missing" in self.facts:
            print(f"{kind.name}: left out: {self.facts['missing']}", flush=True)
        else:
            print(f"{kind.name} {self.facts['version']}: built in {self.facts['built']:.1f} s; grid {kind.grid}", flush=True)

    def measure(self, value, truth):
        self.process.stdin.write(json.dumps({"value": value}) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        point = self.points.setdefault(str(value), {"single": [], "batched": [], "cpu": []})
        if "recall" not in point:
            point["recall"] = truth.recall(np.load(self.ids))
        for name in ("single", "batched", "cpu"):
            point[name].append(answer[name])

    def close(self):
        if self.process.poll() is None:
            self.process.stdin.close()
            self.process.wait(60)


class Annex:
    name = "Annex"

    def __init__(self, program, files, metric, folder, count):
        self.program, self.queries, self.index, self.points = program, files[1], Path(folder) / "bench", {}
        ids = Path(folder) / "ids.txt"
        ids.write_text("".join(f"{number:09d}\n" for number in range(len(np.load(files[0], mmap_mode="r")))))
        start = datetime.datetime.now()
        built = subprocess.run(
            [program, "build", "--vectors", files[0], "--ids", ids, "--metric", metric, "--threads", "2", "--output", self.index],
            capture_output=True, text=True, check=True)
        self.seconds = (datetime.datetime.now() - start).total_seconds()
        self.manifest = json.loads((self.index / "current" / "manifest.json").read_text())
        stages = json.loads((self.index / "current" / "report.json").read_text())["stages"]
        index = sum(s["seconds"] for s in stages if s["stage"] in ("building the index", "ordering for the scan"))
        self.facts = {"built": index, "whole": self.seconds, "version": self.manifest["kind"]}
        kind = self.manifest["kind"]
        knob = "exact" if kind == "Flat" else "ef" if "HNSW" in kind else "kappa" if metric == "ip" else "nprobe"
        steps = {"kappa": [0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.8, 1],
                 "nprobe": [2, 4, 6, 8, 12, 16, 24, 32, 48, 64], "ef": [16, 32, 64, 128, 256, 512], "exact": []}[knob]
        self.efforts = [f"{knob} {step}" for step in steps] + ["exact"]
        print(f"Annex, {kind}: index in {index:.1f} s, the whole build with measuring in {self.seconds:.1f} s; "
              f"efforts {', '.join(self.efforts)}", flush=True)
        print(built.stdout)

    def measure(self):
        arguments = [x for effort in self.efforts for x in ("--effort", effort)]
        done = subprocess.run(
            [self.program, "bench", "index", self.index, "--queries", self.queries, "--rounds", "1", "--json",
             "--count", "1000000", *arguments], capture_output=True, text=True, check=True)
        for line in json.loads(done.stdout)["lines"]:
            point = self.points.setdefault(line["effort"], {"single": [], "recall": line["recall"], "p99": []})
            point["single"].append(line["queriesPerSecond"])
            point["p99"].append(line["p99"])


def at(points, speed, target):
    """Queries a second at a recall: between the points around it in log(speed); None where it is not reached."""
    known = sorted((p["recall"], statistics.median(p[speed])) for p in points.values())
    best = [(r, max(s for q, s in known if q >= r)) for r, _ in known]
    above = [p for p in best if p[0] >= target]
    below = [p for p in best if p[0] < target]
    if not above:
        return None
    if not below:
        return above[0][1]
    (r0, s0), (r1, s1) = below[-1], above[0]
    share = (target - r0) / (r1 - r0)
    return float(np.exp(np.log(s0) * (1 - share) + np.log(s1) * share))


def first(points, target):
    """Annex is not interpolated: the fastest point that reaches the recall."""
    reached = [statistics.median(p["single"]) for p in points.values() if p["recall"] >= target]
    return max(reached) if reached else None


def table(heads, rows):
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    return "\n".join(lines + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows])


def report(annex, peers, options, load, shape):
    def spread(values):
        return f"{statistics.median(values):,.0f} ({min(values):,.0f} to {max(values):,.0f})"

    rows = [("Annex " + annex.facts["version"], effort, f"{p['recall']:.4f}", spread(p["single"]), "-", "-",
             f"{annex.facts['built']:.1f} s") for effort, p in annex.points.items()]
    for peer in peers:
        rows += [(f"{peer.kind.name} ({peer.facts['version']})", value, f"{p['recall']:.4f}", spread(p["single"]),
                  spread(p["batched"]), f"{statistics.median(p['cpu']):.2f}", f"{peer.facts['built']:.1f} s")
                 for value, p in peer.points.items()]
    ratios = []
    for target in TARGETS:
        ours = first(annex.points, target)
        theirs = sorted(((at(p.points, "batched", target) or 0, p.kind.name) for p in peers), reverse=True)
        best = theirs[0] if theirs and theirs[0][0] else None
        ratios.append((target, f"{ours:,.0f}" if ours else "not reached", f"{best[1]}: {best[0]:,.0f}" if best else "none",
                       f"**{ours / best[0]:.1f} ×**" if ours and best else "-"))
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "unknown")
    missing = ", ".join(k.name for k in libraries.ALL if k.name not in {p.kind.name for p in peers})
    return "\n".join([
        f"## {datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d %H:%M} UTC, {options.label or Path(options.items).stem}, {options.metric}",
        "", f"{cpu}, {os.cpu_count()} cores, {platform.system()} {platform.release()}; load {load[0]:.1f} before, "
        f"{os.getloadavg()[0]:.1f} after.", f"{shape[0]:,} × {shape[1]}, {options.count:,} queries, k = {K}, one thread, "
        f"{options.rounds} rounds in turns, medians. Left out: {missing or 'nothing'}.", "",
        table(["recall@10 at least", "Annex, queries/s", "best peer, all queries in one call", "ratio"], ratios), "",
        table(["system", "parameter", "recall@10", "one at a time, queries/s", "in one call", "cpu / wall", "built"], rows), ""])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    shared = PROJECT.parent / "shared" / "data" / "gowalla"
    parser.add_argument("--items", default=str(shared / "item_factors.npy"))
    parser.add_argument("--queries", default=str(shared / "user_factors.npy"))
    parser.add_argument("--metric", choices=["ip", "cosine", "l2"], default="ip")
    parser.add_argument("--count", type=int, default=10_000, help="queries, drawn by the seed")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="*", help="names of classes in libraries.py")
    parser.add_argument("--label", help="what the data are")
    parser.add_argument("--write", help="append the tables to tools/bench/results/NAME.md")
    options = parser.parse_args()
    program = os.environ.get("ANNCTL") or str(PROJECT / ".build" / "release" / "annctl")
    load = os.getloadavg()
    rows = np.ascontiguousarray(np.load(options.items), dtype=np.float32)
    queries = np.ascontiguousarray(np.load(options.queries), dtype=np.float32)
    chosen = np.sort(np.random.default_rng(options.seed).permutation(len(queries))[: options.count])
    queries = np.ascontiguousarray(queries[chosen])
    options.count = len(queries)
    with tempfile.TemporaryDirectory() as folder:
        files = [str(Path(folder) / "items.npy"), str(Path(folder) / "queries.npy")]
        np.save(files[0], rows)
        np.save(files[1], queries)
        annex = Annex(program, files, options.metric, folder, len(queries))
        truth = Truth(rows, queries, options.metric)
        peers = []
        for kind in libraries.ALL:
            if options.only is None or kind.__name__ in options.only:
                peer = Peer(kind, files, options.metric, folder)
                peers += [] if "missing" in peer.facts else [peer]
        for number in range(options.rounds):
            annex.measure()
            for peer in peers:
                for value in peer.kind.grid:
                    peer.measure(value, truth)
            print(f"round {number + 1} of {options.rounds}", flush=True)
        for peer in peers:
            peer.close()
    text = report(annex, peers, options, load, rows.shape)
    print(text)
    if options.write:
        target = PROJECT / "tools" / "bench" / "results" / f"{options.write}.md"
        head = "" if target.exists() else "# Annex beside other libraries\n\nMade by tools/bench/peers/run --write; newest last.\n\n"
        with target.open("a") as out:
            out.write(head + text + "\n")


if __name__ == "__main__":
    main()
