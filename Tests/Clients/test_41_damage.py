"""Damaged versions are refused with the file's name, by verify, by serve and by RELOAD; what is served goes on (I1, I2)."""

import shutil

import pytest

import annex
from annex import Server, built, current_version, run_annctl, said

# Nothing depends on these bytes: the report varies from build to build and is not covered.
UNCOVERED = {"report.json"}


@pytest.fixture(scope="module")
def original(small, folder):
    _, files = small
    return built(folder / "damage" / "original", **{**files, "index": "HNSW8"})


def files_of(index):
    version = current_version(index)
    return sorted(str(p.relative_to(version)) for p in version.rglob("*") if p.is_file() and p.name not in UNCOVERED)


def copy_of(original, place):
    shutil.copytree(original, place, symlinks=True)
    return place


def named(path, text):
    """The damaged file's name; damage of the pair of manifests may be told by either."""
    name = path.rsplit("/", 1)[-1]
    return name in text or (name.startswith("manifest.") and "manifest." in text)


def damages(rng, path, size):
    """(what, function(file)) for one file."""

    def flip(offset, bit):
        return f"bit {bit} of byte {offset}", lambda f: annex.flip_bit(f, offset, bit)

    def cut(length):
        def apply(f):
            with open(f, "r+b") as file:
                file.truncate(length)

        return f"cut to {length}", apply

    def grow(f):
        with open(f, "ab") as file:
            file.write(b"\x00")

    def replace_by_link(f):
        moved = f.rename(f.parents[len(path.split("/")) + 1] / "elsewhere")  # into the index's own folder
        f.symlink_to(moved)

    def zero_page(f):
        with open(f, "r+b") as file:
            file.write(b"\xa5" * min(size, 4096))

    yield flip(0, int(rng.integers(8)))
    yield flip(size - 1, int(rng.integers(8)))
    yield flip(int(rng.integers(size)), int(rng.integers(8)))
    yield cut(0)
    yield cut(size - 1)
    yield cut(int(rng.integers(1, size)))
    yield "one byte more", grow
    yield "first page overwritten", zero_page
    yield "missing", lambda f: f.unlink()
    yield "a link to the same bytes", replace_by_link


def test_verify_names_the_damaged_file(original, tmp_path, fact):
    run_annctl("verify", original, check=True)
    rng, tried = annex.generator("damage"), 0
    for path in files_of(original):
        size = (current_version(original) / path).stat().st_size
        for number, (what, apply) in enumerate(damages(rng, path, size)):
            place = copy_of(original, tmp_path / f"{tried}" / "damaged")
            apply(current_version(place) / path)
            done = run_annctl("verify", place, timeout=30)
            assert done.returncode == 1, f"{path}, {what}: exit {done.returncode}\n{said(done)}"
            assert named(path, said(done)), f"{path}, {what}: not named in\n{said(done)}"
            shutil.rmtree(place.parent)
            tried += 1
    fact(f"damaged copies refused by verify: {tried} of {tried}")


def test_a_file_that_nobody_lists_is_an_error(original, tmp_path):
    place = copy_of(original, tmp_path / "damaged")
    (current_version(place) / "stray.bin").write_bytes(b"x")
    done = run_annctl("verify", place)
    assert done.returncode == 1 and "stray.bin" in said(done)
    place = copy_of(original, tmp_path / "damaged2")
    (current_version(place) / "users" / "16.lmdb").write_bytes(b"x")
    assert run_annctl("verify", place).returncode == 1


@pytest.mark.parametrize("path", ["index.faiss", "vectors.f32", "items.lmdb", "users/07.lmdb", "manifest.json", "manifest.sha256"])
def test_serve_refuses_a_damaged_version(original, tmp_path, path):
    place = copy_of(original, tmp_path / "damaged")
    file = current_version(place) / path
    annex.flip_bit(file, file.stat().st_size // 2, 3)
    done = run_annctl("serve", place, "--port", annex.free_port(), timeout=30)
    assert done.returncode == 1 and named(path, said(done)), said(done)


def test_reload_of_damage_keeps_the_old_version(small, original, tmp_path, fact):
    """Damaged after verify had passed, in every file in turn: RELOAD says which file, and answers stay what they were."""
    _, files = small
    place = copy_of(original, tmp_path / "serving")
    old = current_version(place).name
    built(place, seed=99, **{**files, "index": "HNSW8"})
    good = current_version(place)
    assert good.name != old
    rng, tried = annex.generator("reload damage"), 0
    run_annctl("rollback", place, check=True)
    with Server(place, log=tmp_path / "server.log") as server, server.connect(timeout=30) as c:
        before = c.call("TOPK", "u1", 10, "WITHSCORES")
        for path in files_of(original):
            size = (good / path).stat().st_size
            saved = (good / path).read_bytes()
            for number, (what, apply) in enumerate(damages(rng, path, size)):
                if number in (1, 4, 6):
                    continue  # verify has seen them all; here the point is what the server does
                if what.startswith("a link"):
                    continue
                apply(good / path)
                error = str(c.error("RELOAD", "serving", good.name))
                assert named(path, error), f"{path}, {what}: {error}"
                assert c.call("TOPK", "u1", 10, "WITHSCORES") == before
                (good / path).write_bytes(saved)
                tried += 1
        c.call("RELOAD", "serving", good.name)
        assert good.name in repr(c.call("INDEXES"))
        server.assert_alive()
    fact(f"damaged versions refused by RELOAD: {tried} of {tried}, 0 failed requests")


def test_current_that_leads_nowhere_or_outside(original, tmp_path):
    targets = ("versions/20200101T000000Z-00000000", "../../elsewhere", "/etc", "versions", ".", "current")
    for number, target in enumerate(targets):
        place = copy_of(original, tmp_path / str(number) / "damaged")
        (place / "current").unlink()
        (place / "current").symlink_to(target)
        done = run_annctl("serve", place, "--port", annex.free_port(), timeout=30)
        assert done.returncode == 1 and "current" in said(done), f"{target}: {said(done)}"
