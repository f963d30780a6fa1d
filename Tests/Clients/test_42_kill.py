"""kill -9 during builds (I4): only whole versions are ever visible, the old one stays served, leftovers go."""

import os
import signal
import subprocess
import time

import annex
from annex import Server, built, current_version, run_annctl, versions_of


def build_command(output, files, seed):
    return [
        annex.annctl_path(), "build", "--vectors", str(files["vectors"]), "--ids", str(files["ids"]), "--metric", "ip",
        "--index", "HNSW16", "--recall", "0.9", "--users", str(files["users"]), "--user-ids", str(files["user_ids"]),
        "--output", str(output), "--threads", "1", "--seed", str(seed),
    ]


def start(command):
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)


def kill(process) -> bool:
    """Whether it was still running. The group is the test's own: the build was started in a new session."""
    running = process.poll() is None
    if running:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(10)
    return running


def publishing(index):
    """Whether the last file of a version that is being made can be seen; the folder may go while one looks."""
    try:
        return bool(list(index.rglob(".tmp-*/**/manifest*")))
    except FileNotFoundError:
        return True


def test_kill_9_during_builds(tmp_path, fact):
    catalogue = annex.make_catalogue("kill", "ip", items=4000, users=200, dimension=32)
    files = annex.save_catalogue(catalogue, tmp_path / "input")
    index, rng = tmp_path / "killed", annex.generator("kill")
    started = time.monotonic()
    assert start(build_command(index, files, 0)).wait(120) == 0
    whole_build = time.monotonic() - started
    wanted, killed, finished, debris = annex.setting("ANNEX_KILLS", 12), 0, 0, 0
    whole = set(versions_of(index))
    with Server(index, log=tmp_path / "server.log") as server, server.connect(timeout=30) as c:
        turn = 0
        while killed < wanted:
            turn += 1
            assert turn < 6 * wanted + 20, "builds end before they can be killed"
            process = start(build_command(index, files, turn))
            # A third of the kills come while it publishes, as soon as the last file of the version can be seen.
            if turn % 3 == 0:
                end = time.monotonic() + 4 * whole_build + 5
                while process.poll() is None and time.monotonic() < end and not publishing(index):
                    pass
            else:
                annex.drawn_moment(rng, 0, whole_build)
            if kill(process):
                killed += 1
            else:
                finished += 1
            debris += bool(annex.leftovers_of(index))
            now = set(versions_of(index))
            assert whole <= now and len(now - whole) <= 1
            whole = now
            assert (index / "current").is_symlink() and current_version(index).name in now
            assert annex.leftovers_of(index) == [] or all(".tmp-" in n for n in annex.leftovers_of(index))
            for name in now:
                assert (index / "versions" / name / "manifest.sha256").is_file(), f"{name} is a half version"
            listing = run_annctl("list", index, check=True).stdout
            assert ".tmp-" not in listing and all(n in listing for n in now)
            run_annctl("verify", index, check=True)
            c.call("RELOAD", "killed")
            assert len(c.call("TOPK", "u1", 10)) == 10
        server.assert_alive()
    assert start(build_command(index, files, 10_000)).wait(120) == 0, "a build after the kills"
    assert annex.leftovers_of(index) == [], "the next build removes what killed ones left"
    with Server(index, log=tmp_path / "server2.log") as server:
        server.assert_alive()
    fact(f"builds killed by kill -9: {killed} (of {killed + finished} started; {debris} left debris), {len(whole)} versions, all whole")


def test_two_builds_at_once(tmp_path):
    """One holds the lock; the other waits or says so, and both kinds of end leave whole versions."""
    catalogue = annex.make_catalogue("lock", "ip", items=4000, users=100, dimension=32)
    files = annex.save_catalogue(catalogue, tmp_path / "input")
    both = [start(build_command(tmp_path / "locked", files, seed)) for seed in (1, 2)]
    ends = [p.wait(120) for p in both]
    assert 0 in ends and set(ends) <= {0, 1}
    assert len(versions_of(tmp_path / "locked")) == ends.count(0)
    run_annctl("verify", tmp_path / "locked", check=True)
