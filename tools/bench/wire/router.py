#!/usr/bin/env python3
"""What a router costs, in one run on loopback: the time it adds to TOPK, and PING with 32 connections beside nutcracker.

    tools/bench/wire/router.py [--index indexes/debian] [--rounds 5] [--write]

Two shards, a router, and twemproxy (Debian's nutcracker) in front of one of them; measured in turns, as wire.py does.
Needs a release build of annctl (ANNCTL, or .build/release/annctl), nutcracker and redis-benchmark.
"""

import argparse
import datetime
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from wire import PROJECT, Link, encode, free_port, machine, start, stop, throughput

RESULTS = PROJECT / "tools" / "bench" / "results" / "router.md"


def owner(ports, user):
    """The port of the shard that has the user: the other one sends it away."""
    for port in ports:
        link = Link(port)
        link.socket.sendall(encode("TOPK", user, 1))
        if not link.socket.recv(1 << 16).startswith(b"-MOVED"):
            return port
    raise SystemExit(f"no shard has '{user}'")


def connected(port, within=10):
    end = time.monotonic() + within
    while True:
        try:
            return Link(port)
        except ConnectionRefusedError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--index", default=str(PROJECT / "indexes" / "debian"))
    parser.add_argument("--user", default="faiss")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--trips", type=int, default=5000, help="round trips of each kind in a round")
    parser.add_argument("--requests", type=int, default=100_000, help="requests of a throughput measurement")
    parser.add_argument("--write", action="store_true", help=f"add the table to {RESULTS.relative_to(PROJECT)}")
    options = parser.parse_args()
    annctl = os.environ.get("ANNCTL") or str(PROJECT / ".build" / "release" / "annctl")
    nutcracker = shutil.which("nutcracker") or "/usr/sbin/nutcracker"
    if not os.access(annctl, os.X_OK):
        raise SystemExit(f"no annctl at {annctl}: run 'swift build -c release --product annctl', or set ANNCTL")
    if not os.access(nutcracker, os.X_OK):
        raise SystemExit("nutcracker is missing: apt-get install nutcracker")
    ports = [free_port() for _ in range(4)]
    shards, router, proxy = ports[:2], ports[2], ports[3]
    ping, topk = encode("PING"), encode("TOPK", options.user, 10)
    trips = {"shard PING": [], "shard TOPK": [], "router PING": [], "router TOPK": [], "nutcracker PING": []}
    rates = {"nutcracker": [], "router": [], "shard": []}
    running = []
    with tempfile.TemporaryDirectory() as folder:
        topology = Path(folder) / "cluster.yaml"
        topology.write_text(
            f"epoch: 1\nshards:\n  - {{slots: 0-8191, replicas: ['127.0.0.1:{shards[0]}']}}\n"
            f"  - {{slots: 8192-16383, replicas: ['127.0.0.1:{shards[1]}']}}\n")
        pool = Path(folder) / "nutcracker.yml"
        pool.write_text(
            f"pool:\n  listen: 127.0.0.1:{proxy}\n  hash: crc16\n  distribution: modula\n  redis: true\n"
            f"  servers:\n   - 127.0.0.1:{shards[0]}:1\n")
        try:
            for port in shards:
                running.append(start([annctl, "serve", options.index, "--port", port, "--cluster", topology], port))
            running.append(start([annctl, "route", "--config", topology, "--port", router], router))
            # Its log would fill the pipe.
            running.append(subprocess.Popen([nutcracker, "-c", pool, "-o", Path(folder) / "log", "-v", "3", "-s", str(free_port())],
                                            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
            direct, through = Link(owner(shards, options.user)), Link(router)
            other = connected(proxy)
            length = direct.learn(topk)
            assert through.learn(topk) == length
            plan = (("shard PING", direct, ping, 7), ("shard TOPK", direct, topk, length), ("router PING", through, ping, 7),
                    ("router TOPK", through, topk, length), ("nutcracker PING", other, ping, 7))
            for _, link, request, size in plan:
                link.microseconds(request, size, 1000)  # warm
            added = []
            for _ in range(options.rounds):
                medians = {}
                for name, link, request, size in plan:
                    times = link.microseconds(request, size, options.trips)
                    trips[name] += times
                    medians[name] = statistics.median(times)
                added.append((medians["router TOPK"] - medians["shard TOPK"]) / medians["shard PING"])
            for _ in range(options.rounds):
                rates["nutcracker"].append(throughput(proxy, options.requests))
                rates["router"].append(throughput(router, options.requests))
                rates["shard"].append(throughput(shards[0], options.requests))
        finally:
            for process in reversed(running):
                stop(process)

    p50 = {name: statistics.median(values) for name, values in trips.items()}
    p99 = {name: statistics.quantiles(values, n=100)[98] for name, values in trips.items()}
    rate = {name: statistics.median(values) for name, values in rates.items()}
    today = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=PROJECT, capture_output=True, text=True).stdout.strip()
    text = "\n".join([
        f"## {today}, commit {commit or 'unknown'}", "", machine(), "",
        f"Index {Path(options.index).name}, user {options.user}, k = 10, loopback, {options.rounds} rounds in turns, "
        f"{options.trips} round trips each; medians.", "",
        "| one connection | p50 µs | p99 µs |", "|---|---|---|", *[f"| {n} | {p50[n]:.1f} | {p99[n]:.1f} |" for n in trips], "",
        f"What the router adds to TOPK, in PING round trips to the shard: **{statistics.median(added):.2f}** "
        f"({', '.join(f'{a:.2f}' for a in added)} in the rounds; goal: at most 1.5).", "",
        "| PING, 32 connections | requests a second | against nutcracker |", "|---|---|---|",
        *[f"| {n} | {rate[n]:,.0f} | {rate[n] / rate['nutcracker']:.2f} |" for n in rates], "",
    ])
    print(text)
    if options.write:
        head = RESULTS.read_text() if RESULTS.exists() else "# The cost of a router (`tools/bench/wire/router.py`)\n"
        RESULTS.write_text(head.rstrip("\n") + "\n\n" + text)


if __name__ == "__main__":
    main()
