"""What the container files promise: no root, a root file system that is only read, pinned images, loopback."""

import re
import sys
from pathlib import Path

import pytest

from tests.support.deploy import DEPLOY, ROOT, documents, env_file, run, unknown_options

CONTAINERS = DEPLOY / "containers"
FILES = ["Containerfile.preprocess", "Containerfile.trainer"]
COMPOSE = documents(CONTAINERS / "compose.yml")[0]
SERVICES = COMPOSE["services"]
PINNED = re.compile(r".+:v?\d+\.\d+\.\d+[\w.-]*$")


def instructions(name):
    text = (CONTAINERS / name).read_text().replace("\\\n", " ")
    return [line.split(maxsplit=1) for line in text.splitlines() if line and not line.startswith("#")]


@pytest.mark.parametrize("name", FILES)
def test_hadolint_has_nothing_to_say(name):
    assert run(Path(sys.executable).parent / "hadolint", CONTAINERS / name) == ""


@pytest.mark.parametrize("name", FILES)
def test_an_image_runs_as_a_user_that_is_not_root_from_a_pinned_base(name):
    lines = instructions(name)
    users = [value for key, value in lines if key == "USER"]
    assert users == ["10001:10001"]
    assert len([value for key, value in lines if key == "FROM"]) == 2
    assert all(PINNED.match(value.split()[0]) for key, value in lines if key == "FROM")


@pytest.mark.parametrize("name", FILES)
def test_an_image_keeps_no_cache_and_holds_only_what_its_part_needs(name):
    lines = instructions(name)
    installs = [value for key, value in lines if key == "RUN" and "pip install" in value]
    assert all(value.count("pip install") == value.count("--no-cache-dir") for value in installs)
    copied = {value.split()[0] for key, value in lines if key == "COPY" and not value.startswith("--from")}
    part = name.removeprefix("Containerfile.")
    assert copied == {"deploy/requirements", "pyproject.toml", "shared", part}
    assert all((ROOT / path).exists() for path in copied)


@pytest.mark.parametrize("name", FILES)
def test_the_health_is_asked_of_healthz(name):
    (check,) = [value for key, value in instructions(name) if key == "HEALTHCHECK"]
    assert "/healthz" in check


def test_loops_are_compiled_once_for_a_volume_and_not_in_every_container():
    lines = dict(instructions("Containerfile.preprocess"))
    folder = next(word for word in lines["ENV"].split() if word.startswith("NUMBA_CACHE_DIR="))
    assert Path(folder.partition("=")[2]).is_relative_to(lines["VOLUME"])


@pytest.mark.parametrize("name", FILES)
def test_both_builders_find_the_list_of_what_stays_out(name):
    assert (CONTAINERS / f"{name}.dockerignore").resolve() == CONTAINERS / ".containerignore"
    patterns = (CONTAINERS / ".containerignore").read_text().splitlines()
    assert patterns[1] == "*"


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_locked_down_and_bounded(name):
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service["user"].startswith("0")
    assert {"mem_limit", "pids_limit", "tmpfs"} <= set(service)
    assert PINNED.match(service["image"])


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_seen_on_loopback_only(name):
    assert SERVICES[name]["ports"]
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name]["ports"])


def test_every_file_that_compose_mounts_exists_and_is_only_read():
    mounts = [mount for service in SERVICES.values() for mount in service["volumes"] if mount.startswith(".")]
    assert mounts
    for mount in mounts:
        source, _, mode = mount.split(":")
        assert (CONTAINERS / source).exists()
        assert mode == "ro"


def test_prometheus_scrapes_the_service_and_grafana_asks_prometheus():
    (group,) = documents(CONTAINERS / "targets.yml")[0]
    assert group["targets"] == ["preprocess:9108"]
    assert SERVICES["grafana"]["environment"]["PROMETHEUS_URL"] == "http://prometheus:9090"
    assert any(mount.endswith(":/etc/prometheus/targets/host.yml:ro") for mount in SERVICES["prometheus"]["volumes"])


def test_the_options_of_the_run_exist():
    assert not unknown_options(env_file(CONTAINERS / "preprocess.env"))
    assert not unknown_options(SERVICES["preprocess"]["environment"])


def test_no_secret_stands_in_the_compose_file():
    assert SERVICES["grafana"]["environment"]["GF_SECURITY_ADMIN_PASSWORD"].startswith("${GRAFANA_PASSWORD:?")
