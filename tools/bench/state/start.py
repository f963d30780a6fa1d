#!/usr/bin/env python3
"""How long a server with a large state is away after a kill -9.

    tools/bench/state/start.py ANNCTL FOLDER [EVENTS] [ROUNDS]

Makes an index and a state of EVENTS events (20,000,000) of 200,000 users in FOLDER where it has none, by `annctl ingest`; that takes
half an hour. Then ROUNDS times (5): starts a server, sends an event, kills it by SIGKILL, starts it again and asks READY, SEEN and TOPK
until each is answered. The state's file is in the page cache, as it is after a crash of the process alone.
"""

import pathlib
import re
import socket
import statistics
import subprocess
import sys
import time

import numpy as np

ITEMS, USERS, DIMENSION, PART = 20_000, 200_000, 16, 1_000_000
FIRST = 1_700_000_000_000


class Server:
    def __init__(self, annctl: str, folder: pathlib.Path, *options: str):
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            [annctl, "serve", folder / "shop", "--port", "0", "--threads", "1", "--state", folder / "state", *options],
            stderr=subprocess.PIPE, text=True)
        for line in self.process.stderr:
            if found := re.search(r"address=[^ ]*:(\d+)", line):
                self.port = int(found[1])
                return
        sys.exit("the server did not start")

    def ask(self, line: str) -> str:
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as c, c.makefile("rw", newline="\r\n") as text:
            text.write(line + "\r\n")
            text.flush()
            return text.readline().strip()


def make(annctl: str, folder: pathlib.Path, events: int) -> None:
    folder.mkdir(parents=True)
    random = np.random.default_rng(3)
    np.save(folder / "items.npy", random.normal(size=(ITEMS, DIMENSION)).astype("<f4"))
    (folder / "items.txt").write_text("".join(f"i{n}\n" for n in range(ITEMS)))
    subprocess.run([annctl, "build", "--vectors", folder / "items.npy", "--ids", folder / "items.txt", "--index", "Flat", "--fold-in", "als",
                    "--regularization", "0.1", "--alpha", "1", "--output", folder / "shop"], check=True)
    server = Server(annctl, folder, "--durability", "interval:200")
    for part in range(0, events, PART):
        count, file = min(PART, events - part), folder / f"events-{part}.tsv"
        users, items = random.integers(0, USERS, count), random.integers(0, ITEMS, count)
        file.write_text("".join(f"u{u}\ti{i}\t{FIRST + part + n}\n" for n, (u, i) in enumerate(zip(users.tolist(), items.tolist()))))
        words = [annctl, "ingest", "--port", str(server.port), "--columns", "user,item,time", "--patience", "600", file]
        subprocess.run(words, check=True)
        file.unlink()
    server.process.terminate()
    server.process.wait(120)


def main() -> None:
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    annctl, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    events, rounds = (int(word) for word in (sys.argv[3:] + ["20000000", "5"][len(sys.argv) - 3:])[:2])
    if not folder.exists():
        make(annctl, folder, events)
    away = []
    for turn in range(rounds):
        server = Server(annctl, folder)
        assert server.ask(f"EVENT late{turn} i1") == "+OK"
        server.process.kill()
        server.process.wait()
        server = Server(annctl, folder)
        answers = {}
        for line, wanted in (("READY", "+OK"), (f"SEEN late{turn}", "*1"), (f"TOPK u{turn} 10", "*10")):
            while server.ask(line) != wanted:
                assert time.monotonic() - server.began < 60, f"{line}: {server.ask(line)}"
            answers[line.split()[0]] = time.monotonic() - server.began
        away.append(answers)
        info = server.ask("PING")
        assert info == "+PONG"
        server.process.terminate()
        server.process.wait(120)
    size = (folder / "state" / "shop" / "state.lmdb").stat().st_size
    print(f"state of {size / 1e9:.2f} GB; seconds from the start of the process until answered, of {rounds} rounds:")
    for name in away[0]:
        seconds = sorted(row[name] for row in away)
        print(f"  {name}: median {statistics.median(seconds):.2f}, longest {seconds[-1]:.2f}")


if __name__ == "__main__":
    main()
