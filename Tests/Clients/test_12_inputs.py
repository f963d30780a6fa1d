"""Input that can be meant in two ways, or that no search can compute with: it stops the build, names the place, and the way out that
the error names is tried. Oracles are NumPy and Python's csv module."""

import csv
import io
import os
import shutil
import subprocess

import numpy as np
import pytest

import annex
from annex import build, built, run_annctl, said
from fake_state_server import FakeStateServer

ITEMS, DIMENSION = 60, 8


def factors(label, rows=ITEMS):
    return annex.generator(label).normal(size=(rows, DIMENSION)).astype(np.float32)


def saved(folder, name, values, ids=None):
    """Flags of a factor file with ids."""
    np.save(folder / f"{name}.npy", values)
    ids = ids or [f"i{n}" for n in range(len(values))]
    return dict(vectors=folder / f"{name}.npy", ids=annex.save_ids(folder / f"{name}.txt", ids))


def refused(done, *words):
    assert done.returncode in (1, 64), said(done)
    for word in words:
        assert word in said(done), f"'{word}' is not in: {said(done)}"
    return said(done)


def shape(done):
    """What a build says of its version: '60 items, 0 users, 8 dimensions'."""
    assert done.returncode == 0, said(done)
    return next(line for line in done.stdout.splitlines() if " items, " in line and "dimensions" in line)


# --- Lengths -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", ["ip", "cosine", "l2"])
def test_magnitudes_beyond_float32s_arithmetic(tmp_path, metric):
    """Each scale is refused by row, or makes a version that verifies and finds what float64 finds."""
    x = factors("magnitudes").astype(np.float64)
    refusals = 0
    for scale, kind in ((1e-30, "Flat"), (1e17, "Flat"), (1e19, "Flat"), (1e19, "IVF4,Flat")):
        done = build(tmp_path / "bad", metric=metric, index=kind, **saved(tmp_path, "bad", (x * scale).astype(np.float32)))
        refused(done, "bad.npy:1: the length is", "1e-15 to 1e15", "multiply all factors")
        refusals += 1
    one = x.copy()
    one[41] *= 1e20
    files = saved(tmp_path, "one", one.astype(np.float32))
    refused(build(tmp_path / "bad", metric=metric, **files), "one.npy:42: the length is")
    assert annex.versions_of(tmp_path / "bad") == [] and refusals == 4
    skipped = built(tmp_path / "skipped", metric=metric, skip_bad_rows=True, **files)
    run_annctl("verify", skipped, check=True)
    for scale in (1e-13, 1e13):
        values = (x * scale).astype(np.float32)
        name = f"by{scale:g}".replace("-", "m").replace("+", "")
        index = built(tmp_path / name, metric=metric, index="Flat", **saved(tmp_path, name, values))
        truth = annex.Catalogue([f"i{n}" for n in range(ITEMS)], values, ["q"], values[:1], metric)
        with annex.Server(index, log=tmp_path / "server.log") as server, server.connect() as c:
            answer = [hit for hit in c.call("VSIM", name, "ELE", "i5", "COUNT", 10, "TRUTH")]
            exact = values.astype(np.float64)
            scores = {"ip": exact @ exact[5], "l2": -((exact - exact[5]) ** 2).sum(axis=1),
                      "cosine": exact @ exact[5] / np.linalg.norm(exact, axis=1)}[metric]
            assert [i.decode() if isinstance(i, bytes) else i for i in answer] == [truth.ids[n] for n in np.argsort(-scores)[:10]]


def test_rows_of_zeros_have_no_direction(tmp_path):
    x = factors("zeros")
    x[7] = 0
    files = saved(tmp_path, "z", x)
    refused(build(tmp_path / "z", metric="cosine", **files), "z.npy:8: all components are 0", "metric ip or l2")
    for metric in ("ip", "l2"):
        built(tmp_path / "z", metric=metric, **files)
    users = factors("zero users", 5)
    users[2] = 0
    np.save(tmp_path / "u.npy", users)
    people = dict(users=tmp_path / "u.npy", user_ids=annex.save_ids(tmp_path / "u.txt", [f"u{n}" for n in range(5)]))
    good = saved(tmp_path, "g", factors("zeros"))
    refused(build(tmp_path / "g", metric="cosine", **good, **people), "u.npy:3: all components are 0")
    assert "60 items, 4 users" in shape(build(tmp_path / "g", metric="cosine", skip_bad_rows=True, **good, **people))


# --- Text --------------------------------------------------------------------------------------------------------------


def quoted_ids(label, separator, count):
    """Ids with quotes in all places, as a careless program writes them: as they are, and in quotes where they begin with one."""
    rng = annex.generator(label)
    alphabet = ['"', '""', "a", "b", " ", "'", ";" if separator == "\t" else "|", "12", "é"]
    ids = []
    while len(ids) < count:
        raw = "".join(rng.choice(alphabet, size=int(rng.integers(1, 8))))
        field = raw
        if raw.startswith('"') or rng.integers(4) == 0:
            field = '"' + raw.replace('"', '""') + '"' + ("x" if rng.integers(6) == 0 else "")
        ids.append(field)
    return ids


@pytest.mark.parametrize("name, dialect", [("csv", "excel"), ("tsv", "excel-tab")])
def test_quotes_are_read_as_pythons_csv_reads_them(tmp_path, name, dialect):
    separator = csv.get_dialect(dialect).delimiter
    fields = quoted_ids("quotes " + name, separator, 400)
    wanted = [row[0] for row in csv.reader(io.StringIO("".join(f + "\n" for f in fields), newline=""), dialect=dialect)]
    assert len(wanted) == 400
    keep = {}
    for field, identifier in zip(fields, wanted):
        if identifier.strip():
            keep.setdefault(identifier, field)
    x = factors("quotes", len(keep))
    lines = [separator.join([field, *map(repr, map(float, row))]) for field, row in zip(keep.values(), x)]
    (tmp_path / f"v.{name}").write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    index = built(tmp_path / "quotes", vectors=tmp_path / f"v.{name}")
    with annex.Server(index, log=tmp_path / "server.log") as server, server.connect() as c:
        assert c.call("VCARD", "quotes") == len(keep)
        assert [i for i in keep if c.call("VISMEMBER", "quotes", i.encode()) != 1] == []
    events = tmp_path / f"e.{name}"
    events.write_text("".join(separator.join([f, "i1", "1", str(n + 1)]) + "\n" for n, f in enumerate(fields)), encoding="utf-8")
    with FakeStateServer(["i1"]) as server:
        run_annctl("ingest", events, "--port", server.port, check=True)
        users = {at: user for user, _, at in server.events}
    assert users == {n + 1: identifier for n, identifier in enumerate(wanted) if identifier}


def test_word2vec_binary_with_a_blank_in_a_word(tmp_path):
    """As gensim writes it (no line ends), and as word2vec does: tidy numbers, whose bytes are text, and random ones."""
    tidy = np.tile(np.array([0.5, 2, 0.5], np.float32), (12, 1))
    tidy[:, 1] = np.linspace(1, 9, 12).round()
    tried = 0
    for values in (tidy, factors("w2v", 12)):
        for end in (b"", b"\n"):
            for place in (0, 11):
                words = [b"w%d" % n for n in range(12)]
                words[place] = b"New York"
                data = b"".join(w + b" " + row.tobytes() + end for w, row in zip(words, values))
                file = tmp_path / "x.w2v"
                file.write_bytes(b"12 %d\n" % values.shape[1] + data)
                for skip in (False, True)[: 1 + (place == 0)]:
                    done = build(tmp_path / "x", vectors=file, **(dict(skip_bad_rows=True) if skip else {}))
                    refused(done, f"x.w2v:{place + 1}: row {place + 1} ", "write _ in their place")
                    tried += 1
                file.write_bytes(b"12 %d\n" % values.shape[1] + data.replace(b"New York", b"New_York"))
                assert "12 items" in shape(build(tmp_path / "x", vectors=file))
    assert tried == 12


def test_whole_number_ids_without_a_heading(tmp_path):
    x = factors("numbers", 40).round(4)
    text = "".join(",".join([str(1000 + n), *map(repr, map(float, row))]) + "\n" for n, row in enumerate(x))
    (tmp_path / "v.csv").write_text(text)
    (tmp_path / "bare.csv").write_text("".join(line.split(",", 1)[1] + "\n" for line in text.splitlines()))
    ids = annex.save_ids(tmp_path / "i.txt", [str(1000 + n) for n in range(40)])
    words = "v.csv: the first column (1000, 1001, 1002 …) may hold ids or components"
    for more in ({}, dict(ids=ids)):
        refused(build(tmp_path / "v", vectors=tmp_path / "v.csv", **more), words, "Put a heading", "--id-column 1", "--id-column none")
    assert "40 items, 0 users, 8 dimensions" in shape(build(tmp_path / "v", vectors=tmp_path / "v.csv", id_column=1))
    assert "9 dimensions" in shape(build(tmp_path / "v", vectors=tmp_path / "v.csv", ids=ids, id_column="none"))
    (tmp_path / "h.csv").write_text("id," + ",".join(f"f{n}" for n in range(8)) + "\n" + text)
    assert "8 dimensions" in shape(build(tmp_path / "v", vectors=tmp_path / "h.csv"))
    refused(build(tmp_path / "v", vectors=tmp_path / "bare.csv"), "holds no ids", "--ids FILE", "--id-column 1")
    assert "8 dimensions" in shape(build(tmp_path / "v", vectors=tmp_path / "bare.csv", ids=ids))
    # The same in a recipe, which the manifest then tells.
    folder = tmp_path / "indexes" / "shop"
    folder.mkdir(parents=True)
    shutil.copy(tmp_path / "v.csv", folder)
    (folder / "recipe.yaml").write_text("name: shop\nvectors: v.csv\nindex: Flat\nid-column: 1\n")
    run_annctl("build", folder / "recipe.yaml", check=True)
    assert '"id-column" : "1"' in run_annctl("inspect", folder, "--json", check=True).stdout
    refused(build(tmp_path / "v", **saved(tmp_path, "n", x), id_column=1), "id-column without factors", "Leave it out")


# --- Interactions ------------------------------------------------------------------------------------------------------


def history_flags(folder):
    files = saved(folder, "v", factors("history"))
    return dict(**files, users=folder / "u.npy", user_ids=folder / "u.txt", fold_in="ridge", regularization=1,
                trained_until=1_700_000_000_000)


@pytest.fixture
def shop(tmp_path):
    np.save(tmp_path / "u.npy", factors("history users", 20))
    annex.save_ids(tmp_path / "u.txt", [f"u{n}" for n in range(20)])
    return history_flags(tmp_path)


BAD_EVENTS = {
    "times in the third column": ("u1,i1,1600000000000\n", "--columns user,item,time", "user,item,time"),
    "seconds in the third column": ("u1,i1,1600000000\n", "--columns user,item,time", None),
    "a price": ("user,item,price\nu1,i1,900\n", "--columns user,item,-", "user,item,-"),
    "semicolons": ("u1;i1;5\n", "separated by semicolons", None),
    "one field too many": ("u1,i1,1,1600000000000,x\n", "--columns user,item,weight,time", "user,item,weight,time,-"),
}


@pytest.mark.parametrize("name", BAD_EVENTS)
def test_interactions_that_may_mean_something_else(tmp_path, shop, name):
    """In a history and in ingest: the same words, and nothing is sent."""
    text, words, columns = BAD_EVENTS[name]
    file = tmp_path / "e.csv"
    file.write_text(text)
    refused(build(tmp_path / "x", history=file, **shop), words)
    with FakeStateServer([f"i{n}" for n in range(ITEMS)]) as server:
        done = run_annctl("ingest", file, "--port", server.port)
        if name == "one field too many":
            assert "1 lines rejected" in done.stdout
        else:
            refused(done, words)
        assert server.events == {}
        for path in tmp_path.glob("e.csv.*"):
            path.unlink()
        if columns is None:
            return
        assert "20 users" in shape(build(tmp_path / "x", history=file, columns=columns, **shop))
        run_annctl("ingest", file, "--port", server.port, "--columns", columns, check=True)
        assert len(server.events) == 1
        # The progress file knows how the file was read.
        other = columns.replace("user,item", "item,user")
        refused(run_annctl("ingest", file, "--port", server.port, "--columns", other), f"read as csv {columns}, not as csv {other}")


UNITS = {"seconds": 1_600_000_000, "microseconds": 1_600_000_000_000_000, "nanoseconds": 1_600_000_000_000_000_000}


@pytest.mark.parametrize("unit", UNITS)
def test_units_of_time_are_told_alike_everywhere(tmp_path, shop, unit):
    time, words = UNITS[unit], f"times are milliseconds since 1970, and this seems to be {unit}"
    good = tmp_path / "good.tsv"
    good.write_text("u1\ti1\t1\t1600000000000\n")
    bad = tmp_path / "bad.tsv"
    bad.write_text(f"u1\ti1\t1\t{time}\n")
    refused(build(tmp_path / "x", history=bad, **shop), "bad.tsv:1:4: the time", words)
    refused(build(tmp_path / "x", history=good, **{**shop, "trained_until": time}), "trained-until", words, "date +%s000")
    now = subprocess.run(["date", "+%s000"], capture_output=True, text=True, check=True).stdout.strip()
    assert "20 users" in shape(build(tmp_path / "x", history=good, **{**shop, "trained_until": now}))
    with FakeStateServer(["i1"]) as server:
        refused(run_annctl("ingest", bad, "--port", server.port), "bad.tsv:1: the time", words, "nothing was sent")
        refused(run_annctl("ingest", good, "--port", server.port, "--at", time), words)
        # Some lines only: those are rejects, the others are sent.
        bad.write_text(f"u1\ti1\t1\t1600000000000\nu2\ti1\t1\t{time}\n")
        done = run_annctl("ingest", bad, "--port", server.port, check=True)
        assert "1 lines rejected" in done.stdout and words in (tmp_path / "bad.tsv.rejects.tsv").read_text()
        assert [user for user, _, _ in server.events] == ["u1"]
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"name: x\nvectors: v.npy\nids: v.txt\nhistory: good.tsv\ntrained-until: {time}\n")
    refused(run_annctl("build", recipe, "--output", tmp_path / "x"), words)


# --- Arrays that numpy.save wrote ---------------------------------------------------------------------------------------


def test_advice_for_arrays_that_numpy_saved(tmp_path):
    """What is refused was saved with numpy.save; each advice is carried out on the array."""
    x = factors("arrays")
    good = saved(tmp_path, "good", x)
    ids = np.array([f"i{n}" for n in range(ITEMS)])
    tries = [
        ("vectors", x.astype(np.complex64), "array.astype('float32')", lambda a: a.real.astype("float32")),
        ("vectors", x.astype(object), "array.astype('float32')", lambda a: a.astype("float32")),
        ("vectors", x.astype(np.longdouble), "array.astype('float32')", lambda a: a.astype("float32")),
        ("vectors", (x * 100).astype(np.int32), "array.astype('float32')", lambda a: a.astype("float32")),
        ("vectors", x.ravel(), "array.reshape(rows, -1)", lambda a: a.reshape(ITEMS, -1)),
        ("ids", ids.astype(object), "array.astype('str') for ids", lambda a: a.astype("str")),
        ("ids", ids.reshape(-1, 1), "array.ravel()", lambda a: a.ravel()),
        ("ids", np.arange(ITEMS, dtype=float), "array.astype('int64')", lambda a: a.astype("int64")),
        ("bias", np.zeros((ITEMS, 1), np.float32), "array.ravel()", lambda a: a.ravel()),
        ("bias", np.zeros(ITEMS, np.complex64), "array.astype('float32')", lambda a: a.real.astype("float32")),
        ("bias", np.zeros(ITEMS, "U3"), "array.astype('float32')", lambda a: np.zeros(ITEMS, "float32")),
    ]
    for key, array, advice, mend in tries:
        np.save(tmp_path / "a.npy", array)
        text = refused(build(tmp_path / "x", **{**good, key: tmp_path / "a.npy"}), "a.npy", advice)
        assert "numpy.save" not in text and "'numbers'" not in text, text
        np.save(tmp_path / "a.npy", mend(np.load(tmp_path / "a.npy", allow_pickle=True)))
        built(tmp_path / "x", **{**good, key: tmp_path / "a.npy"})
    np.savez(tmp_path / "z.npz", x)
    shutil.copy(tmp_path / "z.npz", tmp_path / "z.npy")
    refused(build(tmp_path / "x", **{**good, "vectors": tmp_path / "z.npy"}), "archive", "Name it .npz")
    built(tmp_path / "x", **{**good, "vectors": tmp_path / "z.npz"})


# --- Which version is current --------------------------------------------------------------------------------------------


def serves(index, log):
    with annex.Server(index, log=log) as server, server.connect() as c:
        return c.call("VCARD", index.name) == ITEMS


def test_an_index_that_came_without_its_links(tmp_path):
    """Copied with links followed, dropped, as text, absolute: served as it is, or the message's own command makes it so."""
    index = built(tmp_path / "shop", **saved(tmp_path, "v", factors("copies")))
    version = annex.current_version(index).name
    places = {}
    for name in ("followed", "dropped", "text", "absolute"):
        places[name] = tmp_path / name / "shop"
        shutil.copytree(index, places[name], symlinks=name != "followed")
    (places["dropped"] / "current").unlink()
    (places["text"] / "current").unlink()
    (places["text"] / "current").write_text(f"versions/{version}")
    (places["absolute"] / "current").unlink()
    (places["absolute"] / "current").symlink_to(places["absolute"] / "versions" / version)
    for name in ("followed", "text", "absolute"):
        assert serves(places[name], tmp_path / "server.log"), name
        assert "current" in run_annctl("list", places[name], check=True).stdout
    for command in (["inspect"], ["verify"], ["serve", "--port", annex.free_port()]):
        done = run_annctl(command[0], places["dropped"], *command[1:])
        refused(done, "no version is current", f"annctl use {places['dropped']} VERSION", f"annctl list {places['dropped']}")
    assert version in run_annctl("list", places["dropped"], check=True).stdout
    for name, place in places.items():
        assert f"current: {version}" in run_annctl("use", place, version, check=True).stdout
        assert os.readlink(place / "current") == f"versions/{version}" and annex.leftovers_of(place) == []
        run_annctl("verify", place, check=True)
    assert serves(places["dropped"], tmp_path / "server.log")
    refused(run_annctl("use", index, "20240101T000000Z-00000000"), "there is no version", f"annctl list {index}")
    refused(run_annctl("use", index, "../x"), "is no version's name", f"annctl list {index}")


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="needs root, to become somebody else")
def test_a_folder_that_may_not_be_read_is_told_as_such(tmp_path):
    index = built(tmp_path / "shop", **saved(tmp_path, "v", factors("copies")))
    for path in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        path.chmod(0o755)
    program = tmp_path / "annctl"
    shutil.copy(annex.annctl_path(), program)
    program.chmod(0o755)
    nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", str(program)]
    for closed in (index, index / "versions", annex.current_version(index)):
        closed.chmod(0o700)
        for command in ("verify", "list", "inspect"):
            done = subprocess.run([*nobody, command, str(index)], capture_output=True, text=True, timeout=60)
            if command == "list" and closed == annex.current_version(index):
                continue  # it lists what it sees
            refused(done, "Permission denied")
        closed.chmod(0o755)
    done = subprocess.run([*nobody, "verify", str(index)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, said(done)
