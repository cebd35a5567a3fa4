"""A person's own recordings: tables, NeMo, Kaldi, lhotse, LJSpeech, texts beside clips. Right values are ffmpeg's."""

import gzip
import json
import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from preprocess.sources.base import Access, Columns
from preprocess.sources.open import open_source
from shared.errors import SourceError
from tests.support.recordings import ffmpeg, heard, record, rows_of, sound_of, texts_of

GERMAN = ["Grüße aus Köln", 'Sie sagte: "Äh; nein"', "Öl, Essig und Süßes"]


def clips(folder: Path, count: int = 3) -> list[str]:
    return [record(folder / f"{number}.wav", 0.1, seed=number).name for number in range(count)]


def json_lines(path: Path, rows, packed: bool = False) -> Path:
    text = "".join(json.dumps(row) + "\n" for row in rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    return path


def refusal(path: Path, **columns: str) -> str:
    with pytest.raises(SourceError) as caught:
        rows_of(path, **columns)
    return str(caught.value)


# Tables


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16", "utf-16-le"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_a_table_is_read_as_pandas_wrote_it_whatever_excel_made_of_it(encoding, separator, tmp_path):
    table = pd.DataFrame({"Datei": clips(tmp_path), "Transkription": GERMAN, "Länge": ["0,1"] * 3})
    table.to_csv(tmp_path / "Aufnahmen.csv", sep=separator, encoding=encoding, index=False, lineterminator="\r\n")
    for path in (tmp_path, tmp_path / "Aufnahmen.csv"):
        assert texts_of(path) == GERMAN
    source = open_source(str(tmp_path), Columns())
    assert len(source.notes) == 1
    assert "audio's file = Datei, transcript = Transkription (not used: Länge)" in source.notes[0]


@pytest.mark.parametrize("encoding", ["cp850", "mac-roman"])
def test_umlauts_in_an_encoding_that_cannot_be_told_stop_with_three_rows_and_the_option(encoding, tmp_path):
    names = clips(tmp_path)
    words = ["Mädchen", "schöne Grüße", "Übung für Ärzte"]
    lines = ["file;text", *(f"{name};{text}" for name, text in zip(names, words, strict=True))]
    (tmp_path / "liste.csv").write_bytes("\r\n".join(lines).encode(encoding))
    said = refusal(tmp_path)
    assert f"{encoding}: '0.wav;Mädchen', '1.wav;schöne Grüße', '2.wav;Übung für Ärzte'" in said
    assert "--encoding" in said
    assert texts_of(tmp_path, encoding=encoding) == words


@pytest.mark.parametrize("encoding", ["klingon", "punycode", "undefined", "base64", "a\0b"])
def test_what_is_no_encoding_of_texts_is_refused_by_name(encoding, tmp_path):
    clips(tmp_path, 1)
    (tmp_path / "liste.csv").write_text("file,text\n0.wav,eins\n")
    assert "not a text encoding" in refusal(tmp_path / "liste.csv", encoding=encoding)


def test_a_broken_byte_in_a_table_of_utf8_spoils_one_row_and_no_umlaut_of_the_others(tmp_path):
    names = clips(tmp_path)
    lines = [f"{name}\t{text}".encode() for name, text in zip(names, GERMAN, strict=True)]
    lines[1] = lines[1].replace("Ä".encode(), b"\xc4")
    (tmp_path / "train.tsv").write_bytes(b"\n".join([b"file\ttext", *lines]))
    rows = rows_of(tmp_path)
    assert [row.problem for row in rows] == ["", "undecodable", ""]
    assert [rows[0].transkription, rows[2].transkription] == [GERMAN[0], GERMAN[2]]


def test_a_sentence_that_begins_with_a_quote_swallows_no_lines_of_a_tsv(tmp_path):
    words = ['"Nein, sagte er', "ohne Zeichen", '"Ja", rief sie', '12" Platten', "gut"]
    names = clips(tmp_path, 5)
    lines = [f"{name}\t{text}" for name, text in zip(names, words, strict=True)]
    (tmp_path / "train.tsv").write_text("\n".join(["path\tsentence", *lines]) + "\n")
    assert len(pd.read_csv(tmp_path / "train.tsv", sep="\t")) < 5
    assert texts_of(tmp_path) == words


def test_a_quote_that_is_never_closed_costs_its_own_row_of_a_csv_and_the_line_is_named(tmp_path):
    names = clips(tmp_path, 4)
    (tmp_path / "liste.csv").write_text(
        f'file,text\n{names[0]},eins\n{names[1]},"zwei\n{names[2]},drei\n{names[3]},"vier, fünf"\n'
    )
    said = texts_of(tmp_path)
    assert [said[0], *said[2:]] == ["eins", "drei", "vier, fünf"]
    assert "liste.csv, line 3: quotes that do not enclose a cell" in said[1]


def test_a_stray_separator_quarantines_its_row_with_the_line_and_what_was_seen(tmp_path):
    names = clips(tmp_path)
    (tmp_path / "liste.csv").write_text(f"file,text\n{names[0]},eins\n{names[1]},Ja, gut\n{names[2]},drei\n")
    said = texts_of(tmp_path)
    assert (said[0], said[2]) == ("eins", "drei")
    assert "liste.csv, line 3: '1.wav' | 'Ja' | ' gut': 3 cells, where the table has 2 columns" in said[1]


def test_two_columns_that_could_be_the_transcript_stop_with_the_rows_and_both_options(tmp_path):
    names = clips(tmp_path)
    lines = [f"{name};Satz {name};SATZ" for name in names]
    (tmp_path / "liste.csv").write_text("\n".join(["audio;text;sentence", *lines]))
    said = refusal(tmp_path)
    assert "line 1: 'audio' | 'text' | 'sentence'; line 2: '0.wav' | 'Satz 0.wav' | 'SATZ'; line 3:" in said
    assert "--text-column text or --text-column sentence" in said
    assert "repair" not in said
    assert texts_of(tmp_path, text="sentence") == ["SATZ"] * 3


@pytest.mark.parametrize("name", ["start_ms", "offset_samples", "Begin Time ms"])
def test_a_start_that_is_not_in_seconds_makes_no_row_of_the_whole_file(name, tmp_path):
    record(tmp_path / "0.wav", 1.0)
    table = tmp_path / "clips.csv"
    table.write_text(f"file,{name},text\n0.wav,100,a\n0.wav,500,b\n")
    assert f"column {name!r} seems to say where a part begins, but not in seconds" in refusal(table)
    assert texts_of(table, offset="none") == ["a", "b"]


def test_columns_with_names_of_ones_own_are_asked_for_and_taken(tmp_path):
    names = clips(tmp_path)
    (tmp_path / "liste.csv").write_text("\n".join(["Aufnahme;Wortlaut", *(f"{name};ja" for name in names)]))
    assert "--audio-column Aufnahme" in refusal(tmp_path)
    assert texts_of(tmp_path, audio="Aufnahme", text="Wortlaut") == ["ja"] * 3


def test_a_table_without_a_header_loses_no_first_row(tmp_path):
    names = clips(tmp_path)
    (tmp_path / "filelist.txt").write_text("".join(f"{name}|Satz {name}\n" for name in names))
    assert texts_of(tmp_path / "filelist.txt") == [f"Satz {name}" for name in names]


def test_one_stray_table_does_not_decide_what_a_folder_is(tmp_path):
    names = clips(tmp_path)
    (tmp_path / "speakers.tsv").write_text("speaker\tage\nanna\t30\n")
    (tmp_path / "liste.csv").write_text("\n".join(["filename;transcript", *(f"{name};ja" for name in names)]))
    source = open_source(str(tmp_path), Columns())
    assert source.splits["train"].num_rows == 3
    assert any("speakers.tsv is not used" in note for note in source.notes)


def test_ljspeech_keeps_its_quotes_and_finds_its_clips(tmp_path):
    for number in range(3):
        record(tmp_path / f"wavs/LJ001-000{number}.wav", 0.1, seed=number)
    words = ['"Nein, sagte er', "in being comparatively modern.", "Dr. 1923"]
    lines = [f"LJ001-000{n}|{text}|{text.lower()}" for n, text in enumerate(words)]
    (tmp_path / "metadata.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert texts_of(tmp_path) == words
    assert texts_of(tmp_path, text="normalized_text") == [text.lower() for text in words]
    assert next(row.path for row in rows_of(tmp_path)) == "wavs/LJ001-0000.wav"


# Splits


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "utf-16"])
@pytest.mark.parametrize("separator", [",", ";"])
def test_the_folders_of_the_clips_tell_splits_whatever_excel_made_of_the_metadata(separator, encoding, tmp_path):
    names = [f"{split}/{name}" for split in ("train", "test") for name in clips(tmp_path / split)]
    lines = [f"{name}{separator}Grüße" for name in names]
    content = "\n".join([f"file_name{separator}transkription", *lines])
    (tmp_path / "metadata.csv").write_bytes(content.encode(encoding))
    source = open_source(str(tmp_path), Columns())
    read = {split: [row.path for row in source.reader(split, 0, 3).rows()] for split in source.splits}
    assert read == {"train": names[:3], "test": names[3:]}


def splits_of(path: Path, **columns: str) -> dict[str, int]:
    source = open_source(str(path), Columns(**columns))
    return {split: source.splits[split].num_rows for split in source.splits}


def test_a_column_that_is_named_for_the_splits_is_used_and_one_that_is_not_there_refused(tmp_path):
    lines = [f"{name};ja;{split}" for name, split in zip(clips(tmp_path), ("train", "train", "test"), strict=True)]
    (tmp_path / "liste.csv").write_text("\n".join(["file;text;Teil", *lines]))
    assert splits_of(tmp_path / "liste.csv", split="Teil") == {"train": 2, "test": 1}
    with pytest.raises(SourceError, match="--split-column"):
        splits_of(tmp_path / "liste.csv", split="Tiel")


def test_a_person_or_a_files_own_name_goes_before_the_clips_folders(tmp_path):
    rows = [{"audio_filepath": f"{split}/{name}", "text": "x"} for split in ("dev", "test")
            for name in clips(tmp_path / split)]  # fmt: skip
    assert splits_of(json_lines(tmp_path / "liste.json", rows)) == {"validation": 3, "test": 3}
    assert splits_of(tmp_path / "liste.json", split="none") == {"train": 6}
    assert splits_of(json_lines(tmp_path / "train_manifest.json", rows)) == {"train": 6}


@pytest.mark.parametrize("odd", ["odd/0.wav", "train_test/0.wav", "{root}/test/0.wav"])
def test_where_some_clips_lie_in_no_splits_folder_the_rows_stay_together_and_are_told(odd, tmp_path):
    for folder in ("odd", "train_test", "test"):
        clips(tmp_path / folder, 1)
    rows = [{"audio_filepath": name, "text": "x"} for name in ("test/0.wav", odd.format(root=tmp_path))]
    json_lines(tmp_path / "liste.json", rows)
    assert splits_of(tmp_path / "liste.json") == {"train": 2}
    assert "some clips lie in folders of test" in open_source(str(tmp_path / "liste.json"), Columns()).notes[0]


# Links


def linked_table(_root: Path, elsewhere: Path):
    json_lines(elsewhere / "liste.jsonl", [{"audio_filepath": "0.wav", "text": "x"}])
    return ["0.wav", "liste.jsonl"]


def linked_clip_of_kaldi(root: Path, _elsewhere: Path):
    (root / "wav.scp").write_text("a 0.wav\n")
    (root / "text").write_text("a x\n")
    return ["0.wav"]


def linked_kaldi(_root: Path, elsewhere: Path):
    (elsewhere / "wav.scp").write_text("a 0.wav\n")
    (elsewhere / "text").write_text("a x\n")
    return ["wav.scp", "text", "0.wav"]


def linked_lhotse(_root: Path, elsewhere: Path):
    source = {"type": "file", "channels": [0], "source": "0.wav"}
    json_lines(elsewhere / "recordings.jsonl", [recording(rate=16_000, seconds=0.1, id="r") | {"sources": [source]}])
    spoken = {"id": "s", "recording_id": "r", "start": 0, "duration": 0.1, "channel": 0, "text": "x"}
    json_lines(elsewhere / "supervisions.jsonl", [spoken])
    return ["recordings.jsonl", "supervisions.jsonl", "0.wav"]


def linked_text_beside(_root: Path, elsewhere: Path):
    (elsewhere / "0.txt").write_text("x")
    return ["0.wav", "0.txt"]


def linked_part(root: Path, _elsewhere: Path):
    json_lines(root / "liste.jsonl", [{"audio_filepath": "0.wav", "text": "x", "offset": 0, "duration": 0.05}])
    return ["0.wav"]


@pytest.mark.parametrize(
    "kind",
    [linked_table, linked_clip_of_kaldi, linked_kaldi, linked_lhotse, linked_text_beside, linked_part],
)
def test_what_a_folders_links_lead_to_is_read_where_the_user_says_so_and_else_the_option_is_named(kind, tmp_path):
    root, elsewhere = tmp_path / "korpus", tmp_path / "platte"
    root.mkdir()
    clips(elsewhere, 1)
    for name in kind(root, elsewhere):
        (root / name).symlink_to(elsewhere / name)
    with pytest.raises(SourceError, match="--follow-links"):
        _ = open_source(str(root), Columns()).splits["train"]
    rows = list(open_source(str(root), Columns(), Access(follow_links=True)).reader("train", 0, 1).rows())
    assert [(row.transkription, row.problem) for row in rows] == [("x", "")]
    assert len(sound_of(rows[0])) == (800 if kind is linked_part else 1_600)


# Parts of recordings


@pytest.mark.parametrize(("rate", "channels", "kind"), [(16_000, 1, "wav"), (44_100, 2, "flac"), (8_000, 1, "wav")])
def test_nemo_parts_are_the_samples_that_ffmpeg_has_there(rate, channels, kind, tmp_path):
    path = record(tmp_path / f"lang.{kind}", 8, rate, channels)
    parts = [(0, 1.5), (1.5, 2.2), (3.7, 0.29), (3.99, 4.01), (6.123, 0.456)]
    rows = [{"audio_filepath": path.name, "offset": at, "duration": long, "text": f"{at}"} for at, long in parts]
    json_lines(tmp_path / "train_manifest.json", rows)
    for row, (at, long) in zip(rows_of(tmp_path), parts, strict=True):
        first, stop = (int(seconds * rate + 0.5 + 1e-6) for seconds in (at, at + long))
        assert np.array_equal(sound_of(row), heard(path, first, stop)), row.path


def test_a_nemo_line_with_a_duration_alone_is_the_beginning_and_one_without_is_the_file(tmp_path):
    path = record(tmp_path / "a.wav", 2)
    rows = [{"audio_filepath": "a.wav", "text": "x", "duration": 0.5}, {"audio_filepath": "a.wav", "text": "y"}]
    json_lines(tmp_path / "m.jsonl", rows)
    found = rows_of(tmp_path / "m.jsonl")
    assert np.array_equal(sound_of(found[0]), heard(path, 0, 8_000))
    assert found[1].audio == path.read_bytes()


def test_parts_that_meet_share_no_sample_and_leave_none_out(tmp_path):
    path = record(tmp_path / "a.wav", 3, 22_050)
    times = [0, 0.1, 0.2, 0.30000000000000004, 1.14, 2.0000226, 3]
    lines = [f"a.wav\t{a}\t{b}\tx" for a, b in pairwise(times)]
    (tmp_path / "t.tsv").write_text("\n".join(["file\tstart\tend\ttext", *lines]))
    assert np.array_equal(np.concatenate([sound_of(row) for row in rows_of(tmp_path)]), heard(path))


@pytest.mark.parametrize("kind", ["mp3", "ogg", "opus", "m4a"])
def test_a_part_of_a_compressed_recording_is_the_same_stretch_of_the_whole(kind, tmp_path):
    path = record(tmp_path / f"lang.{kind}", 6, 48_000)
    json_lines(tmp_path / "m.jsonl", [{"audio_filepath": path.name, "offset": 2.5, "duration": 1.25, "text": "x"}])
    part, whole = sound_of(rows_of(tmp_path / "m.jsonl")[0]), heard(path)
    assert len(part) == 60_000
    # Decoders trim an encoder's delay differently; the stretch is the same to within a few milliseconds, and its
    # samples are the same.
    window = whole[120_000 - 2_500 : 180_000 + 2_500]
    lag = int(np.argmax(np.correlate(window, part[:20_000], "valid")))
    assert abs(lag - 2_500) <= 2_400
    found = window[lag : lag + 60_000]
    assert np.corrcoef(found, part[: len(found)])[0, 1] > 0.999


def test_a_part_that_its_recording_does_not_have_is_never_shortened(tmp_path):
    record(tmp_path / "a.wav", 2)
    parts = [(0, 2.05), (1.5, 1), (5, 1), (-1, 1), (1, 0), (0.5, 1)]
    rows = [{"audio_filepath": "a.wav", "offset": at, "duration": long, "text": "x"} for at, long in parts]
    json_lines(tmp_path / "m.jsonl", rows)
    assert [row.problem for row in rows_of(tmp_path / "m.jsonl")] == ["", *["undecodable"] * 4, ""]


def test_kaldi_segments_are_cut_to_the_sample_and_minus_one_is_the_end(tmp_path):
    path = record(tmp_path / "wav/rec 1.flac", 4, 8_000)
    folder = tmp_path / "data/train"
    folder.mkdir(parents=True)
    (folder / "wav.scp").write_text("rec1 wav/rec 1.flac\n")
    (folder / "segments").write_text("u2 rec1 1.29 2.58\nu1 rec1 0.00 1.29\nu3 rec1 2.58 -1\nu4 rec1 3 9\n")
    (folder / "text").write_text("u1 Guten Tag\nu2 schöne Grüße\nu3 Ende\nu4 zu lang\nu5 fehlt\n")
    rows = rows_of(tmp_path)
    assert [row.transkription for row in rows][:3] == ["Guten Tag", "schöne Grüße", "Ende"]
    for row, bounds in zip(rows, [(0, 10_320), (10_320, 20_640), (20_640, None)], strict=False):
        assert np.array_equal(sound_of(row), heard(path, *bounds))
    assert "the recording has 4.000 s" in rows[3].problem_message
    assert "text, line 5: utterance 'u5' is not in segments" in rows[4].problem_message


def test_a_recording_or_utterance_that_kaldi_names_twice_is_never_given_the_others_words(tmp_path):
    folder = tmp_path / "korpus"
    clips(folder, 2)
    (folder / "wav.scp").write_text("r 0.wav\ns 1.wav\ns 1.wav\n")
    (folder / "segments").write_text("a r 0 0.05\nb r 0.05 0.1\nb s 0 0.1\nc s 0 0.1\n")
    (folder / "text").write_text("a eins\nb zwei\nc drei\nc vier\n")
    rows = rows_of(folder)
    assert [row.problem for row in rows] == ["", "undecodable", "", "undecodable"]
    assert "segments, line 3: utterance 'b' a second time" in rows[1].problem_message
    assert "text, line 4: utterance 'c' a second time" in rows[3].problem_message
    (folder / "wav.scp").write_text("r 0.wav\nr 1.wav\n")
    assert "wav.scp, line 2: r is '1.wav', and was '0.wav' before" in refusal(folder)


@pytest.mark.parametrize("entry", ["sph2pipe -f wav a.sph |", "touch PWNED |", "- ", "raw.ark:17"])
def test_no_command_of_a_wav_scp_is_run(entry, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "wav.scp").write_text(f"a {entry}\n")
    (tmp_path / "text").write_text("a hallo\n")
    assert "wav.scp, line 1: a" in refusal(tmp_path)
    assert not (tmp_path / "PWNED").exists()


def recording(channels=(0,), rate=8_000, seconds=6.0, **more):
    source = {"type": "file", "channels": list(channels), "source": "rec.wav"}
    facts = {"id": "rec", "sources": [source], "sampling_rate": rate, "num_samples": int(rate * seconds)}
    return facts | {"duration": seconds, "channel_ids": list(channels)} | more


def test_lhotse_supervisions_are_their_own_time_and_channel_of_the_recording(tmp_path):
    path = record(tmp_path / "rec.wav", 6, 8_000, 2)
    spoken = [(0.0, 1.5, 0), (1.0, 2.25, 1), (0.0, 6.0, 1)]
    json_lines(tmp_path / "x_recordings_train.jsonl.gz", [recording((0, 1))], packed=True)
    json_lines(
        tmp_path / "x_supervisions_train.jsonl.gz",
        [{"id": f"{n}", "recording_id": "rec", "start": at, "duration": long, "channel": channel, "text": f"Satz {n}"}
         for n, (at, long, channel) in enumerate(spoken)],
        packed=True,
    )  # fmt: skip
    for row, (at, long, channel) in zip(rows_of(tmp_path), spoken, strict=True):
        first, stop = int(at * 8_000), int((at + long) * 8_000)
        assert np.array_equal(sound_of(row), heard(path, first, stop, channel))


def test_lhotse_cuts_count_from_the_cut_and_what_is_no_part_of_a_file_is_named(tmp_path):
    path = record(tmp_path / "rec.wav", 6, 8_000)
    spoken = {"id": "s", "recording_id": "rec", "start": 0.25, "duration": 1.0, "channel": 0, "text": "ja"}
    cut = {"id": "c", "start": 2.0, "duration": 3.0, "channel": 0, "supervisions": [spoken], "type": "MonoCut"}
    slow = recording(transforms=[{"name": "Speed", "kwargs": {"factor": 0.9}}])
    piped = recording() | {"sources": [{"type": "command", "channels": [0], "source": "touch PWNED"}]}
    cuts = [cut | {"recording": recording()}, {"id": "m", "type": "MixedCut", "tracks": []}]
    cuts += [cut | {"recording": slow}, cut | {"recording": piped}, *[cut | {"recording": recording()}] * 3]
    json_lines(tmp_path / "cuts_train.jsonl.gz", cuts, packed=True)
    rows = rows_of(tmp_path)
    assert np.array_equal(sound_of(rows[0]), heard(path, 18_000, 26_000))
    for row, why in zip(rows[1:4], ("MixedCut", "changed as it is read", "in no file of its own"), strict=True):
        assert why in row.problem_message
    assert not list(tmp_path.rglob("PWNED"))


@pytest.mark.parametrize(
    "strange",
    [
        {"recording": recording() | {"sources": [5]}},
        {"recording": recording() | {"sources": None}},
        {"recording": recording() | {"duration": "lang"}, "start": 0},
        {"supervisions": ["ja"]},
        {"supervisions": 5},
        {"supervisions": [{"start": 0, "duration": 6, "channel": 0, "text": 12}]},
    ],
)
def test_a_cut_that_is_not_as_lhotse_writes_it_costs_its_row(strange, tmp_path):
    record(tmp_path / "rec.wav", 6, 8_000)
    spoken = {"id": "s", "recording_id": "rec", "start": 0, "duration": 6, "channel": 0, "text": "ja"}
    cut = {"id": "c", "type": "MonoCut", "start": 0, "duration": 6, "channel": 0, "supervisions": [spoken]}
    cut |= {"recording": recording()}
    json_lines(tmp_path / "cuts.jsonl", [cut, cut | strange, cut])
    assert [row.problem for row in rows_of(tmp_path)] == ["", "undecodable", ""]


def test_two_recordings_of_one_id_are_refused_with_the_line(tmp_path):
    record(tmp_path / "rec.wav", 6, 8_000)
    other = recording(seconds=3.0)
    json_lines(tmp_path / "recordings.jsonl", [recording(), recording(), other])
    spoken = {"id": "s", "recording_id": "rec", "start": 0, "duration": 1, "channel": 0, "text": "ja"}
    json_lines(tmp_path / "supervisions.jsonl", [spoken])
    assert "recordings.jsonl, line 3: recording 'rec' a second time" in refusal(tmp_path)


# Texts beside


def test_texts_beside_clips_are_found_in_any_depth_and_what_has_no_partner_is_counted(tmp_path):
    for name, words in (("anna/1.wav", "Grüße"), ("anna/k2/2.WAV", "Öl"), ("3.flac", "gut")):
        record(tmp_path / name, 0.1)
        text = (tmp_path / name).with_suffix(".lab" if name.startswith("3") else ".txt")
        text.write_bytes(words.encode("cp1252"))
    record(tmp_path / "allein.wav", 0.1)
    (tmp_path / "README.txt").write_text("von Anna gelesen")
    assert sorted(texts_of(tmp_path)) == ["Grüße", "gut", "Öl"]
    notes = " ".join(open_source(str(tmp_path), Columns()).notes)
    assert "left out: 1 audio file without a text: allein.wav" in notes
    assert "left out: 1 text without an audio file: README.txt" in notes


def test_audacitys_labels_beside_a_recording_cut_it(tmp_path):
    path = record(tmp_path / "lesung.wav", 4)
    (tmp_path / "lesung.txt").write_text("0.500000\t1.250000\tGuten Tag\n1.250000\t3.000000\tauf Wiedersehen\n")
    rows = rows_of(tmp_path)
    assert [row.transkription for row in rows] == ["Guten Tag", "auf Wiedersehen"]
    assert np.array_equal(sound_of(rows[1]), heard(path, 20_000, 48_000))


def test_htk_labels_are_no_transcript(tmp_path):
    record(tmp_path / "a.wav", 0.1)
    (tmp_path / "a.lab").write_text("0 3600000 sil\n3600000 7200000 h\n")
    assert "100 ns" in refusal(tmp_path)


def test_a_clip_outside_the_folder_is_read_under_no_name(tmp_path):
    record(tmp_path / "geheim.wav", 0.1)
    names = clips(tmp_path / "korpus")
    rows = [{"audio_filepath": name, "text": "x", "offset": 0, "duration": 0.05} for name in
            (names[0], "../geheim.wav", str(tmp_path / "geheim.wav"))]  # fmt: skip
    json_lines(tmp_path / "korpus/m.jsonl", rows)
    assert [row.problem for row in rows_of(tmp_path / "korpus/m.jsonl")] == ["", *["outside_source"] * 2]


def test_ffmpegs_own_cut_is_the_same_as_ours(tmp_path):
    path = record(tmp_path / "a.wav", 3, 44_100)
    ffmpeg("-i", path, "-af", "atrim=start_sample=33075:end_sample=88200", "-c:a", "pcm_s16le", tmp_path / "cut.wav")
    (tmp_path / "t.csv").write_text("file,offset,duration,text\na.wav,0.75,1.25,x\n")
    assert np.array_equal(sound_of(rows_of(tmp_path / "t.csv")[0]), heard(tmp_path / "cut.wav"))


@pytest.mark.parametrize("offset", ['"1e999999999"', "1e308", '"1/0"', "true", '"nan"', "[1]", '"' + "9" * 5000 + '"'])
def test_a_time_that_is_none_costs_its_row_and_no_time(offset, tmp_path):
    record(tmp_path / "a.wav", 0.2)
    good = '{"audio_filepath": "a.wav", "offset": 0, "duration": 0.1, "text": "x"}\n'
    (tmp_path / "m.jsonl").write_text(good + good.replace('"offset": 0', f'"offset": {offset}') + good)
    assert [bool(row.problem) for row in rows_of(tmp_path / "m.jsonl")] == [False, True, False]


def test_a_text_that_is_a_pipe_or_leads_outside_is_read_under_no_name(tmp_path):
    (tmp_path / "geheim.txt").write_text("geheim")
    folder = tmp_path / "korpus"
    for name in "abcd":
        record(folder / f"{name}.wav", 0.1)
        (folder / f"{name}.txt").write_text(f"Satz {name}")
    (folder / "b.txt").unlink()
    (folder / "b.txt").symlink_to(tmp_path / "geheim.txt")
    (folder / "c.txt").unlink()
    os.mkfifo(folder / "c.txt")
    said = texts_of(folder)
    assert (said[0], said[3]) == ("Satz a", "Satz d")
    assert "outside" in said[1]
    assert "no regular file" in said[2]


@pytest.mark.parametrize("name", ["{root}/disk/a.wav", "../disk/a.wav", "a.wav"])
def test_parts_of_recordings_elsewhere_are_cut_under_the_audio_root_alone(name, tmp_path):
    path = record(tmp_path / "disk/a.wav", 0.2)
    record(tmp_path / "geheim.wav", 0.2)
    names = [name.format(root=tmp_path), "../geheim.wav", str(tmp_path / "geheim.wav")]
    rows = [{"audio_filepath": name, "text": "x", "offset": 0.05, "duration": 0.1} for name in names]
    manifest = json_lines(tmp_path / "korpus/m.jsonl", rows)
    source = open_source(str(manifest), Columns(), Access(audio_root=str(tmp_path / "disk")))
    found = list(source.reader("train", 0, 3).rows())
    assert [row.problem for row in found] == ["", "outside_source", "outside_source"]
    assert np.array_equal(sound_of(found[0]), heard(path, 800, 2_400))


def test_a_table_of_checksums_makes_no_manifest_of_a_folder_of_texts(tmp_path):
    for name in "ab":
        record(tmp_path / f"{name}.wav", 0.1)
        (tmp_path / f"{name}.txt").write_text(f"Satz {name}")
    (tmp_path / "checksums.csv").write_text("file,sha256\na.wav,12\nb.wav,34\n")
    assert texts_of(tmp_path) == ["Satz a", "Satz b"]
