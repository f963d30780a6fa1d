"""The command lines of deploy/systemd, with deploy/cluster.yaml, make a cluster: run as systemd would, on a host of their own."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
from pathlib import Path

import annex
import deployment
from cluster import PASSWORD
from cluster_network import Namespaces
from deployment import DEPLOY

ENV = DEPLOY / "systemd/shard-a1.env"


def environment(name: str, port: int, slots: str) -> dict[str, str]:
    """shard-NAME.env, as deploy/README.md says to change shard-a1.env."""
    values = dict(line.split("=", 1) for line in ENV.read_text().splitlines() if re.match(r"[A-Z]+=", line))
    return values if name == "a1" else values | {"PORT": str(port), "ANNOUNCE": f"127.0.0.1:{port}", "SLOTS": slots}


def command(unit: str, values: dict[str, str], paths: dict[str, str]) -> list[str]:
    """What systemd would run, with places of the test's."""
    (line,) = deployment.unit_settings(DEPLOY / "systemd" / unit)["ExecStart"]
    line = re.sub(r"\$\{([A-Z_]+)\}|\$([A-Z]+)\b", lambda m: values[m.group(1) or m.group(2)], line)
    for path, place in paths.items():
        assert unit != "annex-shard@.service" or path in line, f"{path} is not in {line}"
        line = line.replace(path, place)
    assert "$" not in line
    return line.split()


def test_the_units_make_a_cluster(indexes, tmp_path, fact):
    Namespaces.skip_unless_possible()
    shutil.copytree(indexes["ip-hnsw"], tmp_path / "indexes" / "debian", symlinks=True)
    (tmp_path / "credentials").mkdir()
    (tmp_path / "credentials" / "password").write_text(PASSWORD + "\n")
    paths = {"/usr/local/bin/annctl": annex.annctl_path(), "/etc/annex/cluster.yaml": str(DEPLOY / "cluster.yaml"),
             "/srv/annex/indexes": str(tmp_path / "indexes")}
    common = {"CREDENTIALS_DIRECTORY": str(tmp_path / "credentials"), "ACK": "replica"}
    with Namespaces() as network, contextlib.ExitStack() as started:
        network.host("machine")

        def start(name: str, words: list[str]) -> None:
            log = started.enter_context(open(tmp_path / f"{name}.log", "wb"))
            process = subprocess.Popen([*network.prefix("machine"), *words], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            started.callback(process.wait, 10)
            started.callback(process.kill)

        def run(*words) -> str:
            done = subprocess.run([*network.prefix("machine"), annex.annctl_path(), *map(str, words)], capture_output=True, text=True, timeout=30)
            assert done.returncode == 0, done.stdout + done.stderr
            return done.stdout

        def answers(port: int) -> bool:
            try:
                with network.inside("machine"), annex.Connection(port, timeout=1) as c:
                    return c.call("AUTH", PASSWORD) == "OK" and c.call("PING") == "PONG"
            except (OSError, EOFError):
                return False

        start("log", ["redis-server", "--port", "6379", "--bind", "127.0.0.1", "--dir", str(tmp_path), "--save", ""])
        places = {"a1": (7701, "0-8191"), "b1": (7702, "8192-16383"), "a2": (7703, "0-8191"), "b2": (7704, "8192-16383")}
        for name, (port, slots) in places.items():
            values = common | environment(name, port, slots) | {"STATE_DIRECTORY": str(tmp_path / "states" / name)}
            Path(values["STATE_DIRECTORY"]).mkdir(parents=True)
            start(name, command("annex-shard@.service", values, paths))
        start("router", command("annex-router.service", common, paths))
        for port in [*(port for port, _ in places.values()), 7600]:
            annex.wait_until(lambda: answers(port), 30, f"{port} answers: {[p.read_text()[-500:] for p in tmp_path.glob('*.log')]}")
        password = ("--password-file", tmp_path / "credentials" / "password")
        checked = run("cluster", "check", DEPLOY / "cluster.yaml", *password)
        status = run("cluster", "status", DEPLOY / "cluster.yaml", *password)
        assert all(f"127.0.0.1:{port}" in status for port, _ in places.values()), status
        with network.inside("machine"), annex.Connection(7600) as c:
            assert c.call("AUTH", PASSWORD) == "OK"
            item = c.call("VRANDMEMBER", "debian")
            for n in range(20):
                assert c.call("EVENT", f"somebody{n}", item) == "OK"
            assert all(c.call("SEEN", f"somebody{n}") == [item] for n in range(20))
    fact(f"the units' own command lines: 4 replicas, a router and a log; annctl cluster check: {checked.strip().splitlines()[-1]}")
