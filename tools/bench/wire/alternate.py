#!/usr/bin/env python3
"""Compares two builds of annctl on the same index: both serve it, and are asked in turn, so that what else the machine does meets both.

    tools/bench/wire/alternate.py OLD_ANNCTL NEW_ANNCTL indexes/NAME users.txt [TURNS]

Prints for 1 and 8 connections the median of new / old over all turns, with its 95 % interval by bootstrap.
"""

import json
import random
import re
import statistics
import subprocess
import sys

SECONDS, WARMUP, DRAWS = 2, 0.3, 4_000


def serve(annctl: str, index: str) -> tuple[subprocess.Popen, str]:
    """The process and its port, which the log's first line about an address names."""
    process = subprocess.Popen([annctl, "serve", index, "--port", "0", "--threads", "1"], stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        if found := re.search(r"address=[^ ]*:(\d+)", line):
            return process, found[1]
    sys.exit(f"{annctl} does not serve {index}")


def measure(annctl: str, port: str, users: str, connections: int) -> dict:
    done = subprocess.run(
        [annctl, "bench", "server", "--port", port, "--user-ids", users, "--mix", "TOPK", "--connections", str(connections),
         "--seconds", str(SECONDS), "--warmup", str(WARMUP), "--json"], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)["runs"][0]["result"]


def main() -> None:
    if len(sys.argv) < 5:
        sys.exit(__doc__)
    old, new, index, users = sys.argv[1:5]
    turns = int(sys.argv[5]) if len(sys.argv) > 5 else 20
    servers = {name: serve(annctl, index) for name, annctl in (("old", old), ("new", new))}
    random.seed(1)
    try:
        for connections in (1, 8):
            rows = []
            for turn in range(turns):
                order = ("old", "new") if turn % 2 else ("new", "old")
                rows.append({name: measure(old, servers[name][1], users, connections) for name in order})
            for what, value in (("p50", lambda r: r["service"]["p50"]), ("requests a second", lambda r: r["requestsPerSecond"])):
                ratios = [value(row["new"]) / value(row["old"]) for row in rows]
                drawn = sorted(statistics.median(random.choices(ratios, k=turns)) for _ in range(DRAWS))
                print(f"{connections} connections, {what}: {statistics.median(ratios):.3f} × "
                      f"[{drawn[DRAWS // 40]:.3f}, {drawn[-DRAWS // 40]:.3f}] of {turns} turns")
    finally:
        for process, _ in servers.values():
            process.terminate()
            process.wait(20)


if __name__ == "__main__":
    main()
