#!/usr/bin/env python3
"""The cost of the wire, in one run on loopback: round trips with one connection, throughput with 32, redis-server beside.

    tools/bench/wire/wire.py [--index indexes/debian] [--user faiss] [--rounds 5] [--write]

Needs a release build of annctl (ANNCTL, or .build/release/annctl), redis-server and redis-benchmark. Machines differ and
are shared, so the ratios count, and the two servers are measured in turns. `--write` adds the table to tools/bench/results.
"""

import argparse
import datetime
import os
import platform
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[3]


def encode(*words):
    parts = [str(w).encode() for w in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in parts)


class Link:
    """One connection; knows how long a reply is by having seen it once (the same request gives the same bytes)."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def learn(self, request):
        """The length of the reply: what comes before the PONG of a PING that follows."""
        self.socket.sendall(request + encode("PING"))
        data = b""
        while not data.endswith(b"+PONG\r\n"):
            part = self.socket.recv(1 << 16)
            if not part:
                raise EOFError("closed")
            data += part
        if data.startswith(b"-"):
            raise SystemExit(f"the server answered {data.splitlines()[0].decode(errors='replace')}")
        return len(data) - 7

    def microseconds(self, request, length, count):
        """`count` round trips, one at a time, in µs each."""
        send, receive, clock, out = self.socket.sendall, self.socket.recv, time.perf_counter_ns, []
        for _ in range(count):
            started = clock()
            send(request)
            missing = length
            while missing > 0:
                part = receive(1 << 16)
                if not part:
                    raise EOFError("closed")
                missing -= len(part)
            out.append((clock() - started) / 1000)
        return out


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(command, port, within=60):
    process = subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    end = time.monotonic() + within
    while time.monotonic() < end and process.poll() is None:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1) as s:
                s.sendall(b"PING\r\n")
                if s.recv(64).startswith(b"+PONG"):
                    return process
        except OSError:
            pass
        time.sleep(0.02)
    process.kill()
    raise SystemExit(f"{command[0]} did not answer:\n{process.communicate()[1].decode(errors='replace')}")


def stop(process):
    process.send_signal(signal.SIGTERM)
    try:
        process.communicate(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()


def search_time(port):
    """(calls, µs) that the server counted for TOPK, from INFO commandstats; None where it does not say."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as s:
        s.sendall(encode("INFO", "commandstats") + encode("QUIT"))
        text = b""
        while part := s.recv(1 << 16):
            text += part
    found = re.search(rb"cmdstat_topk:calls=(\d+),usec=([\d.]+)", text)
    return (int(found[1]), float(found[2])) if found else None


def throughput(port, count):
    command = ["redis-benchmark", "-p", str(port), "-c", "32", "-n", str(count), "-q", "-t", "ping_mbulk"]
    out = subprocess.run(command, capture_output=True, text=True, timeout=120).stdout
    found = re.findall(r"([\d.]+) requests per second", out.replace("\r", "\n"))
    if not found:
        raise SystemExit(f"redis-benchmark said:\n{out}")
    return float(found[-1])


def machine():
    model = "unknown processor"
    with open("/proc/cpuinfo") as file:
        for line in file:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    return f"{model}, {os.cpu_count()} cores, Linux {platform.release()}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--index", default=str(PROJECT / "indexes" / "debian"))
    parser.add_argument("--user", default="faiss")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--trips", type=int, default=5000, help="round trips of each kind in a round")
    parser.add_argument("--requests", type=int, default=100_000, help="requests of a throughput measurement")
    parser.add_argument("--write", action="store_true", help="add the table to tools/bench/results/wire.md")
    options = parser.parse_args()
    annctl = os.environ.get("ANNCTL") or str(PROJECT / ".build" / "release" / "annctl")
    if not os.access(annctl, os.X_OK):
        raise SystemExit(f"no annctl at {annctl}: run 'swift build -c release --product annctl', or set ANNCTL")
    for tool in ("redis-server", "redis-benchmark"):
        if not shutil.which(tool):
            raise SystemExit(f"{tool} is missing: run tools/install-deps --test")

    ours, theirs = free_port(), free_port()
    topk = encode("TOPK", options.user, 10)
    trips = {"annex PING": [], "annex TOPK": [], "redis PING": []}
    rates = {"annex": [], "redis": []}
    search = None
    with tempfile.TemporaryDirectory() as folder:
        annex = start([annctl, "serve", options.index, "--host", "127.0.0.1", "--port", ours], ours)
        try:
            redis = start(["redis-server", "--port", theirs, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", folder], theirs)
            try:
                a, r, ping = Link(ours), Link(theirs), encode("PING")
                length = a.learn(topk)
                for name, link, request, size in (("annex PING", a, ping, 7), ("annex TOPK", a, topk, length), ("redis PING", r, ping, 7)):
                    link.microseconds(request, size, 1000)  # warm
                before = search_time(ours)
                for _ in range(options.rounds):
                    trips["annex PING"] += a.microseconds(ping, 7, options.trips)
                    trips["annex TOPK"] += a.microseconds(topk, length, options.trips)
                    trips["redis PING"] += r.microseconds(ping, 7, options.trips)
                after = search_time(ours)
                if before and after and after[0] > before[0]:
                    search = (after[1] - before[1]) / (after[0] - before[0])
                for _ in range(options.rounds):
                    rates["annex"].append(throughput(ours, options.requests))
                    rates["redis"].append(throughput(theirs, options.requests))
            finally:
                stop(redis)
        finally:
            stop(annex)

    p50 = {name: statistics.median(values) for name, values in trips.items()}
    p99 = {name: statistics.quantiles(values, n=100)[98] for name, values in trips.items()}
    rate = {name: statistics.median(values) for name, values in rates.items()}
    today = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    version = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=PROJECT, capture_output=True, text=True).stdout.strip()
    lines = [
        f"## {today}, commit {version or 'unknown'}", "", machine(), "",
        f"Index {Path(options.index).name}, user {options.user}, k = 10, loopback, {options.rounds} rounds in turns, "
        f"{options.trips} round trips each; medians.", "",
        "| one connection | p50 µs | p99 µs | p50 against annex PING |", "|---|---|---|---|",
        *[f"| {n} | {p50[n]:.1f} | {p99[n]:.1f} | {p50[n] / p50['annex PING']:.2f} |" for n in trips], "",
    ]
    if search is not None:
        budget = p50["annex PING"] + search
        lines += [f"The search alone (mean, by the server's own count): {search:.1f} µs. TOPK p50 / (PING p50 + search) = "
                  f"**{p50['annex TOPK'] / budget:.2f}** (goal: at most 1.3).", ""]
    lines += [
        "| 32 connections, PING | requests a second | against redis-server |", "|---|---|---|",
        f"| annex | {rate['annex']:,.0f} | **{rate['annex'] / rate['redis']:.2f}** (goal: at least 0.8) |",
        f"| redis-server | {rate['redis']:,.0f} | 1 |", "",
    ]
    text = "\n".join(lines)
    print(text)
    if options.write:
        results = PROJECT / "tools" / "bench" / "results" / "wire.md"
        results.parent.mkdir(parents=True, exist_ok=True)
        head = "" if results.exists() else "# The wire: round trips and throughput on loopback\n\nMade by tools/bench/wire/wire.py --write; newest last.\n\n"
        with open(results, "a") as file:
            file.write(head + text + "\n")
        print(f"written to {results.relative_to(PROJECT)}", file=sys.stderr)


if __name__ == "__main__":
    main()
