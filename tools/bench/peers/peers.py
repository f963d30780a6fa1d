#!/usr/bin/env python3
"""Annex beside other libraries of nearest neighbours on one set of vectors: recall@10 against queries a second, one thread.

    ANNEX_DATA=/data tools/bench/peers/run --metric cosine --rounds 5 --write

Annex is built by `annctl build --index auto` and swept by `annctl bench index`, which searches one query at a time in its
own process. Each peer runs in a process of its own, builds with two threads and searches with one (checked), is swept over
a grid, and measured one query at a time and with all queries in one call, so that the cost of a Python call is not held
against it. Systems take turns in every round; the report has medians with smallest and largest, by the clock and by CPU
time: on a busy machine a short pass may run undisturbed where a long one has to share its core, and the clock flatters
the faster system.

Recall is the share of ten answers that score no worse than the true tenth. Nothing is tuned on the queries but the effort
that is swept. Needs a release build of annctl (ANNCTL, or .build/release/annctl). `--write` puts the report (.md, .json,
.svg) under tools/bench/results, else it goes to .build/peers-results.
"""

import argparse
import datetime
import importlib.metadata
import importlib.util
import json
import os
import platform
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

import data
import report
import systems
from annex import Annex

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parents[2]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    folder = os.environ.get("ANNEX_DATA", ".")
    parser.add_argument("--items", default=f"{folder}/gowalla/item_factors.npy", help="item vectors (default: $ANNEX_DATA/gowalla/item_factors.npy)")
    parser.add_argument("--queries", default=f"{folder}/gowalla/user_factors.npy", help="query vectors (default: $ANNEX_DATA/gowalla/user_factors.npy)")
    parser.add_argument("--metric", choices=("ip", "cosine", "l2"), default="ip")
    parser.add_argument("--name", help="of the report (default: folder of the items and metric)")
    parser.add_argument("--about", default="", help="a sentence about the vectors, for the report")
    parser.add_argument("--count", type=int, default=10_000, help="queries for recall, drawn by the seed")
    parser.add_argument("--timed", type=int, default=1_000, help="the first of them are timed, the same for all systems")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--points", type=int, default=0, help="at most so many points of each peer's grid (0: all)")
    parser.add_argument("--slowest", type=float, default=1.5, help="a point whose pass takes longer, in seconds, is timed in one round only")
    parser.add_argument("--only", default="", help="names of peers, by comma; 'none' for Annex alone")
    parser.add_argument("--index", default="auto", help="Annex's index kind")
    parser.add_argument("--recall", type=float, default=0.99, help="target of annctl build")
    parser.add_argument("--wire", type=int, default=500, help="queries that a server is asked too, to check Annex's own recall (0: none)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="write to tools/bench/results")
    return parser.parse_args()


class Peer:
    """A worker process and what it measured."""

    def __init__(self, kind, metric, folder, log):
        self.kind, self.name, self.error, self.points, self.built = kind, kind.name, None, [], None
        command = [sys.executable, str(HERE / "worker.py"), kind.name, metric, str(folder)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)

    def ask(self, **request):
        """The reply; None, and `error` set, where there is none: the peer takes no further part."""
        if self.error is None:
            try:
                print(json.dumps(request), file=self.process.stdin, flush=True)
                line = self.process.stdout.readline()
            except BrokenPipeError:
                line = ""
            reply = json.loads(line) if line else {"error": f"the process ended with {self.process.wait()}"}
            if "error" not in reply:
                return reply
            self.error = f"{request['do']}: {reply['error']}"
            say(f"{self.name}: {self.error}")
            self.stop()
        return None

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


def say(text):
    print(text, file=sys.stderr, flush=True)


def machine():
    with open("/proc/cpuinfo") as file:
        model = next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), "unknown processor")
    return f"{model}, {os.cpu_count()} cores, Linux {platform.release()}"


def version(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def chosen_peers(options):
    """(kinds to run, {package: why} that are missing)."""
    wanted = [w.strip() for w in options.only.split(",") if w.strip()]
    if unknown := [w for w in wanted if w != "none" and w not in [kind.name for kind in systems.ALL]]:
        raise SystemExit(f"no such peer: {', '.join(unknown)}; there are {', '.join(kind.name for kind in systems.ALL)}")
    kinds = [kind for kind in systems.ALL if not wanted or kind.name in wanted]
    missing = {kind.package: "not installed" for kind in kinds if importlib.util.find_spec(kind.module) is None}
    return [kind for kind in kinds if kind.package not in missing], missing


def thinned(grid, limit):
    if not limit or len(grid) <= limit:
        return grid
    return [grid[round(at)] for at in np.linspace(0, len(grid) - 1, limit)]


def prepare(peer, options):
    """Builds, and takes the recall of every point of the grid."""
    peer.built = peer.ask(do="build")
    if peer.built is None:
        return
    say(f"{peer.name}: built in {peer.built['seconds']:.1f} s")
    for entry in thinned(peer.built["grid"], options.points):
        got = peer.ask(do="recall", point=entry["point"])
        if got is None:
            return
        peer.points.append({"label": entry["label"], "point": entry["point"], "recall": got["recall"], "rounds": []})
        if got["recall"] >= 0.9995:
            break  # a larger effort has nothing to gain


def measure_round(peer, options):
    for point in peer.points:
        if any(options.timed / one["single"] > options.slowest for one in point["rounds"]):
            continue
        if (got := peer.ask(do="measure", point=point["point"], count=options.timed)) is None:
            return
        point["rounds"].append(got)


def annex_points(efforts):
    return [{"label": effort, "recall": None, "rounds": []} for effort in efforts]


def measure_annex(annex, points, file, count):
    lines = annex.sweep(file)
    for point, line, per_cpu in zip(points, lines, annex.per_cpu(file, count, lines), strict=True):
        point["rounds"].append({"single": line["queriesPerSecond"], "batch": None, "per_cpu": per_cpu, "p50": line["p50"], "p99": line["p99"]})


def main():
    options = arguments()
    annctl = os.environ.get("ANNCTL") or str(PROJECT / ".build" / "release" / "annctl")
    if not os.access(annctl, os.X_OK):
        raise SystemExit(f"no annctl at {annctl}: run 'swift build -c release --product annctl', or set ANNCTL")
    for file in (options.items, options.queries):
        if not os.path.exists(file):
            raise SystemExit(f"no vectors at {file}: set ANNEX_DATA, or give --items and --queries")
    name = options.name or f"{Path(options.items).resolve().parent.name}-{options.metric}"
    kinds, missing = chosen_peers(options)
    began, load_before = datetime.datetime.now(datetime.timezone.utc), os.getloadavg()

    items, queries, peer_items, peer_queries = data.load(options.items, options.queries, options.count, options.seed, options.metric)
    options.timed = min(options.timed, len(queries))
    say(f"{name}: {len(items)} items x {items.shape[1]}, {len(queries)} queries; exact answers")
    last = data.last_scores(peer_items, peer_queries, systems.K, options.metric)
    with tempfile.TemporaryDirectory(prefix="annex-peers-") as temporary:
        folder = Path(temporary)
        for file, array in (("items", peer_items), ("queries", peer_queries), ("last", last), ("raw", items), ("all", queries),
                            ("timed", queries[:options.timed])):
            np.save(folder / f"{file}.npy", array)
        annex = Annex(annctl, folder, options.metric, options.index)
        built = annex.build(folder / "raw.npy", len(items), options.recall, systems.BUILD_THREADS)
        say(f"annex: {built['kind']} in {built['seconds']:.1f} s")
        points = annex_points(annex.efforts)
        for point, line in zip(points, annex.sweep(folder / "all.npy"), strict=True):
            point["recall"] = line["recall"]
        wire = check_wire(annex, points, options, peer_items, peer_queries, last)
        with open(folder / "log", "w") as log:
            peers = []
            try:
                for kind in kinds:
                    peers.append(Peer(kind, options.metric, folder, log))
                    prepare(peers[-1], options)
                for number in range(options.rounds):
                    say(f"round {number + 1} of {options.rounds}, load {os.getloadavg()[0]:.1f}")
                    measure_annex(annex, points, folder / "timed.npy", options.timed)
                    for peer in peers:
                        measure_round(peer, options)
            finally:
                for peer in peers:
                    peer.stop()

    def git(*words):
        return subprocess.run(["git", *words], cwd=PROJECT, capture_output=True, text=True).stdout.strip()

    ours = {"name": "Annex", "text": f"{built['kind']}, chosen by {options.index}", "build_seconds": built["seconds"], "build": built,
            "points": points, "cpu_per_second": annex.cpu_per_second}
    theirs = [{"name": p.name, "text": p.kind.text, "error": p.error, "points": p.points,
               "build_seconds": p.built["seconds"] if p.built else None, "build_bytes": p.built["bytes"] if p.built else None} for p in peers]
    result = {
        "name": name, "about": options.about, "metric": options.metric, "items": len(items), "dimension": items.shape[1],
        "queries": len(queries), "timed": options.timed, "k": systems.K, "rounds": options.rounds, "seed": options.seed,
        "date": began.strftime("%Y-%m-%d %H:%M UTC"), "minutes": (datetime.datetime.now(datetime.timezone.utc) - began).total_seconds() / 60,
        "commit": git("rev-parse", "--short", "HEAD"), "machine": machine(), "load_before": load_before, "load_after": os.getloadavg(),
        "versions": {"annctl": subprocess.run([annctl, "--version"], capture_output=True, text=True).stdout.strip().removeprefix("annctl "), "python": platform.python_version(),
                     "numpy": np.__version__} | {kind.package: version(kind.package) for kind in kinds},
        "missing": missing, "command": command(), "wire": wire, "systems": [ours, *theirs],
    }
    target = PROJECT / "tools" / "bench" / "results" if options.write else PROJECT / ".build" / "peers-results"
    print(report.write(result, target))
    say(f"written to {target.relative_to(PROJECT)}")


def check_wire(annex, points, options, items, queries, last):
    """Recall of a few efforts as a server answers, by the peers' yardstick, beside what annctl says of itself."""
    count, out = min(options.wire, len(queries)), []
    if not count:
        return out
    process, port = annex.serve()
    try:
        for point in thinned(points, 4):
            got = annex.wire_recall(port, point["label"], items, queries[:count], last[:count], systems.K)
            out.append({"effort": point["label"], "queries": count, "wire": got, "annctl": point["recall"]})
    finally:
        process.terminate()
        process.wait()
    return out


def command():
    """As typed, the folder of the data by its variable."""
    words = shlex.join(["tools/bench/peers/run", *sys.argv[1:]])
    folder = os.environ.get("ANNEX_DATA")
    return words.replace(folder.rstrip("/"), "$ANNEX_DATA") if folder else words


if __name__ == "__main__":
    main()
