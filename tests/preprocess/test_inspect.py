"""`python -m preprocess.inspect`: data sets and stores in words, a wrong one with its remedy, and no file but a PNG."""

import json
import shlex

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Audio, Dataset

from preprocess.inspect import main
from preprocess.inspection.store import histogram, tenths_of
from preprocess.plan import main as plan
from shared.command.cli import run_command
from shared.errors import ExitCode
from tests.support.samples import feature_row, make_store, quarantined_row, wav, write_source

ROWS = [(wav(16_000 + 800 * n, seed=n), f"{n}.wav", f"Satz {n}: schöne Grüße") for n in range(30)]
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture
def inspected(capsys):
    """The exit code and the JSON of a command line."""

    def inspect(*words):
        capsys.readouterr()
        code = run_command(main, [*map(str, words), "--json"])
        return code, json.loads(capsys.readouterr().out)

    return inspect


@pytest.fixture
def source(tmp_path):
    return write_source(tmp_path / "source" / "train.parquet", ROWS).parent


@pytest.fixture
def store(tmp_path):
    units = [[feature_row(0, 300), feature_row(1, 150), quarantined_row(2)], [feature_row(3, 50), feature_row(4, 60)]]
    return make_store(tmp_path / "store", {"train": units, "test": [[feature_row(0, 20)]]}).root


def rename(source, names):
    """*source* with other column names."""
    path = source / "train.parquet"
    table = pq.read_table(path)
    pq.write_table(table.rename_columns([names.get(name, name) for name in table.column_names]), path)


def test_a_data_set_is_described_by_kind_splits_columns_and_rows(inspected, source):
    code, facts = inspected(source)
    assert code == ExitCode.DONE
    assert facts["kind"] == "Parquet files with the audio inside"
    assert [(split["name"], split["rows"], split["files"]) for split in facts["splits"]] == [("train", 30, 1)]
    roles = {column["name"]: column["role"] for column in facts["columns"]}
    assert roles == {"audio": "audio", "transkription": "transcript", "source": "source"}
    assert {clip["encoding"] for clip in facts["sampled"]} == {"WAV PCM_16, 16 kHz, mono"}


@pytest.mark.parametrize("name", ["text", "transcription", "sentence"])
def test_a_transcript_under_another_name_is_found_and_explained(inspected, source, name):
    rename(source, {"transkription": name})
    code, facts = inspected(source)
    assert code == ExitCode.USAGE
    assert facts["problems"][0]["remedy"] == f"pass --text-column {name}"
    assert facts["options"] == ["--text-column", name]
    assert inspected(source, "--text-column", name)[0] == ExitCode.DONE


def test_every_wrong_column_is_named_at_once(inspected, source):
    rename(source, {"transkription": "sentence", "audio": "speech"})
    code, facts = inspected(source)
    assert code == ExitCode.USAGE
    assert len(facts["problems"]) == 2
    assert facts["options"] == ["--audio-column", "speech", "--text-column", "sentence"]
    assert facts["row"]["transkription"] == ROWS[0][2]


def test_audio_that_is_no_struct_is_explained_and_the_columns_are_shown(source, capsys):
    path = source / "train.parquet"
    pq.write_table(pa.table({"audio": ["a.wav"], "transkription": ["Satz"]}), path)
    assert run_command(main, [str(source)]) == ExitCode.USAGE
    shown = " ".join(capsys.readouterr().out.split())
    assert "column 'audio' of train.parquet is string, not a struct of bytes and path" in shown
    assert "cast_column('audio', datasets.Audio())" in shown
    assert "transkription string transcript" in shown


def test_what_is_no_data_set_is_explained_without_a_traceback(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert run_command(main, [str(tmp_path / "empty")]) == ExitCode.USAGE
    assert run_command(main, [str(tmp_path / "missing.parquet")]) == ExitCode.USAGE
    shown = " ".join(capsys.readouterr().out.split())
    assert "is not a data set; it holds nothing" in shown
    assert "does not exist" in shown


def test_a_folder_of_save_to_disk_is_known(inspected, tmp_path):
    rows = {"audio": [{"bytes": wav(), "path": "a.wav"}], "transkription": ["Satz"], "source": ["korpus"]}
    Dataset.from_dict(rows).cast_column("audio", Audio()).save_to_disk(tmp_path / "saved")
    code, facts = inspected(tmp_path / "saved")
    assert code == ExitCode.DONE
    assert facts["kind"] == "folder made by save_to_disk (Arrow)"
    assert [column["role"] for column in facts["columns"]] == ["audio", "transcript", "source"]


def test_an_audio_folder_and_a_common_voice_release_are_known(inspected, tmp_path):
    folder, release = tmp_path / "folder", tmp_path / "release"
    for clips in (folder, release / "clips"):
        clips.mkdir(parents=True)
        (clips / "a.wav").write_bytes(wav())
    (folder / "metadata.csv").write_text("file_name,transkription\na.wav,Satz\n")
    (release / "train.tsv").write_text("client_id\tpath\tsentence\n1\ta.wav\tSatz\n")
    _, facts = inspected(folder)
    assert facts["kind"] == "audio folder with metadata"
    assert [column["role"] for column in facts["columns"]] == ["audio's file", "transcript"]
    _, facts = inspected(release)
    assert facts["kind"] == "Common Voice release (TSV and clips)"
    assert [column["role"] for column in facts["columns"]] == ["", "audio's file", "transcript"]


def test_one_row_is_told_in_words_with_what_a_run_would_make_of_it(inspected, source):
    _, facts = inspected(source, "--row", 7)
    assert facts["row"]["transkription"] == ROWS[7][2]
    assert facts["row"]["seconds"] == pytest.approx(1.35)
    assert facts["row"]["num_frames"] == 137
    assert facts["row"]["rejected"] == ""
    _, facts = inspected(source, "--row", 7, "--max-duration", 1)
    assert facts["row"]["rejected"].startswith("too_long")


def test_a_row_that_is_not_there_is_refused_with_the_range(source, capsys):
    assert run_command(main, [str(source), "--row", "30"]) == ExitCode.USAGE
    assert "--row takes 0 to 29" in capsys.readouterr().err


def test_a_split_that_is_not_there_is_refused_with_those_that_are(source, store, capsys):
    assert run_command(main, [str(source), "--split", "dev"]) == ExitCode.USAGE
    assert run_command(main, [str(store), "--split", "dev"]) == ExitCode.USAGE
    shown = capsys.readouterr().err
    assert "train" in shown
    assert "train, test" in shown


def test_a_picture_is_drawn_only_when_asked_for_and_nothing_else_is_written(inspected, source, store, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    inspected(source)
    inspected(store)
    assert sorted(tmp_path.rglob("*")) == before
    _, facts = inspected(source, "--png", "row.png")
    assert facts["picture"] == "row.png"
    _, facts = inspected(store, "--png", ".")
    assert facts["picture"] == "store-train-row-0.png"
    drawn = [tmp_path / "row.png", tmp_path / "store-train-row-0.png"]
    assert all(path.read_bytes().startswith(PNG) for path in drawn)
    assert sorted(tmp_path.rglob("*")) == sorted([*before, *drawn])


def test_a_picture_that_cannot_be_written_is_a_usage_error(source, capsys):
    assert run_command(main, [str(source), "--png", "missing/row.png"]) == ExitCode.USAGE
    assert "cannot write missing/row.png" in capsys.readouterr().err


def test_a_row_without_audio_has_words_and_no_picture(inspected, tmp_path):
    source = write_source(tmp_path / "source" / "train.parquet", [(b"no sound" * 9, "a.wav", "Satz")])
    code, facts = inspected(source, "--png", "row.png")
    assert code == ExitCode.DONE
    assert facts["row"]["rejected"].startswith("undecodable")
    assert facts["picture"] is None


def test_a_finished_store_is_described(inspected, store):
    code, facts = inspected(store)
    assert code == ExitCode.DONE
    train = facts["splits"][0]
    assert (train["complete"], train["rows"], train["quarantined"], train["shards"]) == (True, 4, 1, 2)
    assert train["audio_seconds"] == pytest.approx(5.6)
    assert facts["features"]["num_mel_bins"] == 8
    assert facts["quarantine"] == [
        {"reason": "undecodable", "rows": 1, "examples": [[2, "clip2.wav", "no sound in it"]]}
    ]
    assert sum(count for _, _, count in facts["histogram"]) == 4


def test_a_stores_row_is_found_by_its_row_id(inspected, store):
    _, facts = inspected("--store", store, "--row", 3)
    row = facts["row"]
    assert (row["row_id"], row["num_frames"], row["shard"]) == (3, 50, "train-00001-of-00002.parquet")
    assert row["labels"] == [50258, 50261, 3, 50257]
    _, facts = inspected(store, "--row", 2)
    assert facts["row"]["quarantined"] == "undecodable: no sound in it"


def test_an_unfinished_store_tells_how_far_it_is(inspected, store):
    (store / "COMPLETE").unlink()
    (store / "data" / "train-00001-of-00002.parquet").unlink()
    _, facts = inspected(store)
    train = facts["splits"][0]
    assert (train["complete"], train["committed"], train["shards"], train["rows"]) == (False, 1, 2, 2)
    assert sum(count for _, _, count in facts["histogram"]) == 2


def test_stores_and_data_sets_fit_eighty_columns(source, store, capsys):
    for path in (source, store):
        assert run_command(main, [path.name]) == ExitCode.DONE
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80


def test_a_data_set_or_a_store_must_be_named(capsys):
    assert run_command(main, []) == ExitCode.USAGE
    assert "name one data set or one store" in capsys.readouterr().err


def test_a_histogram_has_round_bins_that_hold_every_row():
    import numpy as np  # noqa: PLC0415 - only here

    bins = histogram(tenths_of(np.array([0.4, 1.9, 2.0, 29.9, 30.0], np.float32)), 10)
    assert [(low, high) for low, high, _ in bins][:2] == [(0, 5), (5, 10)]
    assert sum(count for _, _, count in bins) == 5
    assert histogram(tenths_of(np.empty(0, np.float32)), 10) == []


def test_a_sample_is_told_with_its_worst_row_on_one_screen(inspected, tmp_path, demo_model, capsys):
    rows = [*ROWS[:20], (wav(16_000, seed=99), "wrong.wav", "Ein viel zu langer Satz, der " * 20 + "\x1b[31m<b>")]
    folder = write_source(tmp_path / "source" / "train.parquet", rows).parent
    sample = inspected(folder, "--model", demo_model)[1]["sample"]
    assert (sample["rows"], sample["pace_of"]) == (21, "labels")
    assert sample["worst"][0]["row_id"] == 20
    assert run_command(main, [str(folder)]) == ExitCode.DONE
    lines = capsys.readouterr().out.splitlines()
    first = next(number for number, line in enumerate(lines) if "rows from all over" in line)
    last = next(number for number, line in enumerate(lines) if line.startswith("row 0"))
    assert last - first < 24
    assert any("look at row 20" in line for line in lines)
    assert all(line.isprintable() for line in lines)


@pytest.mark.parametrize("stripped", [False, True])
def test_timestamps_in_a_transcript_are_an_objection_unless_they_are_left_out(tmp_path, capsys, stripped):
    path = write_source(tmp_path / "train.parquet", [(wav(3_200), "a.wav", "<|0.00|> Hallo<|0.20|>")])
    option = ["--strip-timestamps"] if stripped else []
    assert run_command(main, [str(path), "--json", *option]) == ExitCode.DONE
    assert (json.loads(capsys.readouterr().out)["row"]["rejected"] == "") == stripped
    assert run_command(main, [str(path), *option]) == ExitCode.DONE
    assert ("--strip-timestamps" in capsys.readouterr().out.split("Next:")[1]) == stripped


@pytest.mark.parametrize("named", [False, True])
def test_the_next_command_is_a_plan_that_needs_nothing_more(source, demo_model, capsys, named):
    rename(source, {"transkription": "satz"})
    model = ["--model", str(demo_model)] if named else []
    assert run_command(main, [str(source), "--text-column", "satz", *model]) == ExitCode.DONE
    words = shlex.split(capsys.readouterr().out.split("Next:")[1].replace("\\\n", " "))
    if not named:
        place = words.index("--model") + 1
        assert words[place] == "openai/whisper-large-v3-turbo"
        words[place] = str(demo_model)
    assert words[1:3] == ["-m", "preprocess.plan"]
    assert run_command(plan, words[3:]) == ExitCode.DONE


@pytest.mark.parametrize("limit", ["1234.5678", "40.5"])
def test_the_plan_that_is_named_has_the_limit_of_seconds_to_its_last_digit(source, capsys, limit):
    assert run_command(main, [str(source), "--max-duration", limit]) == ExitCode.DONE
    words = shlex.split(capsys.readouterr().out.split("Next:")[1].replace("\\\n", " "))
    assert words[words.index("--max-duration") + 1] == limit


def test_what_inspect_was_told_of_long_audio_the_plan_is_told_too(source, capsys):
    assert run_command(main, [str(source), "--long-audio", "keep", "--max-duration", "43"]) == ExitCode.DONE
    words = shlex.split(capsys.readouterr().out.split("Next:")[1].replace("\\\n", " "))
    assert words[words.index("--long-audio") + 1] == "keep"


def test_what_other_columns_do_not_mend_is_said_once(inspected, tmp_path):
    (tmp_path / "liste.csv").write_text("file_name,text\na.wav,Guten Morgen\n")
    code, facts = inspected("liste.csv", "--config-name", "de")
    assert code == ExitCode.USAGE
    assert [problem["remedy"] for problem in facts["problems"]] == ["leave --config-name out"]
