"""A served file that somebody cuts ends the process by SIGBUS: it says which file that was (shared case 29)."""

import shutil
import signal

import pytest

import annex
from annex import Server, built, current_version, run_annctl


@pytest.fixture(scope="module")
def original(small, folder):
    _, files = small
    return built(folder / "cut" / "original", **{**files, "index": "HNSW8"})


@pytest.mark.parametrize("name", ["vectors.f32", "items.lmdb"])
def test_the_cut_file_is_named(original, tmp_path, fact, name):
    index = tmp_path / "shop"
    shutil.copytree(original, index, symlinks=True)
    path = current_version(index) / name
    with Server(index, log=tmp_path / "server.log") as server:
        with server.connect() as c:
            assert len(c.call("TOPK", "u1", 2)) == 2
        whole = path.read_bytes()
        path.write_bytes(b"")
        try:
            with server.connect() as c:
                for words in (["TOPK", "u1", 2], ["VEMB", "shop", "i1"], ["VGETATTR", "shop", "i1"], ["TOPK", "u2", 50, "WITHATTRIBS"]):
                    c.call(*words)
        except (OSError, EOFError):
            pass  # it ended
        status = server.process.wait(10)
        assert status == -signal.SIGBUS, "one file cut: the process ended"
        said = server.text()
        assert str(path.resolve()) in said and "SIGBUS" in said
    fact(f"cut while served: {name}, 1 fault, ended by SIGBUS, named")
    # The advice: bring the file by rename, look, start again.
    beside = path.with_name("whole")
    beside.write_bytes(whole)
    beside.rename(path)
    assert run_annctl("verify", index).returncode == 0
    with Server(index, log=tmp_path / "server.log") as server, server.connect() as c:
        assert len(c.call("TOPK", "u1", 2)) == 2
