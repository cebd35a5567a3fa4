"""Shards that change: what is read of them is what was written, or an error names it."""

import os
import pickle
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shared.errors import StoreError
from shared.layout import StoreLayout
from shared.membership import Place
from shared.store import open_split
from tests.support.samples import feature_row, make_store, store_record, write_unit
from trainer.data.clips import Clip, Clips
from trainer.data.collate import collate
from trainer.evaluation.transcribe import windows

UNITS = [[feature_row(0), feature_row(1, 9)], [feature_row(2, 7), feature_row(3, 4)]]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("whole") / "store", {"train": UNITS}, row_group_bytes=1).root


@pytest.fixture
def root(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "store")


def shard(root, number=1):
    return root / f"data/train-{number:05}-of-00002.parquet"


def flip(path, place):
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def flip_payload(root, row):
    """Changes the last byte of *row*'s features, which are in the shard as they are."""
    unit, payload = row // 2, UNITS[row // 2][row % 2].payload
    path = shard(root, unit)
    flip(path, path.read_bytes().index(payload) + len(payload) - 1)
    return path


def batch(split):
    return collate(split, Clips.of([Clip(row, 16) for row in range(len(split))]))


READERS = {
    "micro-batches": batch,
    "windows of an evaluation": lambda split: windows(split, range(4)),
    "single rows": lambda split: [split.payload(row) for row in range(-4, 0)],
}


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
@pytest.mark.parametrize("row", range(4))
def test_a_flipped_byte_is_told_with_its_row_file_clip_and_remedy(root, read, row):
    path = flip_payload(root, row)
    split = open_split(root, "train")
    split.check_shards()
    said = rf"row {row} of 'train' \('clip{row}\.wav'\) fails its checksum: {path} .*\n.*preprocess\.verify.*--repair"
    with pytest.raises(StoreError, match=said):
        read(split)


def test_a_byte_that_changes_under_the_map_is_told(root):
    split = open_split(root, "train")
    batch(split)
    payload = UNITS[1][0].payload
    with shard(root).open("r+b") as file:
        file.seek(shard(root).read_bytes().index(payload))
        file.write(bytes([payload[0] ^ 1]))
    with pytest.raises(StoreError, match="row 2 of 'train'"):
        batch(split)


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_without_the_check_rows_are_read_as_they_are(root, read):
    flip_payload(root, 2)
    split = open_split(root, "train", check_rows=False)
    assert read(split) is not None
    assert not pickle.loads(pickle.dumps(split)).check_rows
    assert pickle.loads(pickle.dumps(open_split(root, "train"))).check_rows


OTHERS = {
    "row_id": feature_row(9, 7, labels=[50258, 50261, 2, 50257], source="korpus 2"),
    "num_frames": feature_row(2, 8, duration=0.07),
    "floor": feature_row(2, 7, floor=-1.25),
    "duration": feature_row(2, 7, duration=5.0),
    "source": feature_row(2, 7, source="korpus 1"),
    "num_labels": feature_row(2, 7, labels=[50258, 50257]),
    "other labels": feature_row(2, 7, labels=[50258, 50261, 9, 50257]),
}


@pytest.mark.parametrize("column", OTHERS)
def test_a_shard_of_other_rows_than_were_indexed_is_refused(root, column):
    """Its own pages and checksums are right."""
    other = StoreLayout(root.parent / "other")
    other.data.mkdir(parents=True)
    planned = store_record({"train": UNITS}).splits["train"]
    write_unit(Place(other, "train", 1, planned), [OTHERS[column], UNITS[1][1]], row_group_bytes=1)
    shutil.copy(shard(other.root), shard(root))
    split = open_split(root, "train")
    with pytest.raises(StoreError, match=rf"{shard(root)} is not the shard that was indexed: {column} .*\n.*verify"):
        split.log_mel(2)
    assert split.payload(0) == UNITS[0][0].payload


def test_a_shard_without_checksums_is_named(root):
    pq.write_table(pq.read_table(shard(root)).drop_columns("crc32"), shard(root))
    with pytest.raises(StoreError, match=f"{shard(root)}"):
        open_split(root, "train").payload(2)


def test_a_shard_with_rows_missing_is_named(root):
    pq.write_table(pq.read_table(shard(root)).slice(0, 1), shard(root))
    with pytest.raises(StoreError, match=rf"{shard(root)} is not the shard that was indexed: 1 row, the index has 2"):
        open_split(root, "train").payload(2)


def test_a_shard_whose_pages_are_compressed_is_named(root):
    schema = pq.read_schema(shard(root))
    pq.write_table(pa.table(pq.read_table(shard(root)), schema=schema), shard(root), compression="zstd")
    with pytest.raises(StoreError, match=f"{shard(root)}"):
        open_split(root, "train").payload(2)


def test_places_outside_a_shard_are_refused_on_both_sides(root):
    """Whatever an index says: it is looked at where it is used, too."""
    shards = open_split(root, "train", check_rows=False)._shards
    length = shard(root).stat().st_size
    assert shards.addresses(np.array([1]), np.array([length - 8]), np.array([8])) > 0
    places = [(-8, 4), (-(1 << 62), 8), (0, -1), (8, -1), (length - 7, 8), (0, length + 1), ((1 << 63) - 4, 8)]
    for offset, size in places:
        with pytest.raises(StoreError, match=f"{shard(root)} is cut off"):
            shards.addresses(np.array([1]), np.array([offset]), np.array([size]))
        with pytest.raises(StoreError, match=f"{shard(root)} is cut off"):
            shards.payload(1, offset, size)


# Cut off while it is mapped: reading on would end the process with a bus error.

AGAIN = READERS | {
    "a view": lambda split: [split.log_mel(row).sum() for row in range(4)],
    "places": lambda split: split.payloads(np.arange(4)),
}


@pytest.mark.parametrize("check_rows", [True, False])
@pytest.mark.parametrize("size", [None, 0, 100, -1])
@pytest.mark.parametrize("read", AGAIN.values(), ids=AGAIN)
def test_a_shard_cut_off_while_it_is_mapped_is_named_and_nothing_of_it_is_read(root, read, size, check_rows):
    split = open_split(root, "train", check_rows=check_rows)
    read(split)
    path = shard(root)
    if size is None:
        path.unlink()
    else:
        os.truncate(path, size % path.stat().st_size)
    with pytest.raises(StoreError, match=rf"{path} (was cut off|cannot be read any more)[\s\S]*preprocess\.verify"):
        read(split)
    assert split.payload(1) == UNITS[0][1].payload


def test_a_shard_that_was_cut_off_and_filled_up_again_is_told_by_its_rows(root):
    split = open_split(root, "train")
    batch(split)
    size = shard(root).stat().st_size
    os.truncate(shard(root), 0)
    os.truncate(shard(root), size)
    with pytest.raises(StoreError, match="row 2 of 'train' fails its checksum"):
        batch(split)
