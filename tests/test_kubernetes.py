"""The manifests of packaging/kubernetes: each object by Kubernetes's own schemas, and what they name by one another.

No cluster is started. KubeRay's schema comes with none of the packages: of a RayCluster its pods are checked.
"""

from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "packaging" / "kubernetes"
VERSION = "1.33"
PVC = "persistentVolumeClaim"


def objects(name):
    return [item for item in YAML(typ="safe").load_all((FOLDER / name).read_text(encoding="utf-8")) if item]


def named(kind, name):
    (found,) = [item for item in objects("team.yaml") if (item["kind"], item["metadata"]["name"]) == (kind, name)]
    return found


def ray_templates():
    (cluster,) = objects("ray.yaml")
    spec = cluster["spec"]
    return {"head": spec["headGroupSpec"], **{group["groupName"]: group for group in spec["workerGroupSpecs"]}}


@pytest.mark.cluster
def test_every_object_fits_kubernetes_schemas():
    validate = pytest.importorskip("kubernetes_validate", reason="pip install 'squeeze-gpt[cluster]'").validate
    for item in objects("team.yaml"):
        validate(item, VERSION, strict=True)
    for name, group in ray_templates().items():
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": group["template"]["spec"]}
        validate(pod, VERSION, strict=True)


@pytest.mark.cluster
def test_dagsters_settings_fit_what_they_configure(monkeypatch):
    dagster_k8s = pytest.importorskip("dagster_k8s", reason="pip install 'squeeze-gpt[kubernetes]'")
    from dagster._config import validate_config
    from dagster._core.instance.config import dagster_instance_config_schema

    settings = YAML(typ="safe").load(named("ConfigMap", "squeeze-dagster")["data"]["dagster.yaml"])
    assert validate_config(dagster_instance_config_schema(), settings).success
    launcher = settings["run_launcher"]["config"]
    beside = YAML(typ="safe").load((FOLDER / "beside_a_run.yaml").read_text())
    for config in (launcher, {**launcher, "run_k8s_config": beside}):
        result = validate_config(dagster_k8s.K8sRunLauncher.config_type(), config)
        assert result.success, result.errors


def test_the_settings_are_those_of_compose_but_for_where_runs_are_started():
    kubernetes = YAML(typ="safe").load(named("ConfigMap", "squeeze-dagster")["data"]["dagster.yaml"])
    compose = YAML(typ="safe").load((ROOT / "packaging/docker/services/dagster.yaml").read_text())
    del kubernetes["run_launcher"]
    assert kubernetes == compose


def test_the_pool_of_training_has_its_limit_before_the_daemon_starts():
    pod = named("Deployment", "squeeze-daemon")["spec"]["template"]["spec"]
    (before,) = pod["initContainers"]
    compose = YAML(typ="safe").load((ROOT / "packaging/docker/compose.yaml").read_text())["services"]
    assert before["command"] == compose["pool"]["command"]
    (daemon,) = pod["containers"]
    assert (before["image"], before["envFrom"]) == (daemon["image"], daemon["envFrom"])
    assert daemon["volumeMounts"][0] in before["volumeMounts"]


def test_what_is_named_is_there():
    claims = {item["metadata"]["name"] for item in objects("team.yaml") if item["kind"] == "PersistentVolumeClaim"}
    services = {item["metadata"]["name"] for item in objects("team.yaml") if item["kind"] == "Service"}
    pods = [item["spec"]["template"] for item in objects("team.yaml") if item["kind"] in ("Deployment", "StatefulSet")]
    labels = [pod["metadata"]["labels"] for pod in pods]
    assert all(item["spec"]["selector"] in labels for item in objects("team.yaml") if item["kind"] == "Service")
    assert named("ConfigMap", "squeeze-environment")["data"]["POSTGRES_HOST"] in services
    for pod in [*(pod["spec"] for pod in pods), *(group["template"]["spec"] for group in ray_templates().values())]:
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        used = [mount["name"] for container in pod["containers"] for mount in container["volumeMounts"]]
        assert set(used) == set(volumes)
        asked = [item["persistentVolumeClaim"]["claimName"] for item in volumes.values() if PVC in item]
        assert set(asked) <= claims
    (location,) = YAML(typ="safe").load(named("ConfigMap", "squeeze-dagster")["data"]["workspace.yaml"])["load_from"]
    assert location["grpc_server"]["host"] in services


def test_rays_version_is_the_packages():
    (cluster,) = objects("ray.yaml")
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert f"ray=={cluster['spec']['rayVersion']}" in pins
