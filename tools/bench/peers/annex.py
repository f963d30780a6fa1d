"""Annex: builds a version with annctl, sweeps its efforts in process, checks its recall over the wire."""

import json
import os
import resource
import socket
import subprocess
import time
from pathlib import Path

import numpy as np

import data

SWEEP = {
    "kappa": [0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.9, 1.0],
    "ef": [10, 14, 20, 30, 45, 70, 110, 200, 400, 800],
    "nprobe": [1, 2, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128],
}
CPU_LIMIT = 1.1
LEAST_SHARE = 0.1  # of the CPU time of a process that has to be search
PASSES_SECONDS = 0.4  # of wall time that one reading of CPU time covers, at least; else half of what loading takes


class Annex:
    def __init__(self, annctl, folder, metric, index):
        self.annctl, self.folder, self.metric, self.index = annctl, Path(folder), metric, index
        self.cpu_per_second = 0.0

    def run(self, *arguments, env=None):
        done = subprocess.run([self.annctl, *map(str, arguments)], capture_output=True, text=True, env=env)
        if done.returncode:
            raise SystemExit(f"annctl {arguments[0]} failed:\n{done.stderr[-2000:]}{done.stdout[-2000:]}")
        return done.stdout

    def build(self, items_file, count, recall, threads):
        """Ids are row numbers, so that answers over the wire can be read. The queries are not shown to the build."""
        ids = self.folder / "ids.txt"
        ids.write_text("".join(f"{n}\n" for n in range(count)))
        started = time.perf_counter()
        self.run("build", "--vectors", items_file, "--ids", ids, "--metric", self.metric, "--index", self.index, "--recall", recall,
                 "--output", self.folder / "annex", "--threads", threads)
        seconds = time.perf_counter() - started
        manifest = json.loads(next((self.folder / "annex" / "versions").glob("*/manifest.json")).read_text())
        knob = manifest["measured"]["chosen"]["knob"]
        word = "ef" if knob == "efSearch" else knob
        self.efforts = [f"{word} {value}" for value in SWEEP.get(word, [])] + ["exact"]
        return {
            "kind": manifest["kind"], "seconds": seconds,
            "tried": [
                f"{c['kind']} " + (f"recall {c['recall']:.4f}" if "recall" in c else "given up as slower")
                for c in manifest.get("candidates", [])
            ],
            "chosen": f"{knob} {manifest['measured']['chosen'].get('value', '')}".strip(),
        }

    def bench(self, queries_file, efforts, rounds=1):
        """Lines of annctl and the CPU seconds of its process, all queries of the file, one thread for all of it: CPU time
        may not exceed wall time."""
        # OpenBLAS starts a thread for each core with the process, which spins for a while before it sleeps.
        alone = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        text = self.run("bench", "index", self.folder / "annex", "--json", "--queries", queries_file, "--count", 10**6, "--rounds", rounds,
                        "--threads", 1, *[word for effort in efforts for word in ("--effort", effort)], env=alone)
        wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        if cpu > CPU_LIMIT * wall:
            raise SystemExit(f"annctl bench took {cpu / wall:.2f} s of CPU a second with one thread")
        self.cpu_per_second = max(self.cpu_per_second, cpu / wall)
        return json.loads(text)["lines"], cpu

    def sweep(self, queries_file):
        """Every effort in one process, one pass each; the first effort runs twice, to warm."""
        return self.bench(queries_file, [self.efforts[0], *self.efforts])[0][1:]

    def per_cpu(self, queries_file, count, lines):
        """Queries per second of CPU time at each effort of `lines`. A process also loads and computes the exact answers; what
        that takes comes from the first effort, run with few passes and with many. Keeping and sorting annctl's own clock
        readings counts as search."""
        def run(line, passes):
            return self.bench(queries_file, [line["effort"]], passes)[1]

        first, rates = lines[0], []
        few = run(first, 1)
        seconds = max(PASSES_SECONDS, few / 2)

        def passes(line):
            return 2 + round(max(seconds * line["queriesPerSecond"] / count, 2))

        many = passes(first)
        all_of = run(first, many)
        rest = few - (all_of - few) / (many - 1)
        for line in lines:
            taken = all_of if line is first else run(line, passes(line))
            # The two loads differ by a few hundredths; a search that takes less than they do was not measured.
            if taken - rest < LEAST_SHARE * taken:
                raise SystemExit(f"{line['effort']}: {taken - rest:.2f} s of CPU in {taken:.2f} s were search; give more queries")
            rates.append(count * passes(line) / (taken - rest))
        return rates

    def wire_recall(self, port, effort, items, queries, last, k):
        """Recall of a server's answers by the yardstick of the peers (`last`: scores of the true k-th items); None where
        the wire has no such effort. `items` and `queries` are normalised on cosine."""
        knob, _, value = effort.partition(" ")
        option = {"kappa": [b"KAPPA", value.encode()], "ef": [b"EF", value.encode()], "exact": [b"TRUTH"]}.get(knob)
        if option is None:
            return None
        with socket.create_connection(("127.0.0.1", port), timeout=60) as link, link.makefile("rb") as reader:
            answers = []
            for query in queries:
                words = [b"VSIM", b"annex", b"FP32", query.tobytes(), b"COUNT", b"%d" % k, *option]
                link.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words))
                answers.append(self.read(reader, k))
        return data.recall(items, queries, np.array(answers), last, self.metric)

    @staticmethod
    def read(reader, k):
        head = reader.readline().strip()
        if head[:1] != b"*":
            raise SystemExit(f"the server answered {head[:200]!r}")
        rows = []
        for _ in range(int(head[1:])):
            length = int(reader.readline()[1:])
            rows.append(int(reader.read(length + 2)[:-2]))
        return rows + [-1] * (k - len(rows))

    def serve(self):
        """A server on a free port: (process, port)."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        process = subprocess.Popen([self.annctl, "serve", self.folder / "annex", "--host", "127.0.0.1", "--port", str(port)],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 60
        while time.monotonic() < end and process.poll() is None:
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=1) as link:
                    link.sendall(b"*1\r\n$4\r\nPING\r\n")
                    if link.recv(64).startswith(b"+PONG"):
                        return process, port
            except OSError:
                pass
            time.sleep(0.05)
        process.kill()
        raise SystemExit("annctl serve did not answer")
