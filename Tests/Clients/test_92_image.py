"""deploy/Dockerfile, as far as it goes without an engine: hadolint, and the file system that it lays out, run."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import annex
from deployment import DEPLOY, run


def test_hadolint_finds_nothing(tmp_path):
    linter = Path(sys.executable).parent / "hadolint"
    done = run(linter, "--no-color", DEPLOY / "Dockerfile")
    assert done.returncode == 0, done.stdout + done.stderr
    bad = tmp_path / "Dockerfile"
    bad.write_text("FROM debian\nRUN cd /tmp && apt-get install curl\nCMD annctl\n")
    assert run(linter, bad).returncode != 0


def test_the_image_is_enough(indexes, tmp_path):
    """The file system that the Dockerfile lays out, with nothing of the system around it and nothing writable but the state,
    run as the Dockerfile's user: it serves, takes an event, and its health check answers."""
    if os.geteuid() != 0:
        pytest.skip("needs root, for mounts of its own and chroot")
    root, state, index = tmp_path / "image", tmp_path / "state", indexes["ip-hnsw"]
    script = re.search(r"^RUN (deploy/image-root) ", (DEPLOY / "Dockerfile").read_text(), re.M).group(1)
    done = run(annex.PROJECT / script, annex.annctl_path(), root, state)
    assert done.returncode == 0 and not list(state.iterdir()), done.stderr
    for folder in ("srv/annex/indexes/shop", "var/lib/annex"):
        (root / folder).mkdir(parents=True)
    user = re.search(r"^USER (\S+)$", (DEPLOY / "Dockerfile").read_text(), re.M).group(1)
    os.chown(state, *map(int, user.split(":")))
    mounts = f"""set -e
        mount --bind -o ro {shlex.quote(str(root))} {shlex.quote(str(root))}
        mount -t proc proc {shlex.quote(str(root))}/proc
        mount --bind -o ro {shlex.quote(str(index))} {shlex.quote(str(root))}/srv/annex/indexes/shop
        mount --bind {shlex.quote(str(state))} {shlex.quote(str(root))}/var/lib/annex
        exec chroot --userspec={user} {shlex.quote(str(root))} /usr/local/bin/annctl "$@" """
    inside = ["unshare", "--mount", "--propagation", "private", "sh", "-c", mounts, "annctl"]
    port = annex.free_port()
    with open(tmp_path / "log", "wb") as log:
        process = subprocess.Popen(
            [*inside, "serve", "/srv/annex/indexes/shop", "--host", "127.0.0.1", "--port", str(port), "--state", "/var/lib/annex"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"})
    try:
        annex.wait_until(lambda: process.poll() is not None or b"Serving" in (tmp_path / "log").read_bytes(), 30, "it serves")
        assert process.poll() is None, (tmp_path / "log").read_text()
        with annex.Connection(port) as c:
            item = c.call("VRANDMEMBER", "shop")
            assert c.call("EVENT", "somebody", item) == "OK" and c.call("SEEN", "somebody") == [item]
        health = run(*inside, "query", "--port", port, "PING", env={"PATH": os.environ["PATH"]})
        assert health.returncode == 0 and "PONG" in health.stdout, annex.said(health)
        process.terminate()
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait(10)
    assert (state / "shop" / "state.lmdb").stat().st_uid == int(user.split(":")[0])
