"""Clips in files: audio folders and Common Voice releases."""

import csv
import json
import pickle
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preprocess.sources import confine
from preprocess.sources.base import Columns
from preprocess.sources.confine import read_inside
from preprocess.sources.open import open_source
from shared.errors import RowRejectedError, SourceError

TEXTS = ['Sie sagte "Hallo', "Zeile eins\nZeile zwei", "null", "2024-05-01", "1.50", 'a,b;"c"', "Grüße ß"]


def make_clips(folder, count):
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        (folder / f"{number}.mp3").write_bytes(bytes([number % 251]) * (number + 1))


def write_csv(path, rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def write_jsonl(path, rows):
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def write_parquet(path, rows):
    pq.write_table(pa.Table.from_pylist(rows), path)


WRITERS = {"csv": write_csv, "jsonl": write_jsonl, "parquet": write_parquet}


def rows_of(source, split="train", start=0, stop=None):
    stop = source.splits[split].num_rows if stop is None else stop
    return list(source.reader(split, start, stop).rows())


# Audio folders


@pytest.mark.parametrize("kind", WRITERS)
def test_every_kind_of_metadata_gives_the_transcripts_letter_by_letter(kind, tmp_path):
    root = tmp_path / "korpus"
    make_clips(root, len(TEXTS))
    WRITERS[kind](
        root / f"metadata.{kind}",
        [{"file_name": f"{n}.mp3", "speaker": "Anna", "transkription": text} for n, text in enumerate(TEXTS)],
    )
    rows = rows_of(open_source(str(root), Columns()))
    assert [row.transkription for row in rows] == TEXTS
    assert [(row.row_id, row.path, len(row.audio), row.source) for row in rows] == [
        (n, f"{n}.mp3", n + 1, "korpus") for n in range(len(TEXTS))
    ]


def test_one_metadata_file_over_split_folders_and_one_in_each_of_them_are_the_same(tmp_path):
    for split, count in (("train", 4), ("test", 2)):
        for root in ("one", "each"):
            make_clips(tmp_path / root / split, count)
        rows = [{"file_name": f"{n}.mp3", "transkription": f"{split} {n}", "source": split} for n in range(count)]
        write_csv(tmp_path / "each" / split / "metadata.csv", rows)
    write_csv(
        tmp_path / "one/metadata.csv",
        [
            {"file_name": f"{split}/{n}.mp3", "transkription": f"{split} {n}", "source": split}
            for split, count in (("test", 2), ("train", 4))
            for n in range(count)
        ],
    )
    one, each = (open_source(str(tmp_path / name), Columns()) for name in ("one", "each"))
    assert list(one.splits) == list(each.splits) == ["train", "test"]
    for split in ("train", "test"):
        assert rows_of(one, split) == rows_of(each, split)
        assert one.splits[split].fingerprint == each.splits[split].fingerprint
    assert rows_of(one, "test")[1].path == "test/1.mp3"


@pytest.mark.parametrize(("stray", "place"), [("more/0.mp3", "more/"), ("0.mp3", "its own folder")])
def test_clips_outside_any_split_folder_are_not_dropped_silently(stray, place, tmp_path):
    make_clips(tmp_path / "train", 1)
    write_csv(tmp_path / "metadata.csv", [{"file_name": name, "transkription": "x"} for name in ("train/0.mp3", stray)])
    with pytest.raises(SourceError, match=f"others in {place}"):
        open_source(str(tmp_path), Columns())


def test_a_clip_is_never_read_outside_the_folder(tmp_path):
    root = tmp_path / "korpus"
    make_clips(root / "train", 1)
    (tmp_path / "geheim.mp3").write_bytes(b"geheim")
    (root / "train/link.mp3").symlink_to(tmp_path / "geheim.mp3")
    names = ["0.mp3", "../../geheim.mp3", str(tmp_path / "geheim.mp3"), "link.mp3", "gone.mp3", "", "../train/0.mp3"]
    write_csv(root / "train/metadata.csv", [{"file_name": name, "transkription": "x"} for name in names])
    rows = rows_of(open_source(str(root), Columns()))
    assert [row.problem for row in rows] == ["", *["outside_source"] * 3, *["no_audio"] * 2, ""]
    assert rows[6].audio == rows[0].audio


def test_a_folder_beside_the_data_set_whose_name_begins_alike_is_outside(tmp_path):
    make_clips(tmp_path / "korpus-geheim", 1)
    with pytest.raises(RowRejectedError) as caught:
        read_inside(str(tmp_path / "korpus"), "../korpus-geheim/0.mp3")
    assert caught.value.reason == "outside_source"


def test_a_file_above_the_cap_is_not_read(tmp_path):
    (tmp_path / "big.wav").write_bytes(b"x" * 101)
    with pytest.raises(RowRejectedError) as caught:
        read_inside(str(tmp_path), "big.wav", max_bytes=100)
    assert caught.value.reason == "too_large"
    assert read_inside(str(tmp_path), "big.wav", max_bytes=101) == b"x" * 101


def test_a_sparse_file_of_a_terabyte_is_a_rows_problem_and_costs_nothing(tmp_path):
    make_clips(tmp_path, 1)
    with (tmp_path / "huge.mp3").open("wb") as file:
        file.truncate(10**12)
    write_csv(tmp_path / "metadata.csv", [{"file_name": name, "transkription": "x"} for name in ("0.mp3", "huge.mp3")])
    assert [row.problem for row in rows_of(open_source(str(tmp_path), Columns()))] == ["", "too_large"]


def test_metadata_with_other_column_names_is_refused_with_the_remedy(tmp_path):
    make_clips(tmp_path, 1)
    write_csv(tmp_path / "metadata.csv", [{"file_name": "0.mp3", "sentence": "x"}])
    with pytest.raises(SourceError, match="no column 'transkription'") as caught:
        open_source(str(tmp_path), Columns())
    assert caught.value.remedy == "pass --text-column sentence"
    write_csv(tmp_path / "metadata.csv", [{"clip": "0.mp3", "transkription": "x"}])
    with pytest.raises(SourceError, match="no column 'file_name'"):
        open_source(str(tmp_path), Columns())


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("metadata.csv", "file_name,transkription\n0.mp3,x\n1.mp3\n"),
        ("metadata.jsonl", '{"file_name": "0.mp3", "transkription": "x"}\n{"file_name": \n'),
        ("metadata.parquet", "PAR1"),
        ("metadata.csv", ""),
    ],
)
def test_damaged_metadata_is_named(name, content, tmp_path):
    make_clips(tmp_path, 2)
    (tmp_path / name).write_text(content)
    with pytest.raises(SourceError, match=name):
        open_source(str(tmp_path), Columns())


def test_a_folder_where_no_clip_exists_is_refused_before_anything_is_written(tmp_path):
    write_csv(tmp_path / "metadata.csv", [{"file_name": f"{n}.mp3", "transkription": "x"} for n in range(3)])
    with pytest.raises(SourceError, match=r"none of 3 files, '0\.mp3' first"):
        _ = open_source(str(tmp_path), Columns()).splits["train"]


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    root = tmp_path_factory.mktemp("many")
    make_clips(root, 40)
    rows = [{"file_name": f"{n % 40}.mp3", "transkription": f"Satz {n}"} for n in range(2500)]
    write_jsonl(root / "metadata.jsonl", rows)
    return root


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_any_range_is_that_slice_of_all_rows(many, data):
    source = open_source(str(many), Columns())
    start = data.draw(st.integers(0, 2500))
    stop = data.draw(st.integers(start, min(2500, start + 300)))
    rows = list(pickle.loads(pickle.dumps(source.reader("train", start, stop))).rows())
    assert [(row.row_id, row.transkription, len(row.audio)) for row in rows] == [
        (n, f"Satz {n}", n % 40 + 1) for n in range(start, stop)
    ]


def test_blocks_are_a_thousand_clips_with_bytes_from_a_fixed_sample(many):
    layout = open_source(str(many), Columns()).splits["train"]
    assert [block.num_rows for block in layout.blocks] == [1000, 1000, 500]
    assert layout.num_bytes == pytest.approx(2500 * 20.5, rel=0.1)
    assert len(confine.spread(970_064)) == confine.SAMPLED_CLIPS
    assert confine.spread(3) == [0, 1, 2]


def test_a_reader_carries_its_own_rows_only(many):
    assert len(pickle.dumps(open_source(str(many), Columns()).reader("train", 0, 5))) < 2000


def test_the_fingerprint_follows_the_table_and_not_the_place(many, tmp_path):
    def fingerprint(root):
        return open_source(str(root), Columns(source="transkription")).splits["train"].fingerprint

    shutil.copytree(many, tmp_path / "copy", copy_function=shutil.copyfile)
    assert fingerprint(tmp_path / "copy") == fingerprint(many)
    lines = (tmp_path / "copy/metadata.jsonl").read_text().replace('Satz 7"', 'Satz 8"')
    (tmp_path / "copy/metadata.jsonl").write_text(lines)
    assert fingerprint(tmp_path / "copy") != fingerprint(many)


# Common Voice

HEADER = "client_id\tpath\tsentence\tup_votes\n"


@pytest.fixture
def release(tmp_path):
    root = tmp_path / "cv-corpus/de"
    make_clips(root / "clips", 9)
    for name, numbers in (("validated", range(9)), ("train", range(5)), ("dev", (5, 6)), ("test", (7, 8))):
        lines = "".join(f'x\t{n}.mp3\t"Guten Tag", sagte {n}\t2\n' for n in numbers)
        (root / f"{name}.tsv").write_text(HEADER + lines)
    (root / "clip_durations.tsv").write_text("clip\tduration[ms]\n0.mp3\t1000\n")
    (root / "reported.tsv").write_text("sentence_id\tsentence\n1\tx\n")
    return root


def test_a_release_has_its_splits_in_the_usual_order_and_dev_is_validation(release):
    source = open_source(str(release), Columns())
    assert list(source.splits) == ["train", "validation", "test", "validated"]
    assert source.splits["validated"].num_rows == 9


def test_sentences_keep_their_raw_quotes_and_the_source_is_common_voice(release):
    rows = rows_of(open_source(str(release), Columns()), "validation")
    assert [(row.transkription, row.path, row.source, len(row.audio)) for row in rows] == [
        ('"Guten Tag", sagte 5', "5.mp3", "common_voice", 6),
        ('"Guten Tag", sagte 6', "6.mp3", "common_voice", 7),
    ]


def test_an_unbalanced_quote_swallows_no_line(release):
    (release / "train.tsv").write_text(HEADER + 'x\t0.mp3\t"Offen\t2\nx\t1.mp3\tZwei\t2\n')
    assert [row.transkription for row in rows_of(open_source(str(release), Columns()))] == ['"Offen', "Zwei"]


def test_early_releases_name_clips_without_their_suffix(release):
    (release / "train.tsv").write_text(HEADER + "x\t3\tDrei\t2\n")
    row = rows_of(open_source(str(release), Columns()))[0]
    assert (row.path, len(row.audio)) == ("3.mp3", 4)


def test_a_clip_name_cannot_leave_clips(release):
    (release / "train.tsv").write_text(HEADER + "x\t../train.tsv\tEins\t2\nx\t0.mp3\tZwei\t2\n")
    assert [row.problem for row in rows_of(open_source(str(release), Columns()))] == ["outside_source", ""]


def test_a_split_nobody_asks_for_is_not_read(release):
    (release / "other.tsv").write_text(HEADER + "a line that is not complete\n")
    source = open_source(str(release), Columns())
    assert rows_of(source, "train")
    with pytest.raises(SourceError, match=r"other\.tsv"):
        _ = source.splits["other"]


def test_a_release_without_clip_tables_is_refused(release):
    for path in release.glob("*.tsv"):
        path.write_text("client_id\tsentence\n")
    with pytest.raises(SourceError, match="no column 'path'"):
        open_source(str(release), Columns())
