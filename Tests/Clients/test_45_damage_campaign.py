"""Damage by the hundred (I1, I2): each damaged version is refused by `annctl verify` and by RELOAD on a server that goes on
answering; and versions whose checksums were made to fit the damage are refused or served, and never stop the server.

ANNEX_DAMAGES and ANNEX_FORGED make it longer."""

import collections
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys

import pytest

import annex
from annex import Server, ServerError, built, current_version

MANIFESTS = ("manifest.json", "manifest.sha256")


@pytest.fixture(scope="module")
def subject(folder):
    """An index with two versions of the same rows, some MB each; (folder, the one that is served, the one to damage)."""
    catalogue = annex.make_catalogue("campaign", "ip", items=12_000, users=400, dimension=64)
    files = annex.save_catalogue(catalogue, folder / "input" / "campaign")
    place = folder / "campaign" / "shop"
    built(place, index="IVF32,Flat", recall=0.5, **files)
    served = current_version(place)
    built(place, index="HNSW16", recall=0.5, seed=9, **files)
    good = current_version(place)
    annex.run_annctl("rollback", place, check=True)
    assert current_version(place) == served != good
    return place, served, good


def bytes_of(version):
    return sum(p.stat().st_size for p in version.rglob("*") if p.is_file())


def paths_of(version):
    return sorted(str(p.relative_to(version)) for p in version.rglob("*") if p.is_file() and p.name != "report.json")


def remove(path):
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


class Damage:
    """One damage drawn from the seed: `apply` it to a whole version, `names` are what an error may point to, `undo` it."""

    CHANGES = ("a bit", "a byte", "bytes overwritten", "a cut", "a cut to nothing", "bytes more", "a page of zeros",
               "a page of another place", "bytes of the other version")
    PLACES = ("missing", "a link to the same bytes", "a link to /dev/zero", "a pipe", "a folder", "a file of 1 TiB",
              "two files swapped", "a file more", "a link more", "a link for the folder")

    def __init__(self, rng, version, other, aside):
        self.version, self.other, self.aside = version, other, aside
        paths = paths_of(version)
        # Big files hold most of the bytes, small ones most of the structure: files are drawn alike, users' as one in three.
        of_users = rng.random() < 1 / 3
        alike = [p for p in paths if p.startswith("users/") == of_users]
        self.path = alike[rng.integers(len(alike))]
        kinds = self.CHANGES if rng.random() < 0.7 else self.PLACES
        self.kind = kinds[rng.integers(len(kinds))]
        self.rng = rng
        self.names = [self.path.rsplit("/", 1)[-1]]
        if self.path in MANIFESTS:
            self.names = ["manifest."]
        self.changed: list = []

    def apply(self) -> bool:
        """False where the draw would change nothing."""
        file = self.version / self.path
        whole = file.read_bytes()
        if self.kind in self.CHANGES:
            data = self.damaged(whole)
            self.changed = [(file, whole)]
            if data != whole:
                file.write_bytes(data)
            return data != whole
        kind, self.changed = self.kind, [(file, whole)]
        if kind == "two files swapped":
            users = [p for p in paths_of(self.version) if p.startswith("users/") and p != self.path]
            second = self.version / (users[self.rng.integers(len(users))] if "users/" in self.path else "vectors.f32")
            if second == file:
                second = self.version / "items.lmdb"
            other = second.read_bytes()
            self.changed.append((second, other))
            self.names.append(second.name)
            file.write_bytes(other)
            second.write_bytes(whole)
            return other != whole
        if kind in ("a file more", "a link more"):
            stray = self.version / ("users" if self.rng.random() < 0.5 else ".") / ("16.lmdb", ".hidden", "stray.bin")[self.rng.integers(3)]
            self.names, self.changed = [stray.name], [(stray, None)]
            stray.write_bytes(b"x") if kind == "a file more" else stray.symlink_to("/etc/passwd")
            return True
        if kind == "a link for the folder":
            users = self.version / "users"
            users.rename(self.aside)
            users.symlink_to(self.aside)
            self.names, self.changed = ["users"], [(users, self.aside)]
            return True
        file.unlink()
        if kind == "a link to the same bytes":
            self.aside.write_bytes(whole)
            file.symlink_to(self.aside)
        elif kind == "a link to /dev/zero":
            file.symlink_to("/dev/zero")
        elif kind == "a pipe":
            os.mkfifo(file)
        elif kind == "a folder":
            file.mkdir()
        elif kind == "a file of 1 TiB":
            with open(file, "wb") as sparse:
                sparse.write(whole)
                sparse.truncate(1 << 40)
        return True

    def damaged(self, whole: bytes) -> bytes:
        rng, size = self.rng, len(whole)
        at = int(rng.integers(size))
        if self.kind == "a bit":
            return whole[:at] + bytes([whole[at] ^ (1 << int(rng.integers(8)))]) + whole[at + 1:]
        if self.kind == "a byte":
            return whole[:at] + bytes([int(rng.integers(256))]) + whole[at + 1:]
        if self.kind == "bytes overwritten":
            noise = rng.bytes(int(rng.integers(1, min(size - at, 5000) + 1)))
            return whole[:at] + noise + whole[at + len(noise):]
        if self.kind == "a cut":
            return whole[:at]
        if self.kind == "a cut to nothing":
            return b""
        if self.kind == "bytes more":
            return whole + (rng.bytes(int(rng.integers(1, 9000))) if rng.random() < 0.5 else b"\x00")
        page = at // 4096 * 4096
        if self.kind == "a page of zeros":
            return whole[:page] + bytes(min(4096, size - page)) + whole[page + 4096:]
        if self.kind == "a page of another place":
            source = int(rng.integers(size)) // 4096 * 4096
            return whole[:page] + whole[source:source + 4096][:size - page] + whole[page + 4096:]
        stranger = (self.other / self.path).read_bytes()
        return stranger if rng.random() < 0.5 else whole[:page] + stranger[page:page + 4096] + whole[page + 4096:]

    def undo(self) -> None:
        for path, content in self.changed:
            if isinstance(content, bytes) or content is None:
                remove(path)
                if content is not None:
                    path.write_bytes(content)
            else:
                path.unlink()
                content.rename(path)
        if self.changed and not isinstance(self.changed[0][1], type(self.aside)):
            remove(self.aside)


# A process that a big one starts counts the big one's memory as its own, as it begins as its copy: a small one in between.
MEASURED = """import resource, subprocess, sys
code = subprocess.run(sys.argv[1:], stdin=subprocess.DEVNULL).returncode
print("\\nmaxrss", resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, flush=True)
sys.exit(code if code >= 0 else 128 - code)"""


def verify(place, *version):
    """(exit, what it said, most memory in bytes)."""
    command = [sys.executable, "-S", "-c", MEASURED, annex.annctl_path(), "verify", str(place)]
    command += ["--version", version[0].name] if version else []
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
    text, memory = done.stdout.decode(errors="replace").rsplit("\nmaxrss ", 1)
    return done.returncode, text, int(memory) * 1024


def peak(server) -> int:
    """The most memory since the start or since `forget_peak`, in bytes."""
    with open(f"/proc/{server.process.pid}/status") as file:
        return int(re.search(r"VmHWM:\s+(\d+) kB", file.read())[1]) * 1024


def forget_peak(server) -> None:
    with open(f"/proc/{server.process.pid}/clear_refs", "w") as file:
        file.write("5")


def test_damage_by_the_hundred(subject, tmp_path, fact):
    place, served, good = subject
    rng, wanted = annex.generator("campaign"), annex.setting("ANNEX_DAMAGES", 80)
    size = bytes_of(good)
    code, text, plain = verify(place, good)
    assert code == 0, text
    tiny = annex.PROJECT / "Tests" / "Golden" / "v4" / "shop"
    program = verify(tiny)[2] - bytes_of(current_version(tiny))
    kinds, files, dearest = collections.Counter(), collections.Counter(), 0
    with Server(place, log=tmp_path / "server.log") as server, server.connect(timeout=60) as c, server.connect() as health:
        c.call("RELOAD", "shop", good.name)  # once, so that the memory of a swap is not taken for that of damage
        c.call("RELOAD", "shop", served.name)
        before = health.call("TOPK", "u1", 10, "WITHSCORES")
        resting, descriptors = server.rss(), server.descriptors()
        forget_peak(server)
        tried = 0
        while tried < wanted:
            damage = Damage(rng, good, served, tmp_path / "aside")
            try:
                if not damage.apply():
                    continue
                told = f"{damage.kind} in {damage.path}"
                code, text, most = verify(place, good)
                dearest = max(dearest, most)
                assert code == 1, f"{told}: verify ended with {code}\n{text}"
                assert any(n in text for n in damage.names), f"{told}: verify does not name {damage.names}:\n{text}"
                error = str(c.error("RELOAD", "shop", good.name))
                assert any(n in error for n in damage.names), f"{told}: RELOAD does not name {damage.names}: {error}"
                assert health.call("TOPK", "u1", 10, "WITHSCORES") == before, told
            finally:
                damage.undo()
            tried += 1
            kinds[damage.kind] += 1
            files["users/*" if damage.path.startswith("users/") else damage.path] += 1
        most = peak(server)
        assert server.descriptors() <= descriptors + 1
        c.call("RELOAD", "shop", good.name)
        assert good.name in repr(c.call("INDEXES"))
        server.assert_alive()
    fact(f"damaged versions: {tried}, all refused by verify and by RELOAD with the file's name, {tried} right answers in between")
    fact(f"damage by kind: {dict(sorted(kinds.items()))}")
    fact(f"damage by file: {dict(sorted(files.items()))}")
    fact(f"damage: index of {size / 2**20:.1f} MiB; verify took at most {dearest / 2**20:.1f} MiB (undamaged {plain / 2**20:.1f}, "
         f"the program alone {program / 2**20:.1f}); "
         f"server {resting / 2**20:.1f} MiB at rest, {most / 2**20:.1f} at most")
    assert dearest - program <= 2 * size and most - resting <= 2 * size


# --- Checksums made to fit ---------------------------------------------------------------------------------------------


def forge(version, place):
    """Writes the manifest anew so that it fits the files; the folder gets the name that fits the manifest."""
    manifest = json.loads((version / "manifest.json").read_bytes())
    for entry in manifest["files"]:
        data = (version / entry["path"]).read_bytes()
        entry["bytes"], entry["sha256"] = len(data), hashlib.sha256(data).hexdigest()
    text = json.dumps(manifest).encode()
    digest = hashlib.sha256(text).hexdigest()
    (version / "manifest.json").write_bytes(text)
    (version / "manifest.sha256").write_text(f"{digest}  manifest.json\n")
    target = place / "versions" / f"20300101T000000Z-{digest[:8]}"
    version.rename(target)
    return target


QUESTIONS = [
    ("TOPK", "u1", 10, "INDEX", "shop", "WITHSCORES", "WITHATTRIBS"), ("TOPK", "u2", 200, "INDEX", "shop"), ("TOPK", "u3", 5, "TRUTH"),
    ("TOPK", "u5", 20, "EXCLUDE", 2, "i1", "i2"), ("MTOPK", 3, "u1", "u2", "u3", 10), ("SCORE", "u1", 2, "i1", "i5"),
    ("VSIM", "shop", "ELE", "i1", "WITHSCORES", "WITHATTRIBS"), ("VEMB", "shop", "i1"), ("VGETATTR", "shop", "i3"),
    ("VLINKS", "shop", "i1", "WITHSCORES"), ("VRANDMEMBER", "shop", -20), ("VISMEMBER", "shop", "é0:ü"), ("VINFO", "shop"),
    ("INDEXES",), ("MEMORY", "USAGE", "shop"),
]


@pytest.mark.parametrize("kind", ["HNSW8", "IVF8,PQ8", "IVF8,Flat"])
def test_forged_versions_never_stop_the_server(folder, tmp_path, fact, kind):
    catalogue = annex.make_catalogue("forged", "l2", items=400, users=60, dimension=8)
    files = annex.save_catalogue(catalogue, folder / "input" / "forged")
    place = built(tmp_path / "shop", index=kind, recall=0.5, **files)
    good, rng, wanted = current_version(place), annex.generator("forged " + kind), annex.setting("ANNEX_FORGED", 60) // 3
    data = [p for p in paths_of(good) if p not in MANIFESTS]
    refused = taken = answers = errors = 0
    with Server(place, log=tmp_path / "server.log") as server, server.connect(timeout=60) as c:
        right = c.call("TOPK", "u1", 10, "WITHSCORES")
        for _ in range(wanted):
            copy = place / "versions" / "copy"
            shutil.copytree(good, copy)
            damage = Damage(rng, copy, good, tmp_path / "aside")
            # Half of them in the files with most structure; only changes of content, as a link has no checksum.
            focus = [p for p in data if p in ("index.faiss", "serving.bin", "items.lmdb", "users/03.lmdb")]
            damage.path = focus[rng.integers(len(focus))] if rng.random() < 0.5 else data[rng.integers(len(data))]
            damage.kind = Damage.CHANGES[rng.integers(len(Damage.CHANGES) - 1)]
            damage.apply()
            if damage.kind in ("a bit", "a byte") and rng.random() < 0.7:
                # A header: that is where lengths and page numbers stand.
                file = copy / damage.path
                whole = bytearray(file.read_bytes())
                if whole:
                    whole[int(rng.integers(min(len(whole), 300)))] ^= 1 << int(rng.integers(8))
                    file.write_bytes(whole)
            forged = forge(copy, place)
            told = f"{kind}: {damage.kind} in {damage.path}"
            code, text, _ = verify(place, forged)
            assert code in (0, 1), f"{told}: verify ended with {code}\n{text}"
            try:
                c.call("RELOAD", "shop", forged.name)
                taken += 1
                for question in QUESTIONS:
                    try:
                        c.call(*question)
                        answers += 1
                    except ServerError:
                        errors += 1
                    except (EOFError, ConnectionError) as failure:
                        raise AssertionError(f"{told}: the server ended with {server.process.wait(10)} at {question}") from failure
                c.call("RELOAD", "shop", good.name)
            except ServerError:
                refused += 1
            except (EOFError, ConnectionError) as failure:
                raise AssertionError(f"{told}: the server ended with {server.process.wait(10)} at RELOAD") from failure
            assert c.call("TOPK", "u1", 10, "WITHSCORES") == right, told
            shutil.rmtree(forged)
        server.assert_alive()
    fact(f"forged versions ({kind}): {wanted}, {refused} refused, {taken} served and asked ({answers} answers, {errors} errors), 0 crashes")
