"""The commands and programs of README and docs do what they say, with the Hub played by a server on this machine."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from preprocess.alignment.settings import AlignSettings
from preprocess.clean import CleanSettings
from preprocess.demo.model import build_model
from preprocess.settings import RunSettings
from shared.schema import QuarantineReason
from tests.project.test_remedies import OPTION, options_of
from tests.support.hub import serve
from trainer.auditing.settings import AuditSettings
from trainer.check import CheckSettings
from trainer.estimate import EstimateSettings
from trainer.evaluation.settings import EvaluateSettings
from trainer.exporting.settings import ExportSettings
from trainer.fetch import FetchSettings
from trainer.settings import TrainSettings

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = {
    path.name: path.read_text(encoding="utf-8") for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
}

ELSEWHERE = {
    "benchmark.md": "tests/trainer/test_benchmark.py",
    "long-audio.md": "tests/preprocess/test_long_audio_split.py",
    "object-storage.md": "tests/trainer/test_fetch.py",
    "sources.md": "tests/preprocess/test_own_recordings.py",
}
"""Pages whose commands ask for other data than this desk has -> the test that runs them (`aws`: by hand)."""


def blocks(language):
    text = "\n".join(text for name, text in PAGES.items() if name not in ELSEWHERE)
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def commands():
    """Each once, in the README's order and then the pages'."""
    return list(dict.fromkeys(line for block in blocks("bash") for line in block.splitlines() if line))


def files_below(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def desk(demo_corpus, tmp_path_factory):
    """A user's folder after all of the README's bash commands, with what each of them said."""
    folder = tmp_path_factory.mktemp("desk")
    build_model(folder / "turbo", num_mel_bins=128)
    models = {"openai/whisper-large-v3-turbo": files_below(folder / "turbo")}
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "PREPROCESS_"))}
    with serve({"flozi00/asr-german-mixed": files_below(demo_corpus)}, models) as (_, endpoint):
        environment |= {
            "HF_ENDPOINT": endpoint,
            "HF_HOME": str(folder / "hf"),
            "NO_PROXY": "*",
            # The corpus of the test has fewer clips than one step takes by default, and a model that knows nothing
            # talks to the end of its decoder. What the export's gate finds is for its own tests to say.
            "TRAINER_GLOBAL_BATCH_SIZE": "8",
            "TRAINER_MAX_STEPS": "2",
            "TRAINER_EVAL_ROWS": "2",
            "TRAINER_ROWS": "2",
            "TRAINER_SILENCE_CLIPS": "1",
            "TRAINER_GATE_ROWS": "0",
            "CUDA_VISIBLE_DEVICES": "",
            "PYTHONPATH": str(ROOT),
        }
        said = {}
        for command in commands():
            arguments = [sys.executable, *command.split()[1:]]
            said[command] = subprocess.run(
                arguments, cwd=folder, env=environment, capture_output=True, text=True, check=False
            )
    return folder, said


def test_every_command_of_the_real_job_works(desk):
    _, said = desk
    assert len(said) >= 4
    for command, done in said.items():
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


def test_the_store_that_the_readme_makes_has_its_files(desk):
    folder, _ = desk
    named = {
        "README.md",
        "store.json",
        "settings.json",
        "report.html",
        "COMPLETE",
        "data",
        "quarantine",
        "index",
        "provenance",
    }
    assert {path.name for path in (folder / "features").iterdir()} == named


def test_nothing_of_the_data_set_is_copied_into_a_cache(desk, demo_corpus):
    folder, _ = desk
    # A model's weights are downloaded, by the trainer.
    files = (path for path in (folder / "hf").rglob("*") if path.is_file() and "models--" not in str(path))
    cached = sum(path.stat().st_size for path in files)
    assert cached < 0.2 * sum(path.stat().st_size for path in demo_corpus.rglob("*.parquet"))


def test_every_python_program_of_the_readme_runs(desk):
    folder, _ = desk
    programs = blocks("python")
    assert programs
    for program in programs:
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{program}\n{done.stderr}"


def test_make_demo_ends_in_a_finished_store_and_a_second_one_has_nothing_to_do(tmp_path, demo_cache):
    (tmp_path / "cache").symlink_to(demo_cache)
    assert blocks("console") == ["make demo\nmake test\n"]
    demo = ["make", "-C", str(ROOT), "demo", f"DEMO={tmp_path}"]
    first = subprocess.run(demo, capture_output=True, text=True, check=False)
    assert first.returncode == 0, first.stderr
    assert (tmp_path / "store" / "COMPLETE").exists()
    assert "660 rows" in first.stdout
    assert "preprocess.verify" in first.stdout
    second = subprocess.run(demo, capture_output=True, text=True, check=False)
    assert second.returncode == 0, second.stderr
    assert "Already complete" in second.stdout


@pytest.mark.parametrize("page", ELSEWHERE)
def test_a_page_whose_commands_are_run_elsewhere_is_read_there(page):
    assert page in (ROOT / ELSEWHERE[page]).read_text(encoding="utf-8")


def test_the_readme_stays_short():
    assert len(README.splitlines()) < 200


def test_every_page_is_listed_and_every_link_leads_somewhere():
    places = {"README.md": ROOT}
    for name, text in PAGES.items():
        folder = places.get(name, ROOT / "docs")
        links = re.findall(r"\]\(([^)#:]+)\)", text)
        assert [link for link in links if not (folder / link).exists()] == [], name
    assert all(f"(docs/{name})" in README for name in PAGES if name != "README.md")


def test_every_command_of_a_page_takes_the_options_beside_it():
    found = [match for text in PAGES.values() for match in re.findall(r"python -m ([\w.]+)([^`\n]*)", text)]
    ours = [(module, rest) for module, rest in found if module.startswith(("preprocess.", "trainer."))]
    named = [(module, option) for module, rest in ours for option in OPTION.findall(rest)]
    assert [(module, option) for module, option in named if option not in options_of(module)] == []
    assert {"preprocess.align", "trainer.fetch"} < {module for module, _ in ours}


def test_every_reason_of_the_quarantine_is_explained():
    first = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", PAGES["errors.md"], re.MULTILINE)
    assert sorted(re.findall(r"\w+", " ".join(first))) == sorted(QuarantineReason)


def test_options_in_readme_and_docs_exist():
    trainers = (
        TrainSettings,
        CheckSettings,
        AuditSettings,
        EvaluateSettings,
        EstimateSettings,
        ExportSettings,
        FetchSettings,
    )
    classes = (RunSettings, CleanSettings, AlignSettings, *trainers)
    fields = {name: field for one in classes for name, field in one.model_fields.items()}
    known = {f"--{name.replace('_', '-')}" for name in fields}
    known |= {f"--no-{name.replace('_', '-')}" for name, field in fields.items() if field.annotation is bool}
    named = set(re.findall(r"`(--[a-z-]+)", "\n".join(PAGES.values())))
    assert named - {"--help"} <= known
