"""Versions on disk: layout, list, inspect, verify, rollback, prune, RELOAD, the same bytes twice, hostile names."""

import hashlib
import json
import os
import re
import shutil
import stat
import threading

import pytest

import annex
from annex import Server, built, current_version, run_annctl, said, versions_of


@pytest.fixture
def three(small, tmp_path):
    """An index with three versions, built with three seeds; (folder, names in order)."""
    _, files = small
    names = []
    for seed in (1, 2, 3):
        # HNSW, so that the seed reaches the bytes; the loop ends a second apart where names would be equal.
        built(tmp_path / "three", seed=seed, **{**files, "index": "HNSW8"})
        names.append(current_version(tmp_path / "three").name)
    return tmp_path / "three", names


def test_layout(three):
    index, names = three
    assert len(set(names)) == 3 and names == sorted(names) == versions_of(index)
    assert all(annex.VERSION_NAME.fullmatch(n) for n in names)
    version = index / "versions" / names[-1]
    wanted = {"manifest.json", "manifest.sha256", "report.json", "index.faiss", "vectors.f32", "items.lmdb", "users"}
    assert wanted <= {p.name for p in version.iterdir()}
    assert sorted(p.name for p in (version / "users").iterdir()) == [f"{n:02}.lmdb" for n in range(16)]
    manifest = (version / "manifest.json").read_bytes()
    json.loads(manifest), json.loads((version / "report.json").read_bytes())
    digest = hashlib.sha256(manifest).hexdigest()
    assert digest in (version / "manifest.sha256").read_text()
    text = manifest.decode()
    for path in version.rglob("*"):
        if path.is_file() and path.name not in ("manifest.json", "manifest.sha256", "report.json"):
            assert hashlib.sha256(path.read_bytes()).hexdigest() in text, f"{path.name} is not in the manifest"
    assert os.readlink(index / "current") == f"versions/{names[-1]}"
    assert annex.leftovers_of(index) == []
    assert not list(version.rglob("*lock*"))


def test_list_inspect_verify_rollback_prune(three):
    index, names = three
    listing = run_annctl("list", index, check=True).stdout
    assert [n for n in names if n in listing] == names
    assert any("current" in line.lower() or "*" in line for line in listing.splitlines() if names[-1] in line)
    inspected = run_annctl("inspect", index, check=True).stdout
    assert names[-1] in inspected and "HNSW8" in inspected and "300" in inspected
    run_annctl("verify", index, check=True)

    run_annctl("rollback", index, check=True)
    assert current_version(index).name == names[1]
    run_annctl("rollback", index, check=True)
    assert current_version(index).name == names[0]
    assert run_annctl("rollback", index).returncode == 1, "there is none before the first"
    assert current_version(index).name == names[0]

    run_annctl("prune", index, "--keep", 1, check=True)
    kept = versions_of(index)
    assert names[0] in kept and len(kept) <= 2, "what is current is never pruned"
    run_annctl("verify", index, check=True)
    assert run_annctl("prune", index, "--keep", "-1").returncode in (1, 64)


def test_list_says_why_a_version_is_unreadable(three, tmp_path):
    """One of a format that is not read any more, one of a later format, one that is damaged: each with what serve says of it."""
    index, names = three
    for name, number in zip(names, (3, 99)):
        version = index / "versions" / name
        manifest = re.sub(rb'"format" *: *\d+', b'"format":%d' % number, (version / "manifest.json").read_bytes())
        (version / "manifest.json").write_bytes(manifest)
        (version / "manifest.sha256").write_text(f"{hashlib.sha256(manifest).hexdigest()}  manifest.json\n")
    annex.flip_bit(index / "versions" / names[2] / "manifest.json", 100, 3)
    listing = run_annctl("list", index, check=True).stdout
    assert "unreadable" in listing and listing.count("manifest") >= 3
    for number in (3, 99):
        line = next(line for line in listing.splitlines() if f"is of format {number}," in line)
        assert "annctl build" in line
    for name in names:
        served = run_annctl("serve", index, "--port", annex.free_port(), timeout=30)
        why = next(line for line in listing.splitlines() if line.startswith("unreadable:") and name in line)
        if name == names[2]:
            assert served.returncode == 1 and why.removeprefix("unreadable: ").split(". ")[0] in said(served)
    problems = {row["version"]: row["problem"] for row in json.loads(run_annctl("list", index, "--json", check=True).stdout)}
    assert set(problems) == set(names) and "format 3" in problems[names[0]]


def test_same_input_recipe_and_seed_give_the_same_bytes(small, tmp_path):
    _, files = small
    for kind in ("HNSW8", "IVF4,PQ4", "OPQ4,IVF4,PQ4", "Flat"):
        folders = []
        for turn in ("a", "b"):
            place = tmp_path / kind.replace(",", "") / turn / "twice"
            built(place, seed=7, threads=1, **{**files, "index": kind})
            folders.append(current_version(place))
        a, b = folders
        assert a.name.rsplit("-", 1)[1] == b.name.rsplit("-", 1)[1], "the content hash in the name"
        names = sorted(str(p.relative_to(a)) for p in a.rglob("*") if p.is_file())
        assert names == sorted(str(p.relative_to(b)) for p in b.rglob("*") if p.is_file())
        for name in names:
            if name != "report.json":
                assert (a / name).read_bytes() == (b / name).read_bytes(), f"{kind}: {name} differs"


def test_a_read_only_version_is_served(small, tmp_path):
    _, files = small
    index = built(tmp_path / "readonly", **{**files, "index": "HNSW8"})
    for path in [index, *index.rglob("*")]:
        if not path.is_symlink():
            path.chmod(path.stat().st_mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))
    before = sorted(str(p) for p in index.rglob("*"))
    try:
        with Server(index, log=tmp_path / "server.log") as server, server.connect() as c:
            assert len(c.call("TOPK", "u0", 5)) == 5
        assert sorted(str(p) for p in index.rglob("*")) == before, "serving wrote into a version"
    finally:
        for path in [index, *index.rglob("*")]:
            if not path.is_symlink():
                path.chmod(path.stat().st_mode | stat.S_IWUSR)


def test_reload_follows_current_or_the_named_version(three, tmp_path):
    index, names = three
    with Server(index, log=tmp_path / "server.log") as server, server.connect() as c:

        def served():
            return next(n for n in names if n in repr(c.call("INDEXES")))

        assert served() == names[2]
        c.call("RELOAD", "three", names[0])
        assert served() == names[0] and current_version(index).name == names[2], "current stays"
        c.call("RELOAD", "three")
        assert served() == names[2]
        run_annctl("rollback", index, check=True)
        assert served() == names[2]
        c.call("RELOAD", "three")
        assert served() == names[1]
        c.error("RELOAD", "three", "20200101T000000Z-00000000")
        assert served() == names[1]


@pytest.mark.slow
def test_swaps_under_load_fail_nothing(three, tmp_path, fact):
    index, names = three
    stop, failures, answered = threading.Event(), [], [0]
    with Server(index, log=tmp_path / "server.log") as server:

        def ask():
            with server.connect() as c:
                while not stop.is_set():
                    try:
                        assert len(c.call("TOPK", "u1", 10)) == 10
                        answered[0] += 1
                    except Exception as error:
                        failures.append(error)
                        return

        asker = threading.Thread(target=ask)
        asker.start()
        try:
            with server.connect() as c:
                c.call("RELOAD", "three", names[0])
                descriptors, memory = server.descriptors(), server.rss()
                for n in range(30):
                    c.call("RELOAD", "three", names[n % 3])
                c.call("RELOAD", "three", names[0])
                annex.wait_until(lambda: server.descriptors() <= descriptors, 10, "old versions closed")
        finally:
            stop.set()
            asker.join(15)
        grown = server.rss() - memory
    fact(f"swaps under load: 32, answers {answered[0]}, failures {len(failures)}, RSS {grown / 2**20:+.1f} MiB")
    assert not failures and answered[0] > 0


def hostile_names(rng):
    fixed = [
        "..", ".", "", "/", "//", "../", "../..", "../../etc/passwd", "/etc/passwd", "versions", "current", "../current", "%2e%2e",
        "..%2f..", "..\\..", "a/b", "a/../b", "./x", "~", "~root", "$HOME", "`id`", "*", "?", "-", "--help", "-rf", ".tmp-x", ".hidden",
        "x" * 65, "x" * 300, "x" * 70_000, "a\x00b", "\x00", "\n", "a\r\nb", " ", "a b", "é", "e\u0301", "．．", "‥", "／etc", "\u202e..",
        b"\xff\xfe", b"\xc0\xae\xc0\xae", b"..\x00", "con", "nul", "file:///etc/passwd", "proc/self/root", "20200101T000000Z-00000000",
    ]
    alphabet = ["..", "/", ".", "\\", "%2e", "%2f", "\x00", "a", "é", " ", "versions", "current", "etc", "~"]
    drawn = ["".join(alphabet[n] for n in rng.integers(0, len(alphabet), rng.integers(1, 7))) for _ in range(200 - len(fixed))]
    return fixed + drawn


def test_hostile_version_names_open_nothing_outside(small, tmp_path, fact):
    """I5: names are refused before a file is opened; where strace works, its record is the judge."""
    _, files = small
    index = built(tmp_path / "data" / "guarded", **{**files, "index": "Flat"})
    (index / "versions" / "link").symlink_to("/etc")
    (index / "versions" / "up").symlink_to("../../..")
    record = tmp_path / "strace.txt"
    # -D: the tracer is a child of its own, so that signals sent to the process reach the server.
    prefix = ["strace", "-D", "-f", "-qq", "-y", "-e", "trace=open,openat,openat2,readlink,readlinkat", "-o", str(record)]
    if not shutil.which("strace") or os.system(" ".join(prefix) + " true 2>/dev/null") != 0:
        prefix = []
    names = [*hostile_names(annex.generator("names")), "link", "up"]
    refused = 0
    with Server(index, log=tmp_path / "server.log", prefix=prefix) as server:
        with server.connect() as c:
            c.call("RELOAD", "guarded")
        seen = record.read_text(errors="replace").count("\n") if prefix else 0
        for name in names:
            with server.connect() as c:
                c.error("RELOAD", "guarded", name)
                c.error("RELOAD", name)
                refused += 1
                assert c.call("PING") == "PONG"
        with server.connect() as c:
            assert len(c.call("TOPK", "u0", 5)) == 5
        if prefix:
            lines = record.read_text(errors="replace").splitlines()[seen:]
            # With -y strace shows where each open ended: "= 5</path>"; failed ones end in "= -1".
            opened = {found[1] for line in lines if (found := re.search(r"= \d+<(/[^>]*)>", line))}
            harmless = (str(tmp_path / "data"), "/proc/", "/sys/", "/dev/", "/usr/", "/lib", "/etc/localtime", "/etc/ld.so")
            assert not [p for p in opened if not p.startswith(harmless)], "opened outside the data directory"
            named = [line for line in lines if re.search(r'"(/etc/passwd|/etc|[^"]*\.\.(/[^"]*)?)"', line)]
            assert not named, named[:5]
    fact(f"hostile version and index names: {refused}, all refused, {'watched by strace' if prefix else 'strace not available'}")


def test_hostile_index_folders_and_build_names(small, tmp_path):
    _, files = small
    for name in ("..", ".hidden", "a b", "x" * 65, "é"):
        done = annex.build(tmp_path / "out" / name, **files)
        assert done.returncode in (1, 64), f"{name!r}: {said(done)}"
    assert run_annctl("serve", tmp_path / "absent", "--port", annex.free_port(), timeout=30).returncode == 1
