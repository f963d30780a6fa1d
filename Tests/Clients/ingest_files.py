"""What the tests of annctl ingest share: files of events, and what a run leaves beside them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import annex

ITEMS = [f"i{n}" for n in range(50)]
HEADING = "line\treason\ttext"


def ingest(server, file, *arguments, **options):
    port = server if isinstance(server, int) else server.port
    return annex.run_annctl("ingest", file, "--port", port, *arguments, **options)


def start(server, file, *arguments):
    return subprocess.Popen(
        [annex.annctl_path(), "ingest", str(file), "--port", str(server.port), *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def progress(file) -> dict:
    return json.loads(Path(f"{file}.progress").read_text())


def rejects(file) -> list[list[str]]:
    lines = Path(f"{file}.rejects.tsv").read_bytes().decode().split("\n")
    assert lines[0] == HEADING and lines[-1] == ""
    return [line.split("\t", 2) for line in lines[1:-1]]


def some_events(label, count, users=40):
    """Lines as tuples, and what a server has of them in the end: of the same user, item and time the last weight."""
    rng = annex.generator(label)
    rows = [
        (f"u{rng.integers(users)}", ITEMS[rng.integers(len(ITEMS))], int(rng.integers(1, 9)), 1_700_000_000_000 + int(rng.integers(count)))
        for _ in range(count)]
    return rows, {(user, item, at): float(weight) for user, item, weight, at in rows}


def save_tsv(path, rows, heading=False):
    head = "user_id\titem_id\tweight\ttime\n" if heading else ""
    path.write_text(head + "".join("\t".join(map(str, row)) + "\n" for row in rows))
    return path
