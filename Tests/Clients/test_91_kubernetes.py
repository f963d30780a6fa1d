"""deploy/kubernetes: of Kubernetes' own schemas (of the package kubernetes-validate), and consistent in itself."""

from __future__ import annotations

import json
import re
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

import deployment
from deployment import DEPLOY, objects

KUBERNETES = ("1.25", "1.31", "1.37")


@pytest.mark.parametrize("version", KUBERNETES)
def test_manifests_are_of_kubernetes_schemas(version):
    for file, found in deployment.manifests():
        assert kubernetes_validate.validate(found, version, strict=True) == version, file


def test_a_manifest_with_a_wrong_word_is_found():
    found = json.loads(deployment.as_json(objects("StatefulSet")["annex-a"]))
    found["spec"]["template"]["spec"]["containers"][0]["livenesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(found, KUBERNETES[0], strict=True)


def test_kustomization_has_every_file():
    files = {path.name for path in (DEPLOY / "kubernetes").glob("*.yaml")} - {"kustomization.yaml"}
    resources = yaml.safe_load((DEPLOY / "kubernetes/kustomization.yaml").read_text())["resources"]
    assert sorted(resources) == sorted(files)


def test_pods_are_confined():
    user = re.search(r"^USER (\d+):(\d+)$", (DEPLOY / "Dockerfile").read_text(), re.M)
    for name, workload in deployment.workloads().items():
        pod = workload["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        for container in deployment.containers(workload):
            context = container["securityContext"]
            assert context == {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
            assert "memory" in container["resources"]["limits"] and container["resources"]["requests"]
            if container["image"].startswith("annex:"):
                assert [pod["securityContext"]["runAsUser"], pod["securityContext"]["runAsGroup"]] == [*map(int, user.groups())], name


def test_jobs_are_confined_and_know_the_pods():
    """Backups are made in pods that exist, of the state that they have, into the folders that are trimmed behind."""
    stateful, folders = objects("StatefulSet"), {}
    for name, job in deployment.jobs().items():
        pod = job["spec"]
        assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        (container,) = pod["containers"]
        assert container["securityContext"] == {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
        assert "memory" in container["resources"]["limits"] and pod["restartPolicy"] == "Never"
        if name.startswith("annex-backup-"):
            role = objects("Role")[pod["serviceAccountName"]]
            words = container["args"]
            target, command = words[words.index("--") - 1], words[words.index("--") + 1:]
            assert all(target in rule["resourceNames"] for rule in role["rules"]) and target.rsplit("-", 1)[0] in stateful
            (served,) = deployment.containers(stateful[target.rsplit("-", 1)[0]])
            use = deployment.Use(name, command)
            assert command[:3] == ["annctl", "backup", deployment.Use("", served["args"]).flag("state") + "/debian"]
            mounts = [m["mountPath"] for m in served["volumeMounts"] if not m.get("readOnly")]
            assert any(use.flag("into").startswith(path + "/") for path in mounts)
            folders[target.rsplit("-", 1)[0]] = use.flag("into")
    assert set(folders) == {name for name in stateful if name != "annex-log"}, "each shard has its backups"
    (trim,) = [job["spec"]["containers"][0] for name, job in deployment.jobs().items() if name == "annex-trim-log"]
    assert trim["args"][2:2 + len(folders)] == sorted(folders.values()), "the log is trimmed behind the backups of all shards"
    labels = deployment.jobs()["annex-trim-log"]["metadata"]["labels"]
    (rule,) = objects("NetworkPolicy")["annex-log"]["spec"]["ingress"]
    assert {"podSelector": {"matchLabels": labels}} in rule["from"], "it may reach the log"


def test_objects_of_kubernetes_know_each_other():
    topology = deployment.topologies()["deploy/kubernetes/cluster.yaml"]
    named, sets = set(), objects("StatefulSet")
    for name, workload in deployment.workloads().items():
        spec = workload["spec"]
        labels, pod = spec["template"]["metadata"]["labels"], spec["template"]["spec"]
        assert spec["selector"]["matchLabels"] == labels
        (container,) = deployment.containers(workload)
        ports = {p["name"]: p["containerPort"] for p in container["ports"]}
        services = [s for s in objects("Service").values() if s["spec"]["selector"] == labels]
        assert [(p["port"], p["targetPort"]) for s in services for p in s["spec"]["ports"]] == [(v, k) for k, v in ports.items()], name
        if name == "annex-log":
            assert str(ports["redis"]) == container["command"][container["command"].index("--port") + 1]
            continue
        (budget,) = [b for b in objects("PodDisruptionBudget").values() if b["spec"]["selector"]["matchLabels"] == labels]
        assert budget["spec"]["maxUnavailable"] == 1 and spec["replicas"] >= 2
        use = deployment.Use(name, container["args"])
        assert int(use.flag("port")) == ports["annex"] and use.flag("host") == "0.0.0.0"
        mounts = {m["mountPath"]: m for m in container["volumeMounts"]}
        cluster, password = Path(use.flag("cluster") or use.flag("config")), Path(use.flag("password-file"))
        volumes = {v["name"]: v for v in pod["volumes"]}
        assert cluster.name in objects("ConfigMap")[volumes[mounts[str(cluster.parent)]["name"]]["configMap"]["name"]]["data"]
        files = [password.name] + ([Path(use.flag("log-password-file")).name] if use.words[0] == "serve" else [])
        assert [i["path"] for i in volumes[mounts[str(password.parent)]["name"]]["secret"]["items"]] == files
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            asks = deployment.Use(name, container[probe]["exec"]["command"])
            assert asks.flag("port") == use.flag("port") and asks.flag("password-file") == str(password)
        if use.words[0] != "serve":
            continue
        host = f"{spec['serviceName']}.annex.svc.cluster.local:{ports['annex']}"
        assert use.flag("announce") == f"$(POD_NAME).{host}" and services[0]["metadata"]["name"] == spec["serviceName"]
        replicas = [f"{name}-{n}.{host}" for n in range(spec["replicas"])]
        shard = deployment.shard_with(topology, replicas[0])
        assert shard["replicas"] == replicas and deployment.slots_of(shard["slots"]) == deployment.slots_of(use.flag("slots"))
        named |= set(replicas)
        assert [path for path, m in mounts.items() if not m.get("readOnly")] == [use.flag("state"), "/var/backups/annex"]
        assert mounts[use.flag("state")]["name"] == spec["volumeClaimTemplates"][0]["metadata"]["name"]
        assert use.words[1].startswith("/srv/annex/indexes/") and "/srv/annex/indexes" in mounts
        log = re.fullmatch(r"redis://([^.]+)\.annex\.svc\.cluster\.local:(\d+)", use.flag("log"))
        assert log.group(1) in objects("Service") and int(log.group(2)) == objects("Service")[log.group(1)]["spec"]["ports"][0]["port"]
        assert log.group(1) in sets
    assert named == {a for s in topology["shards"] for a in s["replicas"]}
    known = [w["spec"]["selector"]["matchLabels"] for w in deployment.workloads().values()]
    for policy in objects("NetworkPolicy").values():
        chosen = policy["spec"]["podSelector"]["matchLabels"]
        assert any(chosen.items() <= labels.items() for labels in known), f"{policy['metadata']['name']} is about no pod"
