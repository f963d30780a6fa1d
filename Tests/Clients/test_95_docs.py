"""The commands of the documents do what the documents say: each is run as it stands there, on small data.

What differs from the page is in this file: the words that stand for something (VERSION, STATE, …), and what a page takes for
given (files of a trainer, a log, the other replicas).
"""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil

import numpy as np
import pytest

import annex
import documents
from cluster_network import Namespaces
from documents import Block, Stage

# Blocks of commands: a new one moves these on purpose.
RUN, LEFT_OUT = 17, 20
# Names of the architecture's page that other projects declare.
LIBRARIES = {"ByteBuffer"}
ADDRESSES = [f"10.0.0.{n}" for n in (1, 2, 3, 4, 8, 9)]
REPLICAS = {"10.0.0.1": "0-8191", "10.0.0.2": "0-8191", "10.0.0.3": "8192-16383", "10.0.0.4": "8192-16383"}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """What a trainer leaves, in every form that a page names; the user `alice` is in all."""
    folder = tmp_path_factory.mktemp("docs-input")
    rng, items, users, dimension = annex.generator("docs"), 300, 40, 16
    y, x = rng.standard_normal((items, dimension)).astype("f4"), rng.standard_normal((users, dimension)).astype("f4")
    names, people = [f"i{n}" for n in range(items)], ["alice", *(f"u{n}" for n in range(1, users))]
    np.save(folder / "items.npy", y)
    np.save(folder / "users.npy", x)
    np.save(folder / "item_bias.npy", rng.standard_normal(items).astype("f4"))
    np.save(folder / "user_bias.npy", rng.standard_normal(users).astype("f4"))
    annex.save_ids(folder / "items.txt", names)
    annex.save_ids(folder / "users.txt", people)
    seen = [np.sort(rng.choice(items, 12, replace=False)) for _ in people]
    np.savez(folder / "train.npz", indices=np.concatenate(seen).astype("i4"), indptr=np.arange(0, 12 * users + 1, 12, dtype="i4"),
             format=np.array(b"csr"), shape=np.array([users, items]), data=np.ones(12 * users, dtype="f4"))
    for kind, rows in (("items", y), ("users", x)):
        (folder / kind).mkdir()
        lines = [json.dumps({"id": n, "features": [float(v) for v in row]}) + "\n" for n, row in enumerate(rows)]
        (folder / kind / "part-00000.json").write_text("".join(lines[:20]))
        (folder / kind / "part-00001.json").write_text("".join(lines[20:]))
    (folder / "items.vec").write_text(f"{items} {dimension}\n" + "".join(
        f"{name} {' '.join(map(str, row))}\n" for name, row in zip(names, y)))
    (folder / "items.w2v").write_bytes(b"%d %d\n" % (items, dimension) + b"".join(
        name.encode() + b" " + row.tobytes() + b"\n" for name, row in zip(names, y)))
    with gzip.open(folder / "visits.tsv.gz", "wt") as file:
        file.writelines(f"{people[n % users]}\t{names[n * 7 % items]}\n" for n in range(2_000))
        file.write("7\tno-such-place\n")
    (folder / "pw").write_text("a password of the documents\n")
    os.chmod(folder / "pw", 0o600)
    shop = folder / "indexes" / "shop"
    annex.built(shop, vectors=folder / "items.npy", ids=folder / "items.txt", users=folder / "users.npy",
                user_ids=folder / "users.txt", history=folder / "train.npz", trained_until=1_700_000_000_000, fold_in="als",
                regularization=1, alpha=10)
    return folder


@pytest.fixture(scope="module")
def debian(tmp_path_factory):
    """The index that the demo serves, built once."""
    folder = tmp_path_factory.mktemp("docs-debian") / "debian"
    tracked = [p for p in (annex.PROJECT / "indexes" / "debian").iterdir() if p.is_file() and not p.is_symlink()]
    folder.mkdir()
    for path in tracked:
        shutil.copy(path, folder)
    annex.run_annctl("build", folder / "recipe.yaml", check=True)
    return folder


def copied(folder, to) -> None:
    shutil.copytree(folder, to, symlinks=True, dirs_exist_ok=True)


# What a page takes for given below a heading: done once, before the first of its blocks.


def with_debian(stage: Stage, debian, at="indexes/debian", versions=1) -> None:
    copied(debian, stage.folder / at)
    for _ in range(versions - 1):
        stage.run(f"annctl build {at}/recipe.yaml")


def ask_debian(stage: Stage, debian) -> None:
    with_debian(stage, debian)
    stage.serve("annctl serve indexes/debian")


def a_log(stage: Stage, _) -> None:
    stage.run("redis-server --bind 10.0.0.9 --port 6379 --protected-mode no --save '' --daemonize yes --pidfile $PWD/redis.pid")


def a_server_with_a_log(stage: Stage, _) -> None:
    a_log(stage, _)
    stage.serve("annctl serve indexes/shop --state state --log redis://10.0.0.9:6379")
    stage.run("annctl query EVENT alice i1")


def a_state(stage: Stage, _) -> None:
    stage.serve("annctl serve indexes/shop --state state")
    stage.run("for n in 1 2 3; do annctl query EVENT alice i$n AT 170000000000$n; done")
    stage.stop(("127.0.0.1", "7700"))


GIVEN = {
    ("README.md", "Ask it"): ask_debian,
    ("indexes/debian/README.md", "debian: which package would this source package use?"): with_debian,
    ("docs/operations.md", "Versions"): lambda stage, debian: with_debian(stage, debian, versions=2),
    ("deploy/README.md", "One server: systemd"): lambda stage, debian: with_debian(stage, debian, "srv/annex/indexes/debian"),
    ("docs/cluster.md", "Many machines"): a_log,
    ("docs/log.md", "Backups, new replicas, trimming"): a_server_with_a_log,
    ("docs/state.md", "Compaction"): a_state,
}
# Words of a page that stand for something, and what they stand for here.
WORDS = {
    "docs/operations.md": {"VERSION": "$(ls indexes/debian/versions | head -n 1)"},
    "docs/log.md": {"STATE/": "state/", "NEW/": "new/", "LOG ": "redis://10.0.0.9:6379 "},
    "docs/state.md": {"STATE/NAME": "state/shop", "indexes/NAME": "indexes/shop"},
    "deploy/README.md": {"/srv/annex/": "srv/annex/"},
}


def each(page: str, command: str) -> list[str]:
    """The commands that a line stands for: "one of these per replica" is four."""
    for word, meaning in WORDS.get(page, {}).items():
        command = command.replace(word, meaning)
    if "one of these per replica" not in command:
        return [command]
    return [command.replace("10.0.0.1 ", f"{host} ").replace("--state state", f"--state state-{host}").replace("0-8191", slots)
            for host, slots in REPLICAS.items()]


def run(block: Block, stage: Stage) -> None:
    for command in (command for written in block.commands for command in each(block.page, written)):
        if documents.SERVER.match(command):
            stage.serve(command)
        else:
            stage.run(command, block.language)


def runnable(page: str) -> list[Block]:
    return [b for b in documents.blocks(page) if b.language in documents.RUNNABLE]


@pytest.mark.parametrize("page", [page for page in documents.PAGES if any(b.reason is None for b in runnable(page))])
def test_commands_run(page, inputs, debian, tmp_path):
    Namespaces.skip_unless_possible()
    given = {heading: prepare for (of, heading), prepare in GIVEN.items() if of == page}
    with Stage(tmp_path / "stage", ADDRESSES) as stage:
        copied(inputs, stage.folder)
        for block in documents.blocks(page):
            if block.text.startswith("# cluster.yaml"):
                (stage.folder / "cluster.yaml").write_text(block.text)
            if block.language in documents.RUNNABLE and block.reason is None:
                try:
                    given.pop(block.heading, lambda *_: None)(stage, debian)
                    run(block, stage)
                except AssertionError as error:
                    raise AssertionError(f"{block}: {error}") from None
    assert not given, f"what {page} takes for given was not needed below {list(given)}"


def test_each_block_is_run_or_says_why_not(fact):
    run, left_out = 0, []
    for page in documents.PAGES:
        for block in documents.blocks(page):
            assert block.language in documents.RUNNABLE | documents.OTHER, f"{block}: the language {block.language!r} is unknown"
            assert not block.note or block.reason, f"{block}: behind the language stands 'not run: ' and why, or nothing"
            if block.language not in documents.RUNNABLE:
                assert "annctl " not in block.text.split("\n")[0] or block.text.startswith("== "), f"{block} is a command: say sh"
            elif block.reason:
                left_out.append(f"{block} ({block.reason})")
            else:
                assert block.commands, f"{block} has no command"
                run += 1
    fact(f"documents: {run} blocks of commands run, {len(left_out)} left out: " + "; ".join(left_out))
    assert (run, len(left_out)) == (RUN, LEFT_OUT), "a block came or went: say so in RUN and LEFT_OUT"


def test_subcommands_in_documents_exist():
    """`annctl NAME` in a sentence is a subcommand."""
    named = [(page, name) for page in documents.PAGES
             for name in re.findall(r"annctl ([a-z][a-z-]+)", (annex.PROJECT / page).read_text())]
    assert len(named) > 50
    # Of a name that it does not know the program shows its own help.
    known = {name for name in {name for _, name in named} if f"USAGE: annctl {name}" in annex.said(annex.run_annctl(name, "--help"))}
    assert not [f"{page}: annctl {name}" for page, name in named if name not in known]


def test_paths_in_the_architecture_exist():
    """`AnnexIndex/Searcher` is a file or a folder of Sources; a bare name in capitals is declared there."""
    sources = annex.PROJECT / "Sources"
    words = re.findall(r"`([^`\n]+)`", (annex.PROJECT / "docs/architecture.md").read_text())
    paths = [word for word in words if re.fullmatch(r"C?Annex\w*(/[\w+]+)+", word)]
    text = "\n".join(file.read_text() for file in sources.rglob("*.swift"))
    declared = set(re.findall(r"\b(?:struct|class|enum|protocol|actor|typealias) (\w+)", text))
    files = {file.stem for file in sources.rglob("*.swift")} | {folder.name for folder in sources.iterdir()}
    names = [word for word in words if re.fullmatch(r"[A-Z]\w*[a-z]\w*(\+\w+)?", word)]
    assert len(paths) > 20 and len(names) > 40
    assert not [path for path in paths if not (sources / path).is_dir() and not (sources / f"{path}.swift").is_file()]
    assert not [name for name in names if name not in declared | files | LIBRARIES]
