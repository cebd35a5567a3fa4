"""The manifests against Kubernetes' own schemas, and what they promise."""

from importlib.metadata import version

import kubernetes_validate
import pytest

from shared.errors import ExitCode
from tests.support.deploy import DEPLOY, documents, unknown_options

KUBERNETES = DEPLOY / "kubernetes"
FILES = sorted(path.name for path in KUBERNETES.glob("*.yaml"))
OBJECTS = {f"{thing['kind']} in {name}": thing for name in FILES for thing in documents(KUBERNETES / name)}
OLDEST, NEWEST = "1.31.0", "1.37.0"
# Fields of KubeRay's ray.io/v1 RayJob, as far as one pod needs them; KubeRay ships no schema on PyPI.
RAY_JOB = {
    "entrypoint": str,
    "shutdownAfterJobFinishes": bool,
    "ttlSecondsAfterFinished": int,
    "backoffLimit": int,
    "submissionMode": str,
    "rayClusterSpec": dict,
}
RAY_CLUSTER = {"rayVersion": str, "authOptions": dict, "headGroupSpec": dict}
HEAD_GROUP = {"rayStartParams": dict, "template": dict}
# Of the Prometheus operator's monitoring.coreos.com/v1 PodMonitor, which has no schema on PyPI either.
POD_MONITOR = {"selector": dict, "podMetricsEndpoints": list}
ENDPOINT = {"port": str, "path": str, "interval": str, "scrapeTimeout": str, "relabelings": list}


def one(name):
    return documents(KUBERNETES / name)[0]


def ray_job():
    return one("preprocess-rayjob.yaml")


def pods():
    return {
        "preprocess-job": one("preprocess-job.yaml")["spec"]["template"],
        "preprocess-rayjob": ray_job()["spec"]["rayClusterSpec"]["headGroupSpec"]["template"],
        "trainer-job": one("trainer-job.yaml")["spec"]["template"],
    }


def container(name):
    (only,) = pods()[name]["spec"]["containers"]
    return only


def problems(thing, kubernetes):
    """What is wrong with *thing* under that version's schema, '' for nothing."""
    try:
        kubernetes_validate.validate(thing, kubernetes, strict=True)
    except kubernetes_validate.ValidationError as error:
        return str(error.message)
    return ""


@pytest.mark.parametrize("kubernetes", [OLDEST, NEWEST])
@pytest.mark.parametrize("name", [name for name in OBJECTS if not name.startswith(("RayJob", "PodMonitor"))])
def test_every_object_keeps_to_the_schema_with_no_unknown_field(name, kubernetes):
    assert problems(OBJECTS[name], kubernetes) == ""


def test_a_field_that_kubernetes_does_not_know_would_be_noticed():
    assert "replicaz" in problems(one("preprocess-job.yaml") | {"replicaz": 1}, NEWEST)


def test_the_ray_job_has_the_fields_of_kuberays_and_a_pod_that_keeps_to_the_schema():
    job = ray_job()
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    cluster = job["spec"]["rayClusterSpec"]
    for thing, fields in ((job["spec"], RAY_JOB), (cluster, RAY_CLUSTER), (cluster["headGroupSpec"], HEAD_GROUP)):
        assert {name: type(value) for name, value in thing.items()} == fields
    # KubeRay passes them to `ray start` as they are, so they are text.
    assert all(isinstance(value, str) for value in cluster["headGroupSpec"]["rayStartParams"].values())
    template = cluster["headGroupSpec"]["template"]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "head"} | template["metadata"]}
    assert problems(pod | {"spec": template["spec"]}, NEWEST) == ""


def test_the_ray_job_is_of_the_ray_that_is_installed():
    assert ray_job()["spec"]["rayClusterSpec"]["rayVersion"] == version("ray")


@pytest.mark.parametrize("name", pods())
def test_a_pod_has_no_root_no_token_and_a_root_file_system_that_is_only_read(name):
    spec = pods()[name]["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    own = container(name)["securityContext"]
    assert own == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


@pytest.mark.parametrize("name", pods())
def test_a_pod_gets_what_it_is_limited_to_and_its_image_is_pinned(name):
    resources = container(name)["resources"]
    for resource in ("cpu", "memory"):
        assert resources["requests"][resource] == resources["limits"][resource]
    assert container(name)["image"].rpartition(":")[2] == "0.1.0"


@pytest.mark.parametrize("name", pods())
def test_every_mount_has_its_volume_and_every_claim_exists(name):
    volumes = {volume["name"]: volume for volume in pods()[name]["spec"]["volumes"]}
    assert {mount["name"] for mount in container(name)["volumeMounts"]} == set(volumes)
    assert volumes["data"]["persistentVolumeClaim"]["claimName"] == one("storage.yaml")["metadata"]["name"]


@pytest.mark.parametrize(("name", "port"), [("preprocess-job", 9108), ("trainer-job", 9109)])
def test_the_run_is_probed_where_it_answers(name, port):
    run = container(name)
    asked = {name: run[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "liveness", "readiness")}
    assert asked == {"startup": "/healthz", "liveness": "/healthz", "readiness": "/readyz"}
    assert run["ports"] == [{"name": "metrics", "containerPort": port}]
    allowed = one("network-policy.yaml")["spec"]["ingress"][0]["ports"]
    assert port in [each["port"] for each in allowed]


def test_every_pod_with_metrics_is_found_by_a_monitor_under_the_job_that_rules_select():
    monitors = documents(KUBERNETES / "pod-monitor.yaml")
    jobs = [job["job_name"] for job in documents(DEPLOY / "prometheus" / "prometheus.yml")[0]["scrape_configs"]]
    selected = {}
    for monitor in monitors:
        assert (monitor["apiVersion"], monitor["kind"]) == ("monitoring.coreos.com/v1", "PodMonitor")
        assert {name: type(value) for name, value in monitor["spec"].items()} == POD_MONITOR
        (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
        assert {name: type(value) for name, value in endpoint.items()} == ENDPOINT
        (relabeling,) = endpoint["relabelings"]
        assert relabeling["targetLabel"] == "job"
        (label,) = monitor["spec"]["selector"]["matchLabels"].items()
        selected[label] = (relabeling["replacement"], endpoint["port"])
    assert [job for job, _ in selected.values()] == jobs
    for name, template in pods().items():
        ports = {port["name"] for port in container(name)["ports"]}
        found = [port for label, (_, port) in selected.items() if label in template["metadata"]["labels"].items()]
        assert found, name
        assert set(found) <= ports


@pytest.mark.parametrize("name", pods())
def test_the_token_of_the_hub_is_a_secret_that_may_be_missing(name):
    (token,) = [variable for variable in container(name)["env"] if variable["name"] == "HF_TOKEN"]
    assert token == {
        "name": "HF_TOKEN",
        "valueFrom": {"secretKeyRef": {"name": "speech-prep-hub", "key": "token", "optional": True}},
    }


@pytest.mark.parametrize("name", pods())
def test_the_options_of_the_run_exist(name):
    assert not unknown_options({variable["name"]: "" for variable in container(name)["env"]})


def test_a_job_that_cannot_get_better_is_not_tried_again():
    (final, drained) = one("preprocess-job.yaml")["spec"]["podFailurePolicy"]["rules"]
    assert set(final["onExitCodes"]["values"]) == {ExitCode.USAGE, ExitCode.QUARANTINE_EXCEEDED}
    assert final["onExitCodes"]["containerName"] == container("preprocess-job")["name"]
    assert drained["action"] == "Ignore"
    assert pods()["preprocess-job"]["spec"]["restartPolicy"] == "Never"


def test_the_trainer_has_a_rank_for_each_of_its_two_gpus_and_only_reads_the_store():
    trainer = container("trainer-job")
    assert trainer["resources"]["limits"]["nvidia.com/gpu"] == "2"
    assert "--nproc-per-node=2" in trainer["command"]
    (store,) = [mount for mount in trainer["volumeMounts"] if mount["mountPath"] == "/data/store"]
    assert store["readOnly"] is True
