"""Settings come from defaults, a TOML file, .env, the environment and the command line, each over the one before."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from preprocess.alignment.settings import AlignSettings
from preprocess.inspect import InspectSettings
from preprocess.settings import FOR_CUTS, RunSettings, quarantine_allowance
from shared.command.cli import parse_settings
from shared.errors import UsageError

FOLDERS = ("BASE_DIR", "CACHE_DIR", "MODEL_DIR", "LOG_DIR", "CONFIG_DIR", "HF_HOME", "HF_DATASETS_CACHE")


@pytest.fixture(autouse=True)
def nothing_set(tmp_path, monkeypatch):
    """An empty working directory, and none of our variables in the environment; prepare() may change it freely."""
    monkeypatch.chdir(tmp_path)
    for name in [*FOLDERS, *(name for name in os.environ if name.startswith("PREPROCESS_"))]:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    return tmp_path


def parse(*argv):
    return parse_settings(RunSettings, ("--demo", *argv), prog="run", about="")


FOLDER_LAYERS = ['"/a"', "/b", "/c", "/d"], [Path("/a"), Path("/b"), Path("/c"), Path("/d")]
KINDS_OF_LONG = ["keep", "split", "quarantine", "keep"]
# Option: environment name, the value as four layers write it, and as it is read.
LAYERS = {
    "actors": ("PREPROCESS_ACTORS", ["2", "3", "4", "6"], [2, 3, 4, 6]),
    "shard_size": ("PREPROCESS_SHARD_SIZE", ['"1GB"', "2GiB", "300 MB", "4096"], [10**9, 2**31, 3 * 10**8, 4096]),
    "long_audio": ("PREPROCESS_LONG_AUDIO", ['"keep"', "split", "quarantine", "keep"], KINDS_OF_LONG),
    "max_duration": ("PREPROCESS_MAX_DURATION", ["10", "20.5", "25", "12"], [10.0, 20.5, 25.0, 12.0]),
    "text_column": ("PREPROCESS_TEXT_COLUMN", ['"a"', "b", "c", "d"], ["a", "b", "c", "d"]),
    "view": ("PREPROCESS_VIEW", ['"live"', "plain", "json", "auto"], ["live", "plain", "json", "auto"]),
    "store": ("PREPROCESS_STORE", *FOLDER_LAYERS),
    **{name.lower(): (name, *FOLDER_LAYERS) for name in FOLDERS},
}


@pytest.mark.parametrize("name", LAYERS)
def test_each_layer_wins_over_the_ones_below(tmp_path, monkeypatch, name):
    variable, written, read = LAYERS[name]
    assert getattr(parse(), name) == RunSettings.model_fields[name].default
    (tmp_path / "s.toml").write_text(f"{name} = {written[0]}\n")
    config = ("--config", "s.toml")
    assert getattr(parse(*config), name) == read[0]
    (tmp_path / ".env").write_text(f"{variable}={written[1]}\n")
    assert getattr(parse(*config), name) == read[1]
    monkeypatch.setenv(variable, written[2])
    assert getattr(parse(*config), name) == read[2]
    assert getattr(parse(*config, f"--{name.replace('_', '-')}", written[3]), name) == read[3]


def test_split_is_a_list_in_every_layer(tmp_path, monkeypatch):
    assert parse().split == ()
    (tmp_path / "s.toml").write_text('split = ["a", "b"]\n')
    assert parse("--config", "s.toml").split == ("a", "b")
    monkeypatch.setenv("PREPROCESS_SPLIT", "train, test")
    assert parse("--config", "s.toml").split == ("train", "test")
    assert parse("--split", "x", "--split", "y").split == ("x", "y")


def test_a_switch_can_be_set_and_taken_back(tmp_path, monkeypatch):
    (tmp_path / "s.toml").write_text("force = true\n")
    assert parse("--config", "s.toml").force
    monkeypatch.setenv("PREPROCESS_FORCE", "no")
    assert not parse("--config", "s.toml").force
    assert parse("--force").force
    monkeypatch.setenv("PREPROCESS_FORCE", "yes")
    assert not parse("--no-force").force


def test_the_toml_file_may_be_named_in_the_environment_or_in_dot_env(tmp_path, monkeypatch):
    (tmp_path / "a.toml").write_text("actors = 2\n")
    (tmp_path / "b.toml").write_text("actors = 3\n")
    (tmp_path / ".env").write_text("PREPROCESS_CONFIG=a.toml\n")
    assert parse().actors == 2
    monkeypatch.setenv("PREPROCESS_CONFIG", "b.toml")
    assert parse().actors == 3


def test_toml_names_may_be_written_like_options(tmp_path):
    (tmp_path / "s.toml").write_text('shard-size = "1MB"\n')
    assert parse("--config", "s.toml").shard_size == 1_000_000


def test_an_empty_variable_counts_as_unset(monkeypatch):
    monkeypatch.setenv("PREPROCESS_ACTORS", "")
    assert parse().actors == 5


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("aktoren = 3\n", "unknown settings: aktoren"),
        ('config = "other.toml"\n', "unknown settings: config"),
        ("actors = \n", r"cannot read settings from s\.toml"),
        ('actors = "many"\n', "--actors"),
    ],
)
def test_a_wrong_toml_file_is_a_usage_error(tmp_path, content, words):
    (tmp_path / "s.toml").write_text(content)
    with pytest.raises(UsageError, match=words):
        parse("--config", "s.toml")


def test_a_missing_toml_file_is_a_usage_error():
    with pytest.raises(UsageError, match=r"nowhere\.toml"):
        parse("--config", "nowhere.toml")


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--actors", "0"),
        ("--actors", "many"),
        ("--shard-size", "12 parsecs"),
        ("--shard-size", "0"),
        ("--limit", "0"),
        ("--test-fraction", "1"),
        ("--test-fraction", "nan"),
        ("--max-duration", "-3"),
        ("--max-duration", "inf"),
        ("--max-quarantine", "some"),
        ("--max-quarantine", "-1"),
        ("--max-quarantine", "inf%"),
        ("--max-quarantine", "nan%"),
        ("--num-mel-bins", "0"),
    ],
)
def test_a_bad_value_is_a_usage_error_that_names_option_and_value(option, value):
    with pytest.raises(UsageError) as caught:
        parse(option, value)
    assert re.search(rf"{option} '?{re.escape(value)}'?: ", str(caught.value))


def test_a_bad_value_in_the_environment_names_its_option(monkeypatch):
    monkeypatch.setenv("PREPROCESS_ACTORS", "many")
    with pytest.raises(UsageError, match="--actors 'many'"):
        parse()


def test_all_wrong_values_are_told_at_once():
    with pytest.raises(UsageError, match=r"(?s)--actors.*--limit|--limit.*--actors"):
        parse("--actors", "x", "--limit", "y")


def test_demo_and_a_source_contradict_each_other():
    with pytest.raises(UsageError, match="--demo"):
        parse("--demo", "--source", "x")


@pytest.mark.parametrize(
    ("value", "rows", "allowed"),
    [("12", 1_000, 12), ("5%", 1_000, 50), ("1.5%", 100, 1), ("0", 9, 0), (" 100% ", 9, 9)],
)
def test_quarantine_may_be_a_number_or_a_share(value, rows, allowed):
    assert quarantine_allowance(value, rows) == allowed


def test_nothing_is_made_where_no_folder_is_named(tmp_path):
    parse().prepare()
    assert list(tmp_path.iterdir()) == []
    assert "HF_HOME" not in os.environ


def test_base_dir_makes_all_folders_and_tells_hugging_face(tmp_path):
    parse("--base-dir", "speech").prepare()
    made = {str(path.relative_to(tmp_path / "speech")) for path in (tmp_path / "speech").rglob("*")}
    caches = {f"cache/{name}" for name in ("datasets", "huggingface", "audio", "features")}
    assert made == {"cache", "models", "logs", "config"} | caches
    assert os.environ["HF_HOME"] == str(tmp_path / "speech/cache/huggingface")
    assert os.environ["HF_DATASETS_CACHE"] == str(tmp_path / "speech/cache/datasets")


def test_a_single_named_folder_is_made_alone(tmp_path):
    parse("--model-dir", "models").prepare()
    assert [path.name for path in tmp_path.rglob("*")] == ["models"]
    assert "HF_HOME" not in os.environ


def test_hf_home_of_dot_env_reaches_hugging_face(tmp_path):
    (tmp_path / ".env").write_text("HF_HOME=hub\n")
    parse().prepare()
    assert os.environ["HF_HOME"] == str(tmp_path / "hub")
    assert (tmp_path / "hub").is_dir()


def test_the_command_line_wins_over_an_exported_hf_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "exported"))
    parse("--hf-home", str(tmp_path / "typed")).prepare()
    assert os.environ["HF_HOME"] == str(tmp_path / "typed")


def test_an_exported_hf_home_stays_beside_base_dir(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "exported"))
    parse("--base-dir", "speech").prepare()
    assert os.environ["HF_HOME"] == str(tmp_path / "exported")


def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".env").write_text("BASE_DIR=~/speech\n")
    assert parse().cache == tmp_path / "speech/cache"


def test_a_folder_that_cannot_be_made_is_a_usage_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="file"):
        parse("--base-dir", str(tmp_path / "file" / "speech")).prepare()


def test_hugging_face_is_not_imported_before_its_folders_are_known():
    code = "import sys, preprocess.run; sys.exit(any(m in sys.modules for m in ('huggingface_hub', 'datasets')))"
    repository = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=repository, check=False).returncode == 0


@pytest.mark.parametrize("other", [AlignSettings, InspectSettings])
def test_what_names_a_source_is_called_alike_with_the_same_default_for_all_commands(other):
    named = set(FOR_CUTS) - {"split", "limit", "language"}
    assert all(name in RunSettings.model_fields for name in FOR_CUTS)
    for name in named:
        own, run = other.model_fields[name], RunSettings.model_fields[name]
        assert (name, own.annotation, own.default) == (name, run.annotation, run.default)
