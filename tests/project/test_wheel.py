"""What a wheel holds, and that the demo runs from one."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("preprocess", "trainer", "shared")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    # Of the files under version control alone: setuptools would reuse what an earlier build left beside them.
    tree = subprocess.run(["git", "ls-files", "-z", *PACKAGES], cwd=ROOT, capture_output=True, text=True, check=True)
    names = [name for name in tree.stdout.split("\0") if name]
    for name in [*names, "pyproject.toml", "README.md", "LICENSE"]:
        (folder / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "tree" / name).write_bytes((ROOT / name).read_bytes())
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(folder / "tree")]
    subprocess.run(build, check=True, capture_output=True)
    (made,) = folder.glob("*.whl")
    install = [*pip, "install", "--no-deps", "--target", str(folder / "installed"), str(made)]
    subprocess.run(install, check=True, capture_output=True)
    return names, made, folder / "installed"


def test_a_wheel_has_every_file_of_the_packages_and_no_other(wheel):
    names, made, _ = wheel
    held = {name for name in zipfile.ZipFile(made).namelist() if ".dist-info/" not in name}
    assert held == set(names)


def test_the_demo_runs_from_a_wheel(wheel, demo_cache, tmp_path):
    _, _, installed = wheel
    (tmp_path / "cache").symlink_to(demo_cache)
    environment = os.environ | {"PYTHONPATH": str(installed), "BASE_DIR": str(tmp_path)}
    command = [sys.executable, str(installed / "bin" / "speech-prep"), "run", "--demo", "--no-metrics", "--actors", "1"]
    command += ["--limit", "8", "--store", str(tmp_path / "store")]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "store" / "COMPLETE").exists()
    assert (tmp_path / "store" / "report.html").exists()
