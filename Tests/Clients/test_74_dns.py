"""Replicas that the DNS names (`srv:`), as a Kubernetes headless service does; the name server is the test's own."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


def test_replicas_by_service_records(indexes, catalogues, tmp_path, fact):
    if os.geteuid() != 0 or not shutil.which("unshare") or not shutil.which("ip", path="/usr/sbin:/sbin:/usr/bin:/bin"):
        pytest.skip("a name server on port 53 needs root, unshare and ip, for namespaces of its own")
    users = catalogues["ip-hnsw"].user_ids[:20]
    scene = Path(__file__).with_name("dns_scene.py")
    done = subprocess.run(
        ["unshare", "--net", "--mount", sys.executable, scene, tmp_path, indexes["ip-hnsw"], *users],
        capture_output=True, text=True, timeout=120, env={**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"})
    assert done.returncode == 0, done.stderr[-4000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["answers"] == found["answers meanwhile"] == found["answers at the end"] == len(users), found
    assert found["replicas meanwhile"] == 3, "what was known stays while the resolver says nothing"
    code, text = found["without records"]
    assert code == 1 and "there are no SRV records of '_annex._tcp.a.test'" in text, text
    assert found["asked"] > 5
    fact(f"replicas by SRV records: a new one is asked {found['found after']:.1f} s after the DNS names it")
