"""What each unit was made from is kept; a run that goes on under other sources or software warns once, with names."""

import importlib.util
import json
import os
import pkgutil
from dataclasses import replace
from pathlib import Path

import pytest

import preprocess.audio
import preprocess.planning.origins
import preprocess.planning.soundness
import preprocess.planning.source_check
import preprocess.run
from preprocess import verify
from preprocess.audio import decode
from preprocess.audio.containers import riff
from preprocess.features import provenance
from preprocess.features.provenance import Provenance, ReadChecksum, this_software
from preprocess.planning.origins import ranges
from preprocess.sources.base import SourceRow
from shared.command.cli import run_command
from shared.errors import ExitCode, SpeechPrepError, StoreError
from shared.layout import StoreLayout
from tests.support.inline_run import commit_here, run_inline
from tests.support.samples import wav, write_source
from tests.support.stores import contents

ROWS = [(wav(1_600 + 160 * n, seed=n), f"{n}.wav", f"Satz {n}") for n in range(6)]
LATER = 10**9 * 2_000_000_000


@pytest.fixture
def source(tmp_path):
    return write_source(tmp_path / "source/train.parquet", ROWS)


@pytest.fixture
def clips(tmp_path):
    folder = tmp_path / "clips"
    folder.mkdir()
    lines = ["file_name,transkription"]
    for audio, name, text in ROWS:
        (folder / name).write_bytes(audio)
        lines.append(f"{name},{text}")
    (folder / "metadata.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture
def run(monkeypatch, demo_model, tmp_path):
    monkeypatch.setattr(preprocess.planning.source_check, "checksums_apart", read_here)
    monkeypatch.setattr(preprocess.planning.soundness, "checksums_apart", read_here)
    store = tmp_path / "store"
    return lambda source, *more: run_inline(
        monkeypatch, "--source", source, "--model", demo_model, "--store", store, *more
    )


@pytest.fixture
def run_in_part(monkeypatch, run):
    """Commits the first three units only."""

    def run_first(source):
        with monkeypatch.context() as meanwhile:
            inline = commit_here
            meanwhile.setattr("tests.support.inline_run.commit_here", lambda job, budgets: inline(job, budgets, 3))
            assert run(source) == ExitCode.FAILED

    return run_first


def read_here(tasks):
    for task in tasks:
        try:
            yield task.checksum()
        except SpeechPrepError as error:
            yield error


def origin(tmp_path, unit):
    return Provenance.read(StoreLayout(tmp_path / "store").provenance_of("train", unit, 6))


def overwrite_in_place(source):
    """Other audio of the same length under the same footer."""
    content = source.read_bytes()
    at = content.index(ROWS[1][0][100:140])
    source.write_bytes(content[:at] + bytes(reversed(content[at : at + 40])) + content[at + 40 :])


def test_each_unit_has_its_checksum_files_and_software(run, source, tmp_path):
    assert run(source.parent) == ExitCode.DONE
    status = source.stat()
    for unit in range(6):
        found = origin(tmp_path, unit)
        assert [(file.name, file.num_bytes, file.mtime_ns) for file in found.files] == [
            ("train.parquet", status.st_size, status.st_mtime_ns)
        ]
        assert found.software == this_software()
        assert {"python", "numpy", "libsndfile"} <= found.software.versions.keys()
    assert len({origin(tmp_path, unit).checksum for unit in range(6)}) == 6


def test_a_clip_folders_every_file_is_kept(run, clips, tmp_path):
    assert run(clips) == ExitCode.DONE
    found = [file for unit in range(6) for file in origin(tmp_path, unit).files]
    assert [(file.name, file.num_bytes) for file in found] == [(name, len(audio)) for audio, name, _ in ROWS]


def test_a_run_that_goes_on_under_the_same_sources_and_software_says_nothing(run, run_in_part, source, capsys):
    run_in_part(source.parent)
    assert run(source.parent) == ExitCode.DONE
    assert "warning" not in capsys.readouterr().out


def test_a_file_that_changed_since_is_told_once_with_the_shards(run, run_in_part, source, capsys):
    run_in_part(source.parent)
    os.utime(source, ns=(LATER, LATER))
    assert run(source.parent) == ExitCode.DONE
    shown = " ".join(capsys.readouterr().out.split())
    assert shown.count("warning:") == 1
    assert "shards 0-2 of train were made with other files (size or time of train.parquet)" in shown
    assert run(source.parent) == ExitCode.DONE
    assert "warning" not in capsys.readouterr().out


def test_one_clip_of_many_that_changed_is_told(run, run_in_part, clips, capsys):
    run_in_part(clips)
    os.utime(clips / "1.wav", ns=(LATER, LATER))
    assert run(clips) == ExitCode.DONE
    assert "shards 1 of train were made with other files (size or time of 1.wav)" in " ".join(
        capsys.readouterr().out.split()
    )


def test_other_software_is_told_with_its_versions(run, run_in_part, source, capsys, monkeypatch):
    run_in_part(source.parent)
    later = replace(this_software(), versions={**this_software().versions, "numpy": "99"})
    for module in (preprocess.planning.origins, preprocess.features.worker):
        monkeypatch.setattr(module, "this_software", lambda: later)
    assert run(source.parent) == ExitCode.DONE
    shown = " ".join(capsys.readouterr().out.split())
    assert (
        f"shards 0-2 of train were made with other software (numpy {this_software().versions['numpy']}, now 99)"
        in shown
    )
    store = source.parents[1]
    assert [origin(store, unit).software == later for unit in range(6)] == [False] * 3 + [True] * 3


def test_a_library_that_no_longer_counts_is_no_difference():
    now = provenance.Software("code", {"numpy": "2"})
    assert provenance.Software("code", {"numpy": "2", "librosa": "0.11"}).differences(now) == []
    assert provenance.Software("code", {"numpy": "1"}).differences(now) == ["numpy 1, now 2"]


def test_verify_names_the_units_that_differ_from_the_source(run, source, tmp_path, capsys):
    assert run(source.parent) == ExitCode.DONE
    options = [str(tmp_path / "store"), "--source", str(source.parent)]
    assert run_command(verify.main, options) == ExitCode.DONE
    overwrite_in_place(source)
    assert run_command(verify.main, options) == ExitCode.FAILED
    problems = [line for line in capsys.readouterr().err.splitlines() if line.startswith("problem")]
    assert len(problems) == 1
    assert "train-00001-of-00006.parquet was made from other rows" in problems[0]
    assert run_command(verify.main, options[:1]) == ExitCode.DONE


def test_verify_says_when_it_cannot_know(run, source, tmp_path, capsys):
    assert run(source.parent) == ExitCode.DONE
    StoreLayout(tmp_path / "store").provenance_of("train", 3, 6).unlink()
    assert run_command(verify.main, [str(tmp_path / "store"), "--source", str(source.parent)]) == ExitCode.FAILED
    assert "shards 3 of train have no record of what they were made from" in capsys.readouterr().err


def test_a_repair_from_another_source_is_refused_before_anything_moves(run, source, tmp_path, capsys):
    assert run(source.parent) == ExitCode.DONE
    overwrite_in_place(source)
    layout = StoreLayout(tmp_path / "store")
    layout.shard("train", 1, 6).write_bytes(b"garbage")
    before = contents(layout.root)
    assert run(source.parent, "--repair") == ExitCode.FAILED
    assert "was made from other source rows" in capsys.readouterr().err
    assert contents(layout.root) == before


def test_two_runs_differ_in_nothing_but_where_they_are_told_apart(run, source, tmp_path):
    assert run(source.parent) == ExitCode.DONE
    first = contents(tmp_path / "store")
    (tmp_path / "store").rename(tmp_path / "first")
    os.utime(source, ns=(LATER, LATER))
    assert run(source.parent) == ExitCode.DONE
    second = contents(tmp_path / "store")
    assert {name for name in first if first[name] != second.get(name)} == {
        f"provenance/train-0000{unit}-of-00006.json" for unit in range(6)
    }


def test_the_digest_of_our_code_covers_all_that_turns_bytes_into_samples(monkeypatch):
    covered = []
    monkeypatch.setattr(provenance, "code_digest", covered.extend)
    this_software.__wrapped__()
    room = pkgutil.walk_packages(preprocess.audio.__path__, "preprocess.audio.")
    missing = [module.name for module in room if Path(importlib.util.find_spec(module.name).origin) not in covered]
    assert (missing, Path(decode.__file__) in covered, Path(riff.__file__) in covered) == ([], True, True)


@pytest.mark.parametrize("content", [b"", b"{}", b'{"source": []}'])
def test_a_damaged_record_of_origin_is_named(tmp_path, content):
    (tmp_path / "unit.json").write_bytes(content)
    with pytest.raises(StoreError, match=r"unit\.json is damaged"):
        Provenance.read(tmp_path / "unit.json")


def test_a_record_of_origin_is_read_as_it_was_written(tmp_path):
    found = Provenance("abc", (provenance.SourceFile("a.wav", 1, 2),), this_software())
    (tmp_path / "unit.json").write_bytes(found.content())
    assert Provenance.read(tmp_path / "unit.json") == found
    assert list(json.loads(found.content())) == ["software", "source"]


def test_a_checksum_hangs_on_everything_that_is_read():
    row = SourceRow(1, b"audio", "a.wav", "Satz", "korpus")
    others = [
        ("row_id", 2),
        ("audio", b"audiO"),
        ("audio", None),
        ("path", "b"),
        ("transkription", None),
        ("source", "x"),
    ]
    found = set()
    for changed in (row, *(replace(row, **{name: value}) for name, value in others)):
        checksum = ReadChecksum()
        checksum.add(changed)
        found.add(checksum.text)
    assert len(found) == 1 + len(others)


@pytest.mark.parametrize(("numbers", "words"), [([], ""), ([3], "3"), ([0, 1, 2, 4, 6, 7], "0-2, 4, 6-7")])
def test_runs_of_numbers_are_drawn_together(numbers, words):
    assert ranges(numbers) == words
