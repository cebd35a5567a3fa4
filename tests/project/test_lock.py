"""What is installed is what the lock names: it agrees with pyproject.toml, is whole, and everything has its hashes."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from preprocess.features.provenance import LIBRARIES

ROOT = Path(__file__).parents[2]
LOCKS = ROOT / "deploy" / "requirements"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS = PROJECT["project"]["optional-dependencies"]
# By lock file, the extras whose installation it is for.
FILES = {"preprocess": ["preprocess"], "trainer": ["trainer"], "test": ["preprocess", "trainer", "test"]}

OPTIONAL = {"wandb"}
"""Imported where a user asks for it, with a remedy."""


def locked(name):
    """Of the packages that *name*.txt has: their requirements, with how many hashes."""
    text = re.sub(r"\\\n", " ", (LOCKS / f"{name}.txt").read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [
        (Requirement(line.split("--hash", 1)[0]), len(re.findall(r"--hash=sha256:[0-9a-f]{64}", line)))
        for line in lines
    ]


def here(name):
    """By package, the version that *name*.txt has for this Python on this machine."""
    found = {}
    for requirement, _ in locked(name):
        if requirement.marker is None or requirement.marker.evaluate():
            assert canonicalize_name(requirement.name) not in found
            found[canonicalize_name(requirement.name)] = str(requirement.specifier).removeprefix("==")
    return found


def wanted(name):
    direct = [*PROJECT["project"]["dependencies"], *(line for extra in FILES[name] for line in EXTRAS[extra])]
    return [Requirement(line) for line in direct]


@pytest.mark.parametrize("name", [*FILES, "torch", "kuberay"])
def test_every_package_has_one_version_and_its_hashes(name):
    for requirement, num_hashes in locked(name):
        assert re.fullmatch(r"==[^*,]+", str(requirement.specifier)), requirement
        assert num_hashes, requirement


@pytest.mark.parametrize("name", FILES)
def test_the_lock_has_what_pyproject_pins(name):
    found = here(name) | {"torch": here("torch")["torch"]}
    for requirement in wanted(name):
        assert requirement.specifier.contains(found[canonicalize_name(requirement.name)]), requirement


@pytest.mark.parametrize("name", FILES)
def test_the_lock_has_all_that_its_packages_ask_for(name):
    """Installed without dependencies, it would lack them."""
    found, waiting, seen = here(name) | {"torch": here("torch")["torch"]}, wanted(name), set()
    while waiting:
        requirement = waiting.pop()
        package = canonicalize_name(requirement.name)
        assert package in found, f"{package} is asked for, run `make lock`"
        assert requirement.specifier.contains(found[package], prereleases=True), requirement
        for extra in ("", *requirement.extras):
            if (package, extra) not in seen:
                seen.add((package, extra))
                asked = [Requirement(line) for line in requires(package) or []]
                waiting += [each for each in asked if each.marker is None or each.marker.evaluate({"extra": extra})]


def test_all_files_have_the_same_versions():
    found = here("test") | here("torch")
    for name in ("preprocess", "trainer", "kuberay"):
        assert {
            package: version for package, version in here(name).items() if found.get(package, version) != version
        } == {}


def imported(*folders):
    """The packages of others that our code in *folders* imports, wherever in a module."""
    names = set()
    for path in (path for folder in folders for path in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {each.name.split(".")[0] for each in node.names}
            elif isinstance(node, ast.ImportFrom):
                names.add((node.module or "").split(".")[0])
    return {name for name in names if name not in sys.stdlib_module_names and name not in {"shared", *folders}}


@pytest.mark.parametrize("part", ["preprocess", "trainer"])
def test_a_part_is_installed_with_all_that_it_imports(part):
    """Tests have all packages, a user's installation has not: what only tests ask for is not there."""
    found, distributions = here(part) | here("torch"), packages_distributions()
    # An extra of its own: who splits no recordings needs no model's library.
    apart = {"ctranslate2"} if part == "preprocess" else set()
    for name in imported("shared", part) - OPTIONAL - apart:
        assert {canonicalize_name(package) for package in distributions[name]} & found.keys(), name


def test_the_libraries_whose_versions_a_store_tells_are_installed_with_the_preprocessor():
    assert set(LIBRARIES) <= here("preprocess").keys()


def test_what_builds_the_package_is_locked_too():
    for line in PROJECT["build-system"]["requires"]:
        requirement = Requirement(line)
        assert all(requirement.specifier.contains(here(name)[requirement.name]) for name in FILES)


def test_torch_is_apart_from_what_every_installation_takes():
    names = {package for name in (*FILES, "kuberay") for package in here(name)}
    assert not {name for name in names if re.match(r"torch$|triton|cuda-|nvidia-(?!ml-py$)", name)}


@pytest.mark.parametrize(
    "path", ["Makefile", *(f"deploy/containers/Containerfile.{part}" for part in ("preprocess", "trainer"))]
)
def test_nothing_is_installed_but_by_the_lock(path):
    text = re.sub(r"\\\n", " ", (ROOT / path).read_text())
    installs = re.findall(r"(?:pip install|\$\(PIP\)) (.*)", text)
    # Makefile's definition of PIP, and torch in the version of the lock.
    installs = [line for line in installs if "torch=" not in line and line != "--quiet --disable-pip-version-check"]
    locked_ones = [line for line in installs if "--require-hashes" in line]
    own = [line for line in installs if re.search(r"--no-deps --no-build-isolation (--editable )?\.$", line)]
    assert locked_ones
    assert own
    assert locked_ones + own == installs


def test_a_file_of_another_hash_is_refused(tmp_path):
    """A package of our own in the place of a locked one, as an index that was tampered with would give it."""
    wheel = tmp_path / "soxr-1.1.0-py3-none-any.whl"
    wheel.write_bytes(b"no wheel")
    (line,) = [line for line, _ in locked("preprocess") if line.name == "soxr"]
    text = (LOCKS / "preprocess.txt").read_text()
    (tmp_path / "one.txt").write_text(
        re.search(rf"^{re.escape(str(line))}.*?(?=^\w)", text, re.MULTILINE | re.DOTALL)[0]
    )
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--isolated",
        "--no-index",
        "--find-links",
        tmp_path,
        "--no-deps",
    ]
    command += ["--require-hashes", "-r", tmp_path / "one.txt", "-d", tmp_path / "out"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "DO NOT MATCH THE HASHES" in done.stderr
