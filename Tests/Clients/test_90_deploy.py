"""deploy/: every file is valid for the program that reads it, and they say the same of ports, paths, slots and flags.

The judges: systemd-analyze, the Compose specification's parser (compose-spec), annctl's --help; for the rest of deploy/ see the
files beside this one.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import compose_spec
import pytest

import annex
import deployment
from deployment import DEPLOY, UNITS, run, tool

# Of systemd's scale, 0 (nothing exposed) to 100: what the units have, and a little for other versions of the list.
EXPOSURE = 15


# --- systemd -----------------------------------------------------------------------------------------------------------


def installed_unit(unit: Path, folder: Path) -> Path:
    """A copy as it would be installed: a template with an instance, and the program where it is."""
    for path in (DEPLOY / "systemd").glob("annex*"):
        text = path.read_text().replace("/usr/local/bin/annctl", annex.annctl_path())
        (folder / path.name.replace("@.", "@a1.")).write_text(text)
    return folder / unit.name.replace("@.", "@a1.")


@pytest.mark.parametrize("unit", [*UNITS, DEPLOY / "systemd/annex-backup@.timer", DEPLOY / "systemd/annex-trim.timer"], ids=lambda u: u.name)
def test_systemd_takes_the_unit(unit, tmp_path):
    done = run(tool("systemd-analyze"), "verify", "--man=no", installed_unit(unit, tmp_path))
    assert done.returncode == 0 and unit.name.split("@")[0] not in done.stderr, done.stderr


def test_systemd_refuses_a_unit_with_a_wrong_word(tmp_path):
    """Otherwise the test above says nothing."""
    path = installed_unit(DEPLOY / "systemd/annex.service", tmp_path)
    path.write_text(path.read_text().replace("ProtectSystem=strict", "ProtectSystem=stricter"))
    assert "protect system" in run(tool("systemd-analyze"), "verify", "--man=no", path).stderr


@pytest.mark.parametrize("unit", UNITS, ids=lambda u: u.name)
def test_the_unit_exposes_little(unit, tmp_path, fact):
    path = installed_unit(unit, tmp_path)
    done = run(tool("systemd-analyze"), "security", "--offline=true", "--no-pager", f"--threshold={EXPOSURE}", path)
    level = re.search(r"Overall exposure level for \S+ ([0-9.]+)", done.stdout)
    assert level, done.stdout + done.stderr
    fact(f"systemd-analyze security {unit.name}: {level.group(1)}")
    assert done.returncode == 0 and 10 * float(level.group(1)) <= EXPOSURE


@pytest.mark.parametrize("unit", UNITS, ids=lambda u: u.name)
def test_the_unit_has_limits_and_writes_only_its_state(unit):
    settings = deployment.unit_settings(unit)
    for key in ("MemoryMax", "MemorySwapMax", "TasksMax", "LimitNOFILE", "RestrictAddressFamilies", "SystemCallFilter"):
        assert key in settings, f"{unit.name} has no {key}"
    assert settings["NoNewPrivileges"] == ["yes"] and settings["ProtectSystem"] == ["strict"] and settings["DynamicUser"] == ["yes"]
    assert "ReadWritePaths" not in settings
    wanted = {"annex.service": "annex", "annex-shard@.service": "annex/%i", "annex-backup@.service": "annex/%i annex-backups/%i"}
    assert settings.get("StateDirectory") == ([wanted[unit.name]] if unit.name in wanted else None)
    assert settings.get("User") == (["annex-%i"] if "@" in unit.name else None), "a backup needs its replica's user"


def test_a_replica_of_the_units_is_one_of_the_topology():
    """shard-a1.env is what the template's ${…} stand for."""
    values = dict(line.split("=", 1) for line in (DEPLOY / "systemd/shard-a1.env").read_text().splitlines() if re.match(r"[A-Z]+=", line))
    unit = DEPLOY / "systemd/annex-shard@.service"
    line = deployment.unit_settings(unit)["ExecStart"][0]
    assert set(re.findall(r"\$\{?([A-Z]+)\b", line)) - {"STATE", "CREDENTIALS"} <= set(values), line
    shard = deployment.shard_with(deployment.topologies()["deploy/cluster.yaml"], values["ANNOUNCE"])
    assert deployment.slots_of(shard["slots"]) == deployment.slots_of(values["SLOTS"])
    assert values["ANNOUNCE"] == f"{values['HOST']}:{values['PORT']}"
    for unit in ("annex-shard@.service", "annex-router.service"):
        settings, use = deployment.unit_settings(DEPLOY / "systemd" / unit), deployment.unit_use(DEPLOY / "systemd" / unit)
        assert (use.flag("cluster") or use.flag("config")) == "/etc/annex/cluster.yaml"
        assert use.flag("password-file") == "${CREDENTIALS_DIRECTORY}/password" and settings["LoadCredential"] == ["password:/etc/annex/password"]


# --- Compose -----------------------------------------------------------------------------------------------------------


def test_compose_is_of_its_specification():
    parsed = compose_spec.PyCompose.from_json(json.dumps(deployment.compose()))
    parsed.validate()
    assert sorted(parsed.service_names()) == ["a1", "a2", "b1", "b2", "log", "router"]
    for wrong in ({"imagee": "x"}, {"image": "x", "networks": ["nowhere"]}, {"image": "x", "read_only": "maybe"}):
        with pytest.raises(ValueError):
            compose_spec.PyCompose.from_json(json.dumps({"services": {"a": wrong}})).validate()


def test_services_of_compose_know_each_other():
    services, secrets = deployment.compose()["services"], deployment.compose()["secrets"]
    topology = deployment.topologies()["deploy/compose/cluster/cluster.yaml"]
    shards = {name: s for name, s in services.items() if s["command"][0] == "serve"}
    assert {f"{name}:7700" for name in shards} == {a for s in topology["shards"] for a in s["replicas"]}
    log_port = services["log"]["command"][services["log"]["command"].index("--port") + 1]
    for name, service in shards.items():
        use = deployment.Use(name, service["command"])
        assert use.flag("announce") == f"{name}:{use.flag('port')}" and use.flag("host") == "0.0.0.0"
        assert deployment.slots_of(deployment.shard_with(topology, use.flag("announce"))["slots"]) == deployment.slots_of(use.flag("slots"))
        assert use.flag("log") == f"redis://log:{log_port}" and "log" in service["networks"]
        mounts = dict(reversed(v.split(":")[:2]) for v in service["volumes"])
        assert mounts[use.flag("state")] == name and "/etc/annex" in mounts and use.words[1].startswith("/srv/annex/indexes/")
        assert (DEPLOY / mounts["/etc/annex"] / Path(use.flag("cluster")).name).is_file()
        writable = [v for v in service["volumes"] if not v.endswith(":ro")]
        assert writable == [f"{name}:{use.flag('state')}", "backups:/var/backups/annex"], "nothing else may be written"
    router = deployment.Use("router", services["router"]["command"])
    assert services["router"]["ports"] == [f"127.0.0.1:{router.flag('port')}:{router.flag('port')}"]
    for name, service in services.items():
        assert service["read_only"] is True and service["cap_drop"] == ["ALL"] and service["security_opt"] == ["no-new-privileges:true"]
        assert "mem_limit" in service and ("ports" in service) == (name == "router")
        if name != "log":
            health = deployment.Use(name, service["healthcheck"]["test"])
            use = deployment.Use(name, service["command"])
            assert health.flag("port") == use.flag("port") and health.flag("password-file") == use.flag("password-file")
            assert Path(use.flag("password-file")).name in service["secrets"] and set(service["secrets"]) <= set(secrets)


# --- Topologies, flags, settings -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", deployment.topologies())
def test_each_slot_has_one_shard(name, tmp_path):
    topology = deployment.topologies()[name]
    owned = [slot for shard in topology["shards"] for slot in deployment.slots_of(shard["slots"])]
    assert sorted(owned) == list(range(deployment.SLOTS)) and topology["epoch"] == 1
    addresses = [a for shard in topology["shards"] for a in shard["replicas"]]
    assert len(addresses) == len(set(addresses)) and all(len(shard["replicas"]) == 2 for shard in topology["shards"])
    for shard in topology["shards"]:
        ends = {min(deployment.slots_of(shard["slots"])) % 1024, (max(deployment.slots_of(shard["slots"])) + 1) % 1024}
        assert ends == {0}, "cut between blocks of 1,024 slots"


def test_every_flag_that_is_used_exists():
    uses = deployment.all_uses()
    assert len(uses) > 30
    missing, commands = {}, set()
    for use in uses:
        command = deployment.resolve(use.words)
        words = [word for word in use.words if re.fullmatch(r"[a-z][a-z-]*", word)]
        if not command:
            if use.words and not use.words[0].startswith("-"):
                missing.setdefault(f"annctl {use.words[0]}", use.place)
            continue
        commands.add(command)
        if deployment.subcommands(*command) and len(words) > len(command):
            missing.setdefault(f"annctl {' '.join(words[:len(command) + 1])}", use.place)
        for flag in sorted(use.flags):
            if not re.search(rf"(^|[\s\[]){flag}\b(?!-)", deployment.help_of(*command)):
                missing.setdefault(f"{flag} of annctl {' '.join(command)}", use.place)
    assert ("serve",) in commands and ("query",) in commands
    assert not missing, missing


def test_cluster_yaml_has_each_setting_of_routers(tmp_path):
    """Its keys are those that a router names where one is wrong, and a router takes the file as it is."""
    text = (DEPLOY / "cluster.yaml").read_text()
    keys = set(re.findall(r"^  ([a-z-]+): ", text.partition("\nrouter:\n")[2], re.M))
    (tmp_path / "cluster.yaml").write_text(text + "  no-such-key: 1\n")
    refused = annex.said(annex.run_annctl("route", "--config", tmp_path / "cluster.yaml", "--port", 0))
    assert keys == set(re.search(r"Keys: ([a-z, -]+)", refused).group(1).split(", ")), refused
    (tmp_path / "cluster.yaml").write_text(text.replace("slots: 8192-16383", "slots: 8193-16383"))
    assert "no shard owns slots 8192" in annex.said(annex.run_annctl("route", "--config", tmp_path / "cluster.yaml", "--port", 0))


@pytest.mark.parametrize("command, heading", [("serve", "## A shard"), ("route", "## A router")])
def test_each_flag_of_settings_md_is_there_and_counts(command, heading, tmp_path):
    """The reference has the flags that --help has, and what is said with each is looked at: an impossible value is refused."""
    text = (DEPLOY.parent / "docs/settings.md").read_text().partition(heading)[2].partition("\n## ")[0]
    flags = set(re.findall(r"^\| `[a-z-]+` \| `--([a-z-]+)`", text, re.M))
    said = annex.said(annex.run_annctl(command, "--help"))
    shown = set(re.findall(r"^  (?:-h, )?--([a-z-]+)", said, re.M)) - {"help", "version"}
    assert len(flags) > 5 and flags == (shown - {"config"} if command == "serve" else shown)
    words = ("serve", tmp_path / "none") if command == "serve" else ("route",)
    for flag in flags - {"state"}:
        more = ("--config", tmp_path / "none.yaml") if command == "route" and flag != "config" else ()
        more += ("--cluster", tmp_path / "none.yaml") if flag in ("slots", "announce") else ()
        done = annex.run_annctl(*words, *more, f"--{flag}", "!")
        assert done.returncode == 64 and ("!" in annex.said(done) or "--log needs --state" in annex.said(done)), f"{flag}: {annex.said(done)}"


def test_annex_yaml_has_each_setting_with_its_default(indexes, tmp_path):
    """Served with it, as with all it has in comments, CONFIG GET says what it says without it."""
    text, index = (DEPLOY / "annex.yaml").read_text(), indexes["ip-hnsw"]
    keys = set(re.findall(r"^(?:# )?([a-z-]+): \S+$", text, re.M))
    (tmp_path / "unknown.yaml").write_text("no-such-key: 1\n")
    refused = annex.run_annctl("serve", index, "--config", tmp_path / "unknown.yaml")
    known = set(re.search(r"Keys: ([a-z, -]+)", annex.said(refused)).group(1).split(", "))
    assert refused.returncode == 64 or refused.returncode == 1
    assert keys == known, f"not in annex.yaml: {known - keys}; not a key: {keys - known}"
    full = re.sub(r"^# ([a-z-]+: \S+)$", r"\1", text, flags=re.M)
    full = full.replace("\ncold: error", "\ncold: popular")  # which cold-half-life is for
    full = full.replace(":6379", f":{annex.free_port()}")  # where nobody's Redis is
    (tmp_path / "full.yaml").write_text(full)
    (tmp_path / "password").write_text("secret\n")
    (tmp_path / "log-password").write_text("of-the-log\n")
    answers = []
    for options in ([], ["--config", DEPLOY / "annex.yaml"]):
        with annex.Server(index, log=tmp_path / "log", options=options) as server, server.connect() as c:
            reply = c.call("CONFIG", "GET", "*")
            answers.append({k: v for k, v in zip(reply[::2], reply[1::2]) if k != b"port"})
    assert answers[0] == answers[1] and len(answers[0]) > 20
    with annex.Server(index, log=tmp_path / "full.log", options=["--config", tmp_path / "full.yaml"], password="secret") as server:
        assert server.process.poll() is None
    assert (tmp_path / "state").is_dir(), "paths are relative to the file"
