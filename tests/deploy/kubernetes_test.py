# SPDX-License-Identifier: Apache-2.0
"""deploy/kubernetes: valid by the schemas of Kubernetes and KEDA, and its parts fit together. No cluster is asked."""

from __future__ import annotations

import copy
import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml  # type: ignore[import-untyped]

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "kubernetes"
WORKER = ROOT / "build/release/splitnet-worker"
SCHEMAS = Path(__file__).resolve().parent / "schemas"
KUBERNETES: dict[str, Any] = json.loads((SCHEMAS / "kubernetes-1.37.json").read_text())
KEDA: dict[str, Any] = json.loads((SCHEMAS / "keda-2.16.json").read_text())
# Of the trigger aws-sqs-queue: keda.sh/docs/2.16/scalers/aws-sqs. The schema takes any.
SQS_TRIGGER = {
    "queueURL", "queueURLFromEnv", "queueLength", "activationQueueLength", "awsRegion", "awsEndpoint",
    "scaleOnInFlight", "scaleOnDelayed", "identityOwner",
}  # fmt: skip
Manifest = dict[str, Any]


def load(path: Path) -> list[Manifest]:
    return [one for one in yaml.safe_load_all(path.read_text()) if one]


KUSTOMIZATION: Manifest = load(FOLDER / "kustomization.yaml")[0]
MANIFESTS: list[Manifest] = [one for name in KUSTOMIZATION["resources"] for one in load(FOLDER / name)]


def the(kind: str) -> Manifest:
    (found,) = [one for one in MANIFESTS if one["kind"] == kind]
    return copy.deepcopy(found)


def check(manifest: Manifest) -> None:
    """Raises jsonschema.ValidationError: a field that is unknown, missing or of another type."""
    kind = manifest["kind"]
    schema = KEDA[kind] if kind in KEDA else {**KUBERNETES["kinds"][kind], "$defs": KUBERNETES["$defs"]}
    jsonschema.Draft202012Validator(schema).validate(manifest)


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda one: f"{one['kind']}/{one['metadata']['name']}")
def test_a_manifest_is_valid(manifest: Manifest) -> None:
    check(manifest)


def container(manifest: Manifest) -> Manifest:
    (found,) = manifest["spec"]["template"]["spec"]["containers"]
    return dict(found)


BREAKS: list[tuple[str, Callable[[Manifest], object], str]] = [
    ("Deployment", lambda one: one["spec"].update(replica=1), "replica"),
    ("Deployment", lambda one: one["spec"]["template"]["spec"].update(terminationGracePeriodSeconds="90s"), "90s"),
    ("Deployment", lambda one: one["spec"]["template"]["spec"]["containers"][0].update(arguments=[]), "arguments"),
    ("Deployment", lambda one: one["spec"].pop("selector"), "selector"),
    ("Deployment", lambda one: one.update(apiVersion="apps/v1beta1"), "apps/v1beta1"),
    ("NetworkPolicy", lambda one: one["spec"]["ingress"][0]["ports"][0].update(ports=1), "ports"),
    ("NetworkPolicy", lambda one: one["spec"].update(podSelectors={}), "podSelectors"),
    ("PodDisruptionBudget", lambda one: one["spec"].update(maxUnavailable=[1]), "1"),
    ("ServiceAccount", lambda one: one.update(automountServiceAccountTokens=False), "automountServiceAccountTokens"),
    ("ConfigMap", lambda one: one["data"].update(QUEUE=3), "3"),
    ("ScaledObject", lambda one: one["spec"].update(minReplicas=0), "minReplicas"),
    ("ScaledObject", lambda one: one["spec"]["triggers"][0]["metadata"].update(queueLength=5), "5"),
    ("ScaledObject", lambda one: one["spec"].pop("scaleTargetRef"), "scaleTargetRef"),
    ("ScaledObject", lambda one: one["spec"]["advanced"].update(behavior={}), "behavior"),
    ("TriggerAuthentication", lambda one: one["spec"]["podIdentity"].update(provider="aws-kiam"), "aws-kiam"),
]


@pytest.mark.parametrize(("kind", "change", "said"), BREAKS, ids=[f"{kind}-{said}" for kind, _, said in BREAKS])
def test_a_slip_would_be_found(kind: str, change: Callable[[Manifest], object], said: str) -> None:
    broken = the(kind)
    change(broken)
    with pytest.raises(jsonschema.ValidationError, match=re.escape(said)):
        check(broken)


def test_every_file_is_in_the_kustomization_once() -> None:
    files = {path.name for path in FOLDER.glob("*.yaml")} - {"kustomization.yaml"}
    assert sorted(KUSTOMIZATION["resources"]) == sorted(files)
    assert KUSTOMIZATION.keys() == {"apiVersion", "kind", "namespace", "resources", "images"}
    assert KUSTOMIZATION["namespace"] == the("Namespace")["metadata"]["name"]
    assert [one["name"] for one in KUSTOMIZATION["images"]] == [container(the("Deployment"))["image"]]
    assert not [one for one in MANIFESTS if "namespace" in one["metadata"]]


def test_what_is_named_is_there() -> None:
    deployment, account, settings = the("Deployment"), the("ServiceAccount"), the("ConfigMap")
    pod = deployment["spec"]["template"]
    assert pod["spec"]["serviceAccountName"] == account["metadata"]["name"]
    assert container(deployment)["envFrom"] == [{"configMapRef": {"name": settings["metadata"]["name"]}}]
    selectors = [
        deployment["spec"]["selector"]["matchLabels"],
        the("NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
        the("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
    ]
    assert all(one and one.items() <= pod["metadata"]["labels"].items() for one in selectors)
    scaled, (trigger,) = the("ScaledObject"), the("ScaledObject")["spec"]["triggers"]
    assert scaled["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert trigger["authenticationRef"]["name"] == the("TriggerAuthentication")["metadata"]["name"]
    assert trigger["type"] == "aws-sqs-queue" and trigger["metadata"].keys() <= SQS_TRIGGER
    assert trigger["metadata"]["queueURLFromEnv"] in settings["data"]
    assert trigger["metadata"]["awsRegion"] == settings["data"]["AWS_REGION"]
    assert "replicas" not in deployment["spec"], "it would undo what KEDA has set"


def test_a_worker_that_works_is_not_counted_as_too_many() -> None:
    spec = the("ScaledObject")["spec"]
    assert spec["triggers"][0]["metadata"]["scaleOnInFlight"] == "true"
    assert spec["minReplicaCount"] == 0 < spec["maxReplicaCount"]


def test_pods_may_do_no_more_than_they_need() -> None:
    pod = the("Deployment")["spec"]["template"]["spec"]
    assert not pod["automountServiceAccountToken"] and not the("ServiceAccount")["automountServiceAccountToken"]
    assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    limits = container(the("Deployment"))["securityContext"]
    assert limits == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}
    }  # fmt: skip
    assert {"cpu", "memory"} <= container(the("Deployment"))["resources"]["requests"].keys()
    assert "memory" in container(the("Deployment"))["resources"]["limits"]
    policy = the("NetworkPolicy")["spec"]
    assert set(policy["policyTypes"]) == {"Ingress", "Egress"}
    assert all(rule["from"] and rule["ports"] for rule in policy["ingress"])
    assert all(rule["to"] and rule["ports"] for rule in policy["egress"])


def arguments() -> list[str]:
    """As the container gets them: $(NAME) is a variable of its environment."""
    found = container(the("Deployment"))
    known = the("ConfigMap")["data"] | {one["name"]: one["value"] for one in found["env"]}
    return [re.sub(r"\$\((\w+)\)", lambda name: known[name[1]], word) for word in found["args"]]


def option(name: str) -> str:
    (found,) = [word.partition("=")[2] for word in arguments() if word.startswith(f"--{name}=")]
    return found


def test_probes_and_prometheus_find_the_status_page() -> None:
    found = container(the("Deployment"))
    (port,) = found["ports"]
    assert option("status") == f"0.0.0.0:{port['containerPort']}" and "--allow-remote-status" in arguments()
    for probe, path in (("startupProbe", "/readyz"), ("readinessProbe", "/readyz"), ("livenessProbe", "/livez")):
        assert found[probe]["httpGet"] == {"path": path, "port": port["name"]}
    metadata = the("Deployment")["spec"]["template"]["metadata"]
    assert metadata["annotations"]["prometheus.io/port"] == str(port["containerPort"])
    (rule,) = the("NetworkPolicy")["spec"]["ingress"]
    assert rule["ports"] == [{"protocol": "TCP", "port": port["containerPort"]}]


def test_there_is_time_to_finish() -> None:
    pod = the("Deployment")["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] > float(option("drain-timeout"))


def options_of_the_worker() -> Iterator[str]:
    told = subprocess.run([WORKER, "--help"], capture_output=True, text=True, check=True).stdout
    yield from re.findall(r"^ +(?:-\w,)?(--[\w-]+)", told, re.MULTILINE)


def test_the_worker_has_every_option() -> None:
    known = set(options_of_the_worker())
    assert len(known) > 20
    assert {word.partition("=")[0] for word in arguments() if word.startswith("--")} <= known


def test_the_worker_understands_its_arguments() -> None:
    """All of them, up to the model, which lies in the image only."""
    spec = container(the("Deployment"))
    assert spec["command"] == ["/splitnet-worker"]
    words = [re.sub(r"^--status=.*", "--status=127.0.0.1:0", word) for word in arguments()]
    ends = subprocess.run(
        [WORKER, *words], capture_output=True, text=True, env=the("ConfigMap")["data"], timeout=60, check=False
    )
    assert ends.returncode == 1 and "can't load /models/model.pt: there is no such file" in ends.stderr


def test_a_wrong_option_would_be_found() -> None:
    ends = subprocess.run([WORKER, "/models/model.pt", "--sqs-flights=2"], capture_output=True, text=True, check=False)
    assert ends.returncode == 2
