"""Parquet in the Hub's layout: footers give the plan, readers give any range, and damage is named."""

import os
import pickle
import shutil
from dataclasses import dataclass, field, replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preprocess.sources.base import BATCH_BYTES, Columns, SourceRow
from preprocess.sources.open import open_source
from preprocess.sources.parquet import open_local_parquet
from preprocess.sources.parquet_files import LocalFiles
from preprocess.sources.parquet_reader import (
    LARGE_GROUP_BYTES,
    MAX_BATCH_ROWS,
    REPEATED_BATCH_BYTES,
    LocalDisk,
    batch_rows,
)
from shared.errors import SourceError, SpeechPrepError

AUDIO = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def table(rows, *, source=True):
    columns = {
        "audio": pa.array([audio for audio, _ in rows], AUDIO),
        "transkription": pa.array([text for _, text in rows], pa.string()),
        "speaker": pa.array(["Anna"] * len(rows)),
    }
    if source:
        columns["source"] = pa.array([f"korpus {number % 3}" for number in range(len(rows))])
    return pa.table(columns)


def clips(count, first=0, num_bytes=20):
    return [
        ({"bytes": bytes([n % 251]) * num_bytes, "path": f"clip{n}.wav"}, f"Satz {n}: schöne Grüße")
        for n in range(first, first + count)
    ]


def write(path, rows, row_group_size=4, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table(rows), path, row_group_size=row_group_size, **options)
    return path


def rows_of(source, split="train", start=0, stop=None):
    stop = source.splits[split].num_rows if stop is None else stop
    return list(source.reader(split, start, stop).rows())


@pytest.fixture(scope="module")
def hub_layout(tmp_path_factory):
    root = tmp_path_factory.mktemp("korpus")
    write(root / "data/train-00000-of-00002.parquet", clips(10))
    write(root / "data/train-00001-of-00002.parquet", clips(7, first=10), row_group_size=3)
    write(root / "data/test-00000-of-00001.parquet", clips(2, first=50))
    return root


def test_blocks_are_row_groups_with_the_audio_columns_bytes(hub_layout):
    layout = open_source(str(hub_layout), Columns()).splits["train"]
    assert [block.num_rows for block in layout.blocks] == [4, 4, 2, 3, 3, 1]
    group = pq.read_metadata(hub_layout / "data/train-00000-of-00002.parquet").row_group(0)
    chunks = [group.column(index) for index in range(group.num_columns)]
    expected = sum(c.total_uncompressed_size for c in chunks if c.path_in_schema.startswith("audio."))
    assert layout.blocks[0].num_bytes == expected


def test_rows_carry_id_bytes_path_text_and_source(hub_layout):
    row = rows_of(open_source(str(hub_layout), Columns()), start=11, stop=12)[0]
    assert row == SourceRow(11, bytes([11]) * 20, "clip11.wav", "Satz 11: schöne Grüße", "korpus 1")


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_range_is_that_slice_of_all_rows(hub_layout, data):
    source = open_source(str(hub_layout), Columns())
    start = data.draw(st.integers(0, 17))
    stop = data.draw(st.integers(start, 17))
    assert rows_of(source, start=start, stop=stop) == rows_of(source)[start:stop]


def test_a_range_far_inside_a_big_row_group_is_that_slice(tmp_path):
    write(tmp_path / "a.parquet", clips(5000), row_group_size=5000)
    rows = rows_of(open_source(str(tmp_path), Columns()), start=4100, stop=4103)
    assert [row.path for row in rows] == ["clip4100.wav", "clip4101.wav", "clip4102.wav"]


def test_a_reader_survives_pickling_and_holds_no_open_file(hub_layout):
    reader = open_source(str(hub_layout), Columns()).reader("train", 3, 12)
    assert list(pickle.loads(pickle.dumps(reader)).rows()) == list(reader.rows())
    assert len(pickle.dumps(reader)) < 2000


def test_a_batch_is_about_eight_megabytes_of_audio_and_at_least_one_row():
    assert batch_rows(10, 10_000_000) == min(BATCH_BYTES, REPEATED_BATCH_BYTES // 10) // 1_000_000
    assert batch_rows(10, 100_000_000_000) == 1
    assert batch_rows(10_000, 10_000) == MAX_BATCH_ROWS


@given(st.integers(1, 10**6), st.integers(1, 10**12), st.integers(1, 10**8))
def test_a_batch_of_nothing_but_the_same_clip_stays_small_too(num_rows, audio_bytes, batch_bytes):
    rows = batch_rows(num_rows, audio_bytes, batch_bytes)
    assert rows == 1 or rows * audio_bytes <= REPEATED_BATCH_BYTES


def test_rows_without_a_source_column_carry_the_data_sets_name(tmp_path):
    root = tmp_path / "mein-korpus"
    root.mkdir()
    pq.write_table(table(clips(2), source=False), root / "a.parquet")
    assert [row.source for row in rows_of(open_source(str(root), Columns()))] == ["mein-korpus"] * 2


def test_other_column_names_are_read_where_they_are_named(tmp_path):
    renamed = table(clips(3)).rename_columns(["ton", "text", "speaker", "herkunft"])
    pq.write_table(renamed, tmp_path / "a.parquet")
    row = rows_of(open_source(str(tmp_path), Columns("ton", "text", "herkunft")))[1]
    assert (row.audio, row.transkription, row.source) == (bytes([1]) * 20, "Satz 1: schöne Grüße", "korpus 1")


def test_every_file_is_checked_not_only_the_first(tmp_path):
    write(tmp_path / "a.parquet", clips(2))
    pq.write_table(table(clips(2)).rename_columns(["audio", "text", "speaker", "source"]), tmp_path / "b.parquet")
    with pytest.raises(SourceError, match=r"b\.parquet has no column 'transkription'"):
        open_source(str(tmp_path), Columns())


def test_an_unknown_split_is_answered_with_those_there_are(hub_layout):
    with pytest.raises(SourceError) as caught:
        open_source(str(hub_layout), Columns()).reader("dev", 0, 1)
    assert "train, test" in caught.value.remedy


# Rows without bytes


def test_a_row_without_bytes_reads_its_file_inside_the_data_set_only(tmp_path):
    root = tmp_path / "korpus"
    outside = tmp_path / "geheim.wav"
    outside.write_bytes(b"geheim")
    rows = clips(1)
    names = [
        "clips/a.wav",
        "../geheim.wav",
        str(outside),
        "link.wav",
        "linked/geheim.wav",
        "gone.wav",
        "",
        None,
        "fifo",
    ]
    rows += [({"bytes": None, "path": name}, "Text") for name in names] + [(None, "Text")]
    write(root / "a.parquet", rows, row_group_size=100)
    (root / "clips").mkdir()
    (root / "clips/a.wav").write_bytes(b"RIFF")
    (root / "link.wav").symlink_to(outside)
    (root / "linked").symlink_to(tmp_path)
    os.mkfifo(root / "fifo")
    found = rows_of(open_source(str(root), Columns()))[1:]
    assert (found[0].audio, found[0].problem) == (b"RIFF", "")
    assert [row.problem for row in found[1:]] == ["outside_source"] * 4 + ["no_audio"] * 5
    assert all(row.audio is None and row.problem_message for row in found[1:])


def test_only_paths_and_no_files_is_refused_at_open_with_the_remedy(tmp_path):
    rows = [({"bytes": None, "path": f"/home/anna/clip{n}.wav"}, "Text") for n in range(9)]
    for options in ({}, {"write_statistics": False}):
        write(tmp_path / "a.parquet", rows, **options)
        with pytest.raises(SourceError, match="every `bytes` is null") as caught:
            open_source(str(tmp_path), Columns())
        assert "cast_column" in caught.value.remedy
        assert "embed_external_files" in caught.value.remedy


def test_paths_to_files_inside_count_the_files_bytes(tmp_path):
    rows = [({"bytes": None, "path": f"{n}.wav"}, "Text") for n in range(9)]
    write(tmp_path / "a.parquet", rows)
    for number in range(9):
        (tmp_path / f"{number}.wav").write_bytes(b"x" * 100_000)
    source = open_source(str(tmp_path), Columns())
    assert 9 * 100_000 <= source.splits["train"].num_bytes <= 9 * 100_100
    assert [len(row.audio) for row in rows_of(source)] == [100_000] * 9


# Damage


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + b"x" * 100 + b"PAR1", b"no parquet at all" * 10])
def test_a_file_with_a_bad_footer_is_named(content, tmp_path):
    (tmp_path / "train.parquet").write_bytes(content)
    with pytest.raises(SourceError, match=r"train\.parquet cannot be opened as Parquet"):
        open_source(str(tmp_path), Columns())


def test_a_truncated_file_is_named(tmp_path):
    path = write(tmp_path / "train.parquet", clips(50))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(SourceError, match=r"train\.parquet"):
        open_source(str(tmp_path), Columns())


def test_a_file_without_rows_is_named(tmp_path):
    write(tmp_path / "train.parquet", [])
    with pytest.raises(SourceError, match=r"train\.parquet holds no rows"):
        open_source(str(tmp_path), Columns())


def test_a_damaged_page_names_file_and_row_group_and_spoils_no_other_row_group(tmp_path):
    path = write(tmp_path / "train.parquet", clips(40, num_bytes=500), row_group_size=10, write_page_checksum=True)
    source = open_source(str(tmp_path), Columns())
    chunk = pq.read_metadata(path).row_group(2).column(0)
    with path.open("r+b") as file:
        file.seek((chunk.dictionary_page_offset or chunk.data_page_offset) + chunk.total_compressed_size - 20)
        file.write(b"\xff" * 20)
    assert len(rows_of(source, start=0, stop=20)) == 20
    assert len(rows_of(source, start=30, stop=40)) == 10
    with pytest.raises(SpeechPrepError, match=r"train\.parquet, row group 2, cannot be read"):
        rows_of(source, start=18, stop=32)


def test_a_file_that_is_gone_when_it_is_read_is_named(tmp_path):
    path = write(tmp_path / "train.parquet", clips(4))
    reader = open_source(str(tmp_path), Columns()).reader("train", 0, 4)
    path.unlink()
    with pytest.raises(SourceError, match=r"train\.parquet"):
        list(reader.rows())


# Fingerprints


def fingerprint_of(root):
    return open_source(str(root), Columns()).splits["train"].fingerprint


def test_a_copy_elsewhere_with_new_times_has_the_same_fingerprint(hub_layout, tmp_path):
    shutil.copytree(hub_layout, tmp_path / "copy", copy_function=shutil.copyfile)
    assert fingerprint_of(tmp_path / "copy") == fingerprint_of(hub_layout)
    assert fingerprint_of(f"{hub_layout}/data/*.parquet") == fingerprint_of(hub_layout)


def test_another_row_another_file_or_another_name_changes_the_fingerprint(hub_layout, tmp_path):
    seen = {fingerprint_of(hub_layout)}
    for number, change in enumerate(
        (
            lambda root: write(root / "data/train-00001-of-00002.parquet", clips(7, first=11), row_group_size=3),
            lambda root: write(root / "data/train-00001-of-00002.parquet", clips(7, first=10), row_group_size=4),
            lambda root: (root / "data/train-00001-of-00002.parquet").unlink(),
            lambda root: (root / "data/train-00001-of-00002.parquet").rename(
                root / "data/train-00001-of-00003.parquet"
            ),
        )
    ):
        root = tmp_path / str(number)
        shutil.copytree(hub_layout, root)
        change(root)
        seen.add(fingerprint_of(root))
    assert len(seen) == 5


# Size


def test_a_data_set_of_970064_rows_in_273_files_opens_from_its_footers(tmp_path):
    whole, last = 3554, 970_064 - 272 * 3554
    big = tmp_path / "big.parquet"
    pq.write_table(table(clips(whole, num_bytes=1)), big, row_group_size=100)
    names = [f"train-{number:05}-of-00273.parquet" for number in range(273)]
    for name in names[:-1]:
        (tmp_path / name).hardlink_to(big)
    pq.write_table(table(clips(last, num_bytes=1)), tmp_path / names[-1], row_group_size=100)
    source = open_local_parquet("big", LocalFiles(tmp_path, {"train": names}), Columns())
    assert source.splits["train"].num_rows == 970_064
    assert [row.row_id for row in rows_of(source, start=970_060, stop=970_064)] == [970_060, 970_061, 970_062, 970_063]


@dataclass(frozen=True)
class Watched(LocalDisk):
    """The local disk, which remembers what it was told to forget."""

    forgotten: list = field(default_factory=list)

    def forget(self, path, start, num_bytes):
        super().forget(path, start, num_bytes)
        self.forgotten.append((path, start, num_bytes))


@pytest.mark.parametrize(("clip_bytes", "large"), [(LARGE_GROUP_BYTES // 4, True), (1_000, False)])
def test_a_large_row_group_does_not_stay_in_the_page_cache(tmp_path, clip_bytes, large):
    path = write(tmp_path / "train.parquet", clips(4, num_bytes=clip_bytes), compression="none", use_dictionary=False)
    disk = Watched()
    reader = replace(open_source(str(path), Columns()).reader("train", 1, 3), files=disk)
    assert [row.row_id for row in reader.rows()] == [1, 2]
    group = pq.read_metadata(path).row_group(0)
    packed = sum(group.column(index).total_compressed_size for index in range(group.num_columns))
    assert disk.forgotten == ([(str(path), 4, packed)] if large else [])
