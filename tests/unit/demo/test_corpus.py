"""The demo corpus: the Hub's layout, every encoding, the planned lengths, and the same bytes every time."""

import io
import json
import subprocess
import sys

import datasets
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from preprocess.demo.__main__ import main
from preprocess.demo.corpus import build_corpus
from preprocess.demo.parquet import CORPUS_SCHEMA
from shared.errors import ExitCode

SIZE = {"train_clips": 24, "test_clips": 6}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    directory = tmp_path_factory.mktemp("demo") / "corpus"
    build_corpus(directory, **SIZE)
    return directory


def rows(corpus, split="*"):
    return [row for path in sorted(corpus.glob(f"data/{split}-*")) for row in pq.read_table(path).to_pylist()]


def tree(directory):
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_files_are_named_and_split_as_on_the_hub(corpus):
    names = sorted(path.name for path in (corpus / "data").iterdir())
    assert names == [
        "test-00000-of-00001.parquet",
        "train-00000-of-00002.parquet",
        "train-00001-of-00002.parquet",
    ]
    assert len(rows(corpus, "train")) == 24
    assert len(rows(corpus, "test")) == 6
    assert all(pq.ParquetFile(corpus / "data" / name).num_row_groups == 2 for name in names)


def test_columns_and_feature_metadata_are_those_that_datasets_writes(corpus):
    features = datasets.Features(
        {
            "audio": datasets.Audio(sampling_rate=16_000),
            "transkription": datasets.Value("string"),
            "source": datasets.Value("string"),
        }
    )
    written = pq.read_schema(next(corpus.glob("data/train-*")))
    assert written.equals(features.arrow_schema)
    assert json.loads(written.metadata[b"huggingface"]) == json.loads(features.arrow_schema.metadata[b"huggingface"])
    assert CORPUS_SCHEMA.field("audio").type == pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def test_datasets_opens_it_with_an_audio_feature(corpus, tmp_path):
    loaded = datasets.load_dataset(str(corpus), cache_dir=str(tmp_path))
    assert {split: len(part) for split, part in loaded.items()} == {"train": 24, "test": 6}
    assert loaded["train"].features["audio"] == datasets.Audio(sampling_rate=16_000)
    encoded = loaded["test"].cast_column("audio", datasets.Audio(decode=False))
    assert encoded[0]["audio"]["bytes"] == rows(corpus, "test")[0]["audio"]["bytes"]


def test_the_bytes_are_the_encoding_that_the_path_says(corpus):
    formats = {"wav": "WAV", "flac": "FLAC", "mp3": "MP3", "ogg": "OGG", "opus": "OGG"}
    subtypes = {"mp3": "MPEG_LAYER_III", "ogg": "VORBIS", "opus": "OPUS"}
    seen = set()
    for row in rows(corpus):
        extension = row["audio"]["path"].rsplit(".", 1)[1]
        info = soundfile.info(io.BytesIO(row["audio"]["bytes"]))
        assert (info.format, info.subtype) == (formats[extension], subtypes.get(extension, "PCM_16"))
        seen.add(extension)
    assert seen == set(formats)


def test_rates_channels_and_sources_are_mixed(corpus):
    infos = [soundfile.info(io.BytesIO(row["audio"]["bytes"])) for row in rows(corpus)]
    assert len({info.samplerate for info in infos}) >= 5
    assert {info.channels for info in infos} == {1, 2}
    assert len({row["source"] for row in rows(corpus)}) == 6


def test_most_clips_last_1_to_12_seconds_and_one_more_than_30(corpus):
    seconds = sorted(soundfile.info(io.BytesIO(row["audio"]["bytes"])).duration for row in rows(corpus, "train"))
    assert seconds[0] >= 1
    assert seconds[21] <= 12
    assert 12 < seconds[22] < 28
    assert 30 < seconds[23] < 41


def test_the_splits_share_no_transkription(corpus):
    train, test = ({row["transkription"] for row in rows(corpus, split)} for split in ("train", "test"))
    assert len(train) == 24
    assert len(test) == 6
    assert not train & test


def test_the_same_arguments_give_the_same_bytes_and_a_seed_gives_others(corpus, tmp_path):
    build_corpus(tmp_path / "again", **SIZE)
    build_corpus(tmp_path / "other", train_clips=2, test_clips=1, seed=1)
    assert tree(tmp_path / "again") == tree(corpus)
    assert rows(tmp_path / "other")[0] != rows(corpus)[0]


def test_a_complete_corpus_is_left_alone_and_progress_says_so(corpus):
    before = {path: path.stat().st_mtime_ns for path in corpus.rglob("*")}
    seen = []
    build_corpus(corpus, **SIZE, on_progress=lambda done, total: seen.append((done, total)))
    assert seen == [(30, 30)]
    assert {path: path.stat().st_mtime_ns for path in corpus.rglob("*")} == before


def test_an_interrupted_build_leaves_nothing_and_the_next_one_is_complete(tmp_path):
    def interrupt(done, _total):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_corpus(tmp_path / "corpus", train_clips=4, test_clips=1, on_progress=interrupt)
    assert list(tmp_path.iterdir()) == []
    seen = []
    build_corpus(tmp_path / "corpus", train_clips=4, test_clips=1, on_progress=lambda done, _: seen.append(done))
    assert seen == [1, 2, 3, 4, 5]
    assert len(rows(tmp_path / "corpus")) == 5


def test_a_killed_build_leaves_no_process_and_the_next_one_is_complete(corpus, tmp_path):
    command = [sys.executable, "-m", "preprocess.demo", str(tmp_path), "--train-clips", "24", "--test-clips", "6"]
    build = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    workers = []
    while len(workers) < 2 and build.poll() is None:
        workers = psutil.Process(build.pid).children()
    build.kill()
    build.wait()
    assert not (tmp_path / "corpus").exists()
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert alive == []
    build_corpus(tmp_path / "corpus", **SIZE)
    assert tree(tmp_path / "corpus") == tree(corpus)
    assert [path.name for path in tmp_path.iterdir()] == ["corpus"]


def test_the_command_makes_both_and_names_them(tmp_path, capsys):
    assert main([str(tmp_path), "--train-clips", "2", "--test-clips", "1"]) == ExitCode.DONE
    output = capsys.readouterr().out
    assert str(tmp_path / "corpus") in output
    assert (tmp_path / "model" / "model.safetensors").is_file()


def test_the_command_refuses_a_directory_that_holds_something_else(tmp_path, capsys):
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "notes.txt").write_text("mine")
    assert main([str(tmp_path)]) == ExitCode.USAGE
    assert "is not a demo of ours" in capsys.readouterr().err
