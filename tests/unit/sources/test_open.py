"""What the user names is known by what it holds; what is not there is answered with what to type."""

import os
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from preprocess.sources.base import Columns
from preprocess.sources.hub import HubId, parse_hub_id
from preprocess.sources.open import find_kind, open_source
from shared.errors import ExitCode, SourceError


def write_parquet(path):
    audio = pa.array([{"bytes": b"RIFF", "path": "a.wav"}])
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"audio": audio, "transkription": ["Hallo"]}), path)


def refusal(uri):
    with pytest.raises(SourceError) as caught:
        open_source(uri, Columns())
    assert caught.value.exit_code == ExitCode.USAGE
    assert caught.value.remedy
    return caught.value.message


@pytest.mark.parametrize("name", ["", "data", "data/test.parquet", "data/*.parquet", "*/te?t.parquet", "**/*.parquet"])
def test_a_folder_a_file_and_a_glob_of_parquet_are_opened(name, tmp_path):
    write_parquet(tmp_path / "korpus/data/test.parquet")
    source = open_source(str(tmp_path / "korpus" / name), Columns())
    assert [row.transkription for row in source.reader("test", 0, 1).rows()] == ["Hallo"]


def test_a_relative_path_and_a_home_path_are_local(tmp_path, monkeypatch):
    write_parquet(tmp_path / "anna/korpus/train.parquet")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for uri in ("anna/korpus", "./anna/korpus", "~/anna/korpus"):
        assert open_source(uri, Columns()).splits["train"].num_rows == 1


def test_parquet_named_metadata_is_data_unless_it_names_files(tmp_path):
    write_parquet(tmp_path / "metadata.parquet")
    assert open_source(str(tmp_path), Columns()).splits["train"].num_bytes > 0


def test_a_folder_with_the_signs_of_several_kinds_is_what_its_surest_sign_says(tmp_path):
    (tmp_path / "clips").mkdir()
    write_parquet(tmp_path / "train.parquet")
    signs = {
        "state.json": "folder made by save_to_disk (Arrow)",
        "train.tsv": "Common Voice release (TSV and clips)",
        "metadata.csv": "audio folder with metadata",
        "train.parquet": "Parquet files with the audio inside",
    }
    (tmp_path / "state.json").write_text('{"_data_files": []}')
    (tmp_path / "train.tsv").write_text("path\tsentence\n")
    (tmp_path / "metadata.csv").write_text("file_name,transkription\n")
    for clip in ("a.wav", "b.wav"):
        (tmp_path / clip).touch()
    for name, kind in signs.items():
        assert find_kind(str(tmp_path))[0].name == kind
        (tmp_path / name).unlink()


@pytest.mark.parametrize("uri", ["./fehlt", "/fehlt/auch", "~/fehlt", "fehlt.parquet", "a/b/c", "korpus", "", "a b/c"])
def test_a_path_that_does_not_exist_is_not_looked_for_on_the_hub(uri, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if uri:
        assert f"{uri} does not exist" in refusal(uri)
    else:
        refusal(uri)


def test_a_folder_that_is_no_data_set_says_what_it_holds(tmp_path):
    (tmp_path / "notes.txt").touch()
    assert "it holds notes.txt" in refusal(str(tmp_path))
    assert "is not a Parquet file" in refusal(str(tmp_path / "notes.txt"))
    assert "no Parquet file matches" in refusal(str(tmp_path / "*.parquet"))


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("flozi00/asr-german-mixed", HubId("flozi00/asr-german-mixed")),
        ("hf://datasets/a/b", HubId("a/b")),
        ("a/b@v1.0", HubId("a/b", None, "v1.0")),
        ("a/b@refs/convert/parquet", HubId("a/b", None, "refs/convert/parquet")),
        ("a/b:de@main", HubId("a/b", "de", "main")),
        ("a", None),
        ("a/b/c", None),
        ("a/*", None),
    ],
)
def test_a_hub_id_is_owner_and_name_with_config_and_revision(uri, expected):
    assert parse_hub_id(uri) == expected


def test_a_local_source_needs_no_datasets_hub_or_ray(tmp_path):
    write_parquet(tmp_path / "train.parquet")
    code = (
        "import sys; from preprocess.sources.base import Columns; from preprocess.sources.open import open_source;"
        f"list(open_source({str(tmp_path)!r}, Columns()).reader('train', 0, 1).rows());"
        "print({'datasets', 'huggingface_hub', 'ray', 'torch', 'pyarrow.dataset', 'pandas'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout.strip() == "set()"
