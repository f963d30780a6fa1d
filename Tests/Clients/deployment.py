"""What the files of deploy/ say, read by parsers that are not ours, for the tests of deploy/."""

from __future__ import annotations

import functools
import json
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

import annex

DEPLOY = annex.PROJECT / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
SLOTS = 16_384


def tool(name: str) -> str:
    """The path of a program that tools/install-deps --test installs."""
    path = shutil.which(name, path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    return path or pytest.skip(f"{name} is not installed: tools/install-deps --test")


def run(*command, **more) -> subprocess.CompletedProcess:
    return subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL, **more)


# --- Uses of annctl --------------------------------------------------------------------------------------------------


@dataclass
class Use:
    """One call of annctl in a file: its words after `annctl`."""

    place: str
    words: list[str]

    def flag(self, name: str) -> str | None:
        """The value of --name VALUE or --name=VALUE."""
        for position, word in enumerate(self.words):
            if word == f"--{name}":
                return self.words[position + 1]
            if word.startswith(f"--{name}="):
                return word.split("=", 1)[1]
        return None

    @property
    def flags(self) -> set[str]:
        return {word.split("=")[0] for word in self.words if word.startswith("--")}


def unit_settings(path: Path) -> dict[str, list[str]]:
    """Key -> values, in their order, of all sections of a unit."""
    found: dict[str, list[str]] = {}
    for line in path.read_text().splitlines():
        if "=" in line and not line.startswith(("#", ";", "[")):
            key, value = line.split("=", 1)
            found.setdefault(key, []).append(value)
    return found


def unit_use(path: Path) -> Use:
    """Of a unit that runs annctl itself."""
    (line,) = unit_settings(path)["ExecStart"]
    return Use(path.name, line.split()[1:])


@functools.cache
def compose() -> dict:
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text())


@functools.cache
def manifests() -> list[tuple[str, dict]]:
    """(file, object) of everything in deploy/kubernetes but the kustomization."""
    return [(path.name, found) for path in sorted((DEPLOY / "kubernetes").glob("*.yaml")) if path.name != "kustomization.yaml"
            for found in yaml.safe_load_all(path.read_text())]


def objects(kind: str) -> dict[str, dict]:
    return {found["metadata"]["name"]: found for _, found in manifests() if found["kind"] == kind}


def containers(workload: dict) -> list[dict]:
    return workload["spec"]["template"]["spec"]["containers"]


def jobs() -> dict[str, dict]:
    """What runs by the clock: name -> pod."""
    return {name: found["spec"]["jobTemplate"]["spec"]["template"] for name, found in objects("CronJob").items()}


def workloads() -> dict[str, dict]:
    return objects("StatefulSet") | objects("Deployment")


def uses_in_text(path: Path) -> list[Use]:
    """Calls in a text: from the word annctl, not within a path's middle, to the end of its line or its backquote."""
    found = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        for match in re.finditer(r"(?<![\w/.-])(?:/usr/local/bin/)?annctl ((?:(?!`|#| \| | && |\)\").)*)", line):
            text = match.group(1)
            words = shlex.split(text, posix=True) if text.count("'") % 2 == 0 and text.count('"') % 2 == 0 else text.split()
            found.append(Use(f"{path.name}:{number}", words))
    return found


def all_uses() -> list[Use]:
    found = [use for path in UNITS for use in uses_in_text(path)]
    for name, service in compose()["services"].items():
        if service["image"].startswith("annex:"):
            found.append(Use(f"compose.yaml {name}", service["command"]))
        if service["healthcheck"]["test"][:2] == ["CMD", "annctl"]:
            found.append(Use(f"compose.yaml {name} healthcheck", service["healthcheck"]["test"][2:]))
    for name, workload in workloads().items():
        for container in containers(workload):
            if "args" in container:
                found.append(Use(f"kubernetes {name}", container["args"]))
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                command = container[probe]["exec"]["command"]
                if command[0] == "annctl":
                    found.append(Use(f"kubernetes {name} {probe}", command[1:]))
    for name, job in jobs().items():
        for container in job["spec"]["containers"]:
            args = container["args"]
            found.append(Use(f"kubernetes {name}", args[args.index("annctl") + 1:] if "annctl" in args else args))
    texts = [DEPLOY / "README.md", DEPLOY / "compose.yaml", DEPLOY / "cluster.yaml", DEPLOY / "annex.yaml", DEPLOY / "haproxy.cfg"]
    return found + [use for path in texts for use in uses_in_text(path)]


@functools.cache
def help_of(*command: str) -> str | None:
    done = annex.run_annctl(*command, "--help")
    return done.stdout if done.returncode == 0 and done.stdout.startswith("OVERVIEW") else None


@functools.cache
def subcommands(*command: str) -> frozenset[str]:
    text = help_of(*command) or ""
    return frozenset(re.findall(r"^  ([a-z][a-z-]*)\b", text.partition("SUBCOMMANDS:")[2], re.M))


def resolve(words: list[str]) -> tuple[str, ...]:
    """The subcommand that words call: as many of them as are names of subcommands."""
    command: tuple[str, ...] = ()
    for word in words:
        if word not in subcommands(*command):
            return command
        command += (word,)
    return command


# --- Topologies --------------------------------------------------------------------------------------------------------


def slots_of(value) -> set[int]:
    """The slots of a topology's `slots`, or of a --slots."""
    parts = value if isinstance(value, list) else str(value).split(",")
    found: set[int] = set()
    for part in parts:
        first, _, last = str(part).partition("-")
        found |= set(range(int(first), int(last or first) + 1))
    return found


def topologies() -> dict[str, dict]:
    inside = objects("ConfigMap")["annex-cluster"]["data"]["cluster.yaml"]
    return {
        "deploy/cluster.yaml": yaml.safe_load((DEPLOY / "cluster.yaml").read_text()),
        "deploy/compose/cluster/cluster.yaml": yaml.safe_load((DEPLOY / "compose/cluster/cluster.yaml").read_text()),
        "deploy/kubernetes/cluster.yaml": yaml.safe_load(inside),
    }


def shard_with(topology: dict, address: str) -> dict:
    (shard,) = [s for s in topology["shards"] if address in s["replicas"]]
    return shard


def as_json(value) -> str:
    return json.dumps(value, sort_keys=True)
