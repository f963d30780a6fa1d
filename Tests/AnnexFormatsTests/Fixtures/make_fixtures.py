"""Makes the files beside it: small arrays as NumPy writes them, and expected.txt with what is in them.

    python3 make_fixtures.py

A line of expected.txt is a file or FILE:ARRAY, a tab, and the rows: values with blanks between, rows with semicolons.
Values are exact in float16, so that every type holds the same. Of files of ids, it has the ids with semicolons between.
"""

import io
import zipfile
from pathlib import Path

import numpy as np
from numpy.lib import format as npy_format

HERE = Path(__file__).parent
ROWS = np.array([[1.5, -2, 0.125, 65504], [0, -0.0, 6.103515625e-05, -3.25], [7, 5.9604644775390625e-08, -1024, 0.5]])
expected = []


def note(name, rows):
    expected.append(f"{name}\t" + ";".join(" ".join(repr(float(v)) for v in row) for row in rows))


def npy(array, version):
    out = io.BytesIO()
    npy_format.write_array(out, array, version=version)
    return out.getvalue()


def arrays():
    for size in (2, 4, 8):
        for order, mark in (("little", "<"), ("big", ">")):
            for layout in "CF":
                yield f"f{size}-{order}-{layout}", np.asarray(ROWS.astype(f"{mark}f{size}"), order=layout)


def main():
    for name, array in arrays():
        (HERE / f"{name}.npy").write_bytes(npy(array, (1, 0)))
        note(f"{name}.npy", ROWS)
    for version in (2, 3):
        (HERE / f"version{version}.npy").write_bytes(npy(ROWS.astype("<f4"), (version, 0)))
        note(f"version{version}.npy", ROWS)
    chosen = {n.replace("-", "_"): a for n, a in arrays() if n in ("f2-little-C", "f4-little-F", "f8-big-F")}
    for name, save in (("stored", np.savez), ("deflated", np.savez_compressed)):
        save(HERE / f"{name}.npz", **chosen)
        # The dates in an archive are fixed, so that the files come out the same again.
        fix(HERE / f"{name}.npz")
        for array in chosen:
            note(f"{name}.npz:{array}", ROWS)
    for name, ids in (
        ("ids-i8", np.array([7, -1, 2**63 - 1])), ("ids-u8", np.array([0, 2**63, 2**64 - 1], "u8")),
        ("ids-i2-big", np.array([258, -2, 0x7FFF], ">i2")), ("ids-S", np.array([b"a", b"bc", "é".encode()])),
        ("ids-U", np.array(["a", "été", "\U0001f600"])),
    ):
        np.save(HERE / f"{name}.npy", ids)
        texts = [v.decode() if isinstance(v, bytes) else str(v) for v in ids.tolist()]
        expected.append(f"{name}.npy\t" + ";".join(texts))
    (HERE / "expected.txt").write_text("\n".join(expected) + "\n", encoding="utf-8")


def fix(path):
    with zipfile.ZipFile(path) as old:
        members = [(info, old.read(info)) for info in old.infolist()]
    with zipfile.ZipFile(path, "w") as new:
        for info, data in members:
            again = zipfile.ZipInfo(info.filename)
            again.compress_type = info.compress_type
            # As NumPy opens its members.
            with new.open(again, "w", force_zip64=True) as member:
                member.write(data)


main()
