"""What each package may import, seen in a fresh process, and where Ray may be named at all."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
LIST = """
import importlib, json, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
print(json.dumps(sorted({name.split(".")[0] for name in sys.modules})))
"""


def modules(package):
    """All modules of *package*, by their dotted names; `__main__` runs and is left out."""
    names = []
    for path in sorted((REPOSITORY / package).rglob("*.py")):
        parts = path.relative_to(REPOSITORY).with_suffix("").parts
        if parts[-1] != "__main__":
            names.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return names


def imported_by(names):
    command = [sys.executable, "-c", LIST, *names]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


def names_in(path):
    """Top-level packages that the file imports anywhere, in functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [
        ("shared", {"ray", "torch", "transformers", "preprocess", "trainer", "datasets", "librosa"}),
        ("preprocess", {"torch", "transformers", "trainer", "librosa"}),
        ("trainer", {"ray", "preprocess"}),
    ],
)
def test_a_package_imported_whole_brings_no_forbidden_package(package, forbidden):
    assert not imported_by(modules(package)) & forbidden


def test_only_what_runs_the_cluster_brings_ray():
    without_ray = [
        name
        for name in modules("preprocess")
        if name not in {"preprocess.execution.ray_cluster", "preprocess.execution.run_loop"}
    ]
    assert "ray" not in imported_by(without_ray)


@pytest.mark.parametrize("package", ["shared", "preprocess", "trainer"])
def test_object_storage_is_imported_nowhere_on_one_machines_path(package):
    local = [name for name in modules(package) if name != "shared.storage.s3_bucket"]
    assert "obstore" not in imported_by(local)


def test_an_actor_needs_neither_librosa_nor_datasets_nor_the_view():
    assert not imported_by(["preprocess.features.worker"]) & {
        "librosa",
        "datasets",
        "matplotlib",
        "rich",
        "pandas",
        "numba",
    }


def test_a_runs_first_line_waits_for_nothing_that_opens_plans_works_or_draws():
    """It comes within a second; and `multiprocessing` imports the command's module again, for the sample."""
    command = [sys.executable, "-c", "import sys, preprocess.run; print(*sys.modules)"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    heavy = ("preprocess.sources", "preprocess.planning", "preprocess.execution", "preprocess.audio", "pyarrow.parquet")
    heavy += ("soundfile", "numba", "ray", "jinja2", "matplotlib", "PIL", "psutil")
    assert [name for name in done.stdout.split() if name.startswith(heavy)] == []


def test_only_cluster_names_ray():
    naming = {
        str(path.relative_to(REPOSITORY))
        for package in ("preprocess", "shared", "trainer")
        for path in (REPOSITORY / package).rglob("*.py")
        if "ray" in names_in(path)
    }
    assert naming == {"preprocess/execution/ray_cluster.py"}


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [
        ("shared", {"ray", "torch", "transformers", "preprocess", "trainer"}),
        ("preprocess", {"torch", "transformers", "librosa"}),
    ],
)
def test_no_function_imports_what_its_package_may_not(package, forbidden):
    for path in (REPOSITORY / package).rglob("*.py"):
        assert not names_in(path) & forbidden, path


def test_the_import_rules_of_pyproject_hold():
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("entry", ["train", "evaluate", "estimate", "export", "audit"])
def test_the_trainers_commands_name_the_hubs_folders_before_its_library_looks_for_them(entry):
    program = (
        f"import sys, trainer.{entry}; print(*(name for name in ('huggingface_hub', 'torch') if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
