"""Spellings of names, byte order marks and stray characters are one row's problem, or none."""

import unicodedata

import pytest

from preprocess.sources.base import Columns
from preprocess.sources.open import open_source
from shared.errors import SourceError
from tests.support.strange_folders import HEADER, clip, metadata, ours, release

GERMAN = "Übung & Käse.wav"
MIXED = "U\u0308bung & Käse.wav"


@pytest.mark.parametrize("stored", [unicodedata.normalize("NFC", GERMAN), unicodedata.normalize("NFD", GERMAN), MIXED])
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_clip_is_found_in_either_spelling_of_its_name(stored, form, tmp_path):
    folder = unicodedata.normalize("NFD", "Größe")
    clip(tmp_path / folder / stored)
    name = unicodedata.normalize(form, f"Größe/{GERMAN}")
    (tmp_path / "metadata.csv").write_text(f"file_name,transkription\n{name},Satz\n")
    source = open_source(str(tmp_path), Columns())
    assert next(source.reader("train", 0, 1).rows()).problem == ""
    assert list(source.notes) == []


@pytest.mark.parametrize("file", ["metadata.csv", "metadata.jsonl"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_no_part_of_the_table(file, encoding, tmp_path):
    metadata(tmp_path, ["a.wav", "b.wav"], "Größe {}", file=file)
    plain = ours(tmp_path)
    (tmp_path / file).write_text((tmp_path / file).read_text(), encoding=encoding)
    assert ours(tmp_path) == plain


def test_files_joined_with_a_mark_each_are_read(tmp_path):
    metadata(tmp_path, ["a.wav", "b.wav"], file="metadata.jsonl")
    plain = ours(tmp_path)
    lines = (tmp_path / "metadata.jsonl").read_text().splitlines()
    (tmp_path / "metadata.jsonl").write_text("".join(f"\ufeff{line}\r\n" for line in lines))
    assert ours(tmp_path) == plain


STRAYS = {
    "a TAB": ("x\t3.mp3\tHallo\tWelt\t2\n", ["line 5", "5 fields, not 4"]),
    "a CR": ("x\t3.mp3\tHallo\rWelt\t2\n", ["line 5", "CR"]),
    "a CR at a sentence's end": ("x\t3.mp3\tHallo\r\t2\n", ["line 5", "CR"]),
    "too few fields": ("x\t3.mp3\tHallo\n", ["line 5", "3 fields, not 4"]),
}


@pytest.mark.parametrize("stray", STRAYS)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_stray_character_in_a_tsv_is_its_rows_problem_alone(stray, end, tmp_path):
    line, words = STRAYS[stray]
    good = [f"x\t{n}.mp3\tSatz {n}\t2\n" for n in range(6)]
    lines = [*good[:3], line, *good[3:]]
    release(tmp_path, train="".join(text[:-1] + end for text in lines))
    rows = list(open_source(str(tmp_path), Columns()).reader("train", 0, 7).rows())
    assert [row.problem for row in rows] == [*[""] * 3, "undecodable", *[""] * 3]
    assert [row.transkription for row in rows if not row.problem] == [f"Satz {n}" for n in range(6)]
    assert all(word in rows[3].problem_message for word in ["train.tsv", *words])


def test_a_cr_that_only_begins_a_line_or_ends_one_costs_no_row(tmp_path):
    release(tmp_path, train="x\t0.mp3\tSatz 0\t2\n\rx\t1.mp3\tSatz 1\t2\nx\t2.mp3\tSatz 2\t2\rx\t3.mp3\tSatz 3\t2\n")
    rows = list(open_source(str(tmp_path), Columns()).reader("train", 0, 4).rows())
    assert [(row.path, row.transkription) for row in rows] == [(f"{n}.mp3", f"Satz {n}") for n in range(4)]


def test_a_few_lines_in_another_encoding_are_quarantined_where_more_are_in_utf8(tmp_path):
    good = [f"x\t{n}.mp3\t{'Größe' if n < 4 else 'Satz'}\t2\n".encode() for n in range(8)]
    release(tmp_path)
    bad = "x\t1.mp3\tGröße\t2\n".encode("cp1252")
    (tmp_path / "train.tsv").write_bytes(HEADER.encode() + b"".join([*good, bad, bad, bad]))
    rows = list(open_source(str(tmp_path), Columns()).reader("train", 0, 11).rows())
    assert [row.problem for row in rows] == [*[""] * 8, *["undecodable"] * 3]


def test_a_line_that_is_no_utf8_is_its_rows_problem_and_a_file_that_is_none_is_refused(tmp_path):
    release(tmp_path)
    good = [f"x\t{n}.mp3\tGröße {n}\t2\n".encode() for n in range(3)]
    (tmp_path / "train.tsv").write_bytes(HEADER.encode() + b"".join([*good, "x\t3.mp3\tGröße\t2\n".encode("cp1252")]))
    rows = list(open_source(str(tmp_path), Columns()).reader("train", 0, 4).rows())
    assert [row.problem for row in rows] == ["", "", "", "undecodable"]
    assert "train.tsv, line 5: 'sentence' is not UTF-8" in rows[3].problem_message
    lines = "".join(f"x\t{n % 8}.mp3\t{'Größe' if n % 4 == 0 else 'Satz'}\t2\n" for n in range(20))
    (tmp_path / "train.tsv").write_text(HEADER + lines, encoding="cp1252")
    with pytest.raises(SourceError, match=r"train\.tsv cannot be read: 5 of its 20 lines are not UTF-8"):
        _ = open_source(str(tmp_path), Columns()).splits["train"]


@pytest.mark.parametrize("encoding", ["cp1252", "cp850", "utf-16-le"])
@pytest.mark.parametrize("file", ["metadata.csv", "metadata.jsonl", "train.tsv"])
def test_a_named_encoding_is_that_of_every_table_of_a_folder(file, encoding, tmp_path):
    if file == "train.tsv":
        release(tmp_path, train="x\t0.mp3\tGrüße\t2\n", test="x\t1.mp3\tGrüße\t2\n")
        tables = list(tmp_path.glob("*.tsv"))
    else:
        for split in ("train", "test"):
            metadata(tmp_path / split, ["a.wav"], "Grüße", file)
        tables = list(tmp_path.rglob(file))
    for table in tables:
        text = table.read_text(encoding="utf-8").replace("\\u00fc", "ü").replace("\\u00df", "ß")
        table.write_text(text, encoding=encoding)
    source = open_source(str(tmp_path), Columns(encoding=encoding))
    assert {split: source.splits[split].num_rows for split in source.splits} == {"train": 1, "test": 1}
    assert [row.transkription for split in source.splits for row in source.reader(split, 0, 1).rows()] == ["Grüße"] * 2


def test_lines_of_metadata_that_cannot_be_read_are_counted_beforehand(tmp_path):
    metadata(tmp_path, ["a.wav", "b.wav", "c.wav"], file="metadata.jsonl")
    lines = (tmp_path / "metadata.jsonl").read_text().splitlines()
    (tmp_path / "metadata.jsonl").write_text("\n".join([lines[0], '{"file_name": "b.wav", ', lines[2]]))
    source = open_source(str(tmp_path), Columns())
    assert [row.problem for row in source.reader("train", 0, 3).rows()] == ["", "undecodable", ""]
    assert "metadata that cannot be read, to be quarantined: 1 line (metadata.jsonl, line 2" in "\n".join(source.notes)


def test_a_quote_that_is_never_closed_swallows_no_rows(tmp_path):
    metadata(tmp_path, ["a.wav", "b.wav", "c.wav"])
    text = (tmp_path / "metadata.csv").read_text().replace("b.wav,Satz", 'b.wav,"Satz')
    (tmp_path / "metadata.csv").write_text(text)
    with pytest.raises(SourceError, match=r"metadata\.csv cannot be read: .*quote"):
        open_source(str(tmp_path), Columns())
