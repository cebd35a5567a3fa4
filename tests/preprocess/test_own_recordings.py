"""Whole runs over a person's own recordings, and what goes with every source: verify, repair, inspect, plans."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

import preprocess.planning.soundness
import preprocess.planning.source_check
from preprocess import inspect, verify
from preprocess.features.log_mel import LogMel
from preprocess.features.mel import mel_filters
from preprocess.sources.base import Block, Columns, SplitLayout
from preprocess.units import FeatureSettings, plan_split
from shared.command.cli import run_command
from shared.errors import ExitCode
from shared.schema import FeatureSpec
from tests.preprocess.test_origins import read_here
from tests.support.guides import commands_of
from tests.support.inline_run import run_inline
from tests.support.recordings import heard, record

PARTS = [(0.5, 1.5), (2.0, 0.75), (2.75, 2.25)]
WORDS = ["Grüße aus Köln", "schöner Tag", "auf Wiedersehen"]


def nemo(folder: Path) -> Path:
    record(folder / "lang.flac", 6)
    rows = [
        {"audio_filepath": "lang.flac", "offset": at, "duration": long, "text": words}
        for (at, long), words in zip(PARTS, WORDS, strict=True)
    ]
    (folder / "train.json").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / "train.json"


def kaldi(folder: Path) -> Path:
    record(folder / "lang.flac", 6)
    (folder / "wav.scp").write_text("rec lang.flac\n")
    (folder / "segments").write_text("".join(f"u{n} rec {at} {at + long}\n" for n, (at, long) in enumerate(PARTS)))
    (folder / "text").write_text("".join(f"u{n} {words}\n" for n, words in enumerate(WORDS)))
    return folder


def excel(folder: Path) -> Path:
    whole, rate = soundfile.read(record(folder / "lang.flac", 6), dtype="int16")
    for number, (at, long) in enumerate(PARTS):
        soundfile.write(folder / f"{number}.wav", whole[int(at * rate) : int((at + long) * rate)], rate)
    (folder / "lang.flac").rename(folder.with_suffix(".flac"))
    lines = ["Datei;Transkription", *(f"{number}.wav;{words}" for number, words in enumerate(WORDS))]
    (folder / "Aufnahmen.csv").write_bytes("\r\n".join(lines).encode("cp1252"))
    return folder


@pytest.fixture(autouse=True)
def _read_in_this_process(monkeypatch):
    monkeypatch.setattr(preprocess.planning.source_check, "checksums_apart", read_here)
    monkeypatch.setattr(preprocess.planning.soundness, "checksums_apart", read_here)


@pytest.mark.parametrize("kind", [nemo, kaldi, excel])
def test_a_run_makes_of_own_recordings_the_features_of_what_ffmpeg_hears(
    kind, tmp_path, monkeypatch, demo_model, capsys
):
    (tmp_path / "eigene").mkdir()
    source, store = kind(tmp_path / "eigene"), tmp_path / "store"
    assert run_inline(monkeypatch, "--source", source, "--model", demo_model, "--store", store) == ExitCode.DONE
    whole = next(path for path in (tmp_path / "eigene/lang.flac", tmp_path / "eigene.flac") if path.exists())
    found = pd.concat([pd.read_parquet(path) for path in sorted(store.glob("data/*.parquet"))])
    assert list(found["transkription"]) == WORDS
    for row, (at, long) in zip(found.itertuples(), PARTS, strict=True):
        right = LogMel(mel_filters(80))(heard(whole, int(at * 16_000), int((at + long) * 16_000)))
        made = np.frombuffer(row.log_mel, "<f2").reshape(-1, 80)
        assert np.array_equal(made, right.astype("<f2"))
        assert row.duration == pytest.approx(long)
    told = "Kaldi, 3 utterances of 1 recording" if kind is kaldi else "transcript = "
    assert told in "".join(capsys.readouterr())
    checked = ["--store", str(store), "--source", str(source)]
    assert run_command(verify.main, checked) == ExitCode.DONE


def test_another_offset_of_the_same_file_is_another_source(tmp_path, monkeypatch, demo_model, capsys):
    source, store = nemo(tmp_path), tmp_path / "store"
    run_inline(monkeypatch, "--source", source, "--model", demo_model, "--store", store)
    source.write_text(source.read_text().replace('"offset": 2.0', '"offset": 2.00025'))
    assert run_command(verify.main, ["--store", str(store), "--source", str(source)]) == ExitCode.FAILED
    assert "train-00001-of-00003.parquet was made from other rows" in capsys.readouterr().err


def test_a_damaged_shard_of_parts_is_made_again_the_same_to_the_byte(tmp_path, monkeypatch, demo_model):
    source, store = nemo(tmp_path), tmp_path / "store"
    run_inline(monkeypatch, "--source", source, "--model", demo_model, "--store", store)
    shard = min(store.glob("data/*.parquet"))
    content = shard.read_bytes()
    shard.write_bytes(content[:-100])
    options = ["--source", source, "--model", demo_model, "--store", store, "--repair"]
    assert run_inline(monkeypatch, *options) == ExitCode.DONE
    assert shard.read_bytes() == content


def test_how_a_table_was_read_is_kept_in_the_store_and_verify_reads_it_so(tmp_path, monkeypatch, demo_model):
    record(tmp_path / "a.wav")
    (tmp_path / "t.csv").write_bytes("file;text\na.wav;Mädchen\n".encode("cp850"))
    options = ["--source", tmp_path / "t.csv", "--model", demo_model, "--store", tmp_path / "store"]
    assert run_inline(monkeypatch, *options) == ExitCode.USAGE
    assert run_inline(monkeypatch, *options, "--encoding", "cp850") == ExitCode.DONE
    checked = ["--store", str(tmp_path / "store"), "--source", str(tmp_path / "t.csv")]
    assert run_command(verify.main, checked) == ExitCode.DONE


def test_the_commands_of_the_page_work(tmp_path, monkeypatch, demo_model):
    monkeypatch.chdir(tmp_path)
    excel(tmp_path / "eigene").joinpath("Aufnahmen.csv").rename("eigene/aufnahmen.csv")
    names = {"aufnahmen.csv": "eigene/aufnahmen.csv", "openai/whisper-large-v3-turbo": str(demo_model)}
    (look, looked), (run, made) = commands_of("sources.md", names)
    assert (look, run) == ("preprocess.inspect", "preprocess.run")
    assert run_command(inspect.main, looked) == ExitCode.DONE
    assert run_inline(monkeypatch, *made) == ExitCode.DONE
    assert (tmp_path / "features/COMPLETE").exists()


def test_inspect_says_how_a_table_was_read(tmp_path, capsys):
    assert run_command(inspect.main, [str(nemo(tmp_path))]) == ExitCode.DONE
    said = " ".join(capsys.readouterr().out.split())
    assert "audio's file = audio_filepath, offset = offset, duration = duration, transcript = text" in said
    assert "lang.flac#t=0.5,2" in said


def test_what_tells_itself_is_part_of_no_plan():
    layout, spec = SplitLayout("train", (Block(4, 100),), "source"), FeatureSpec(80)

    def digest(columns):
        return plan_split("train", layout, FeatureSettings(spec, "tok", "de", 30.0, columns), 2).record.digest

    assert Columns().settings().keys() == {"audio_column", "text_column", "source_column"}
    assert digest(Columns()) != digest(Columns(encoding="cp850"))
    assert Columns.of(Columns(offset="none", encoding="cp850").settings()) == Columns(offset="none", encoding="cp850")
