"""Folders as strangers make them, and how we and the pinned `datasets` read them."""

import json
from collections import Counter
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile as sf

from preprocess.sources.base import Access, Columns
from preprocess.sources.open import open_source

NOTHING = Access()


def clip(path, number=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    sf.write(path, 0.1 * np.sin(np.arange(400 + number) / 9), 16_000)
    return path


def metadata(folder, names, text="Satz {}", file="metadata.csv"):
    rows = [{"file_name": name, "transkription": text.format(name)} for name in names]
    folder.mkdir(parents=True, exist_ok=True)
    if file.endswith(".jsonl"):
        (folder / file).write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif file.endswith(".parquet"):
        pq.write_table(pa.Table.from_pylist(rows), folder / file)
    else:
        (folder / file).write_text("file_name,transkription\n" + "".join(f"{n},{text.format(n)}\n" for n in names))
    for name in names:
        clip(folder / name)


def parquet(path, texts, audio_type=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    audio_type = audio_type or pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    audio = pa.array([{"bytes": b"RIFF" + text.encode(), "path": None} for text in texts], audio_type)
    pq.write_table(pa.table({"audio": audio, "transkription": pa.array(texts, pa.string())}), path)


def ours(root, access=NOTHING):
    """(file's name, transcript) of each row by split, as we read them; every clip has to be readable."""
    source = open_source(str(root), Columns(), access)
    found = {}
    for split, layout in source.splits.items():
        rows = list(source.reader(split, 0, layout.num_rows).rows())
        assert not [row.problem_message for row in rows if row.problem]
        found[split] = Counter((Path(row.path).name, row.transkription) for row in rows)
    return found


def theirs(root, tmp_path, name=None):
    """The same as `datasets` reads it; its builder is asked, as all of it would encode audio with a torchcodec."""
    builder = datasets.load_dataset_builder(str(root), name, cache_dir=str(tmp_path / "cache"))
    if hasattr(builder, "_generate_tables"):
        loaded = datasets.load_dataset(str(root), name, cache_dir=str(tmp_path / "cache"))
        return {split: Counter(map(read_row, table)) for split, table in loaded.items()}
    found = builder._split_generators(datasets.DownloadManager())
    examples = {split.name: builder._generate_examples(**split.gen_kwargs) for split in found}
    read = {str(split): Counter(read_row(row) for _, row in rows) for split, rows in examples.items()}
    return {split: rows for split, rows in read.items() if rows}


def read_row(row):
    audio = row["audio"]["path"] or "" if isinstance(row["audio"], dict) else row["audio"]
    return Path(audio).name, row["transkription"]


def card(root, yaml):
    (root / "README.md").write_text(f"---\n{yaml}\n---\n# Korpus\n")


HEADER = "client_id\tpath\tsentence\tup_votes\n"


def release(root, **tables):
    """A Common Voice release; each table's lines name clip 0.mp3, 1.mp3 …"""
    for number in range(8):
        clip(root / f"clips/{number}.wav").rename(root / f"clips/{number}.mp3")
    for name in tables or ("train", "dev", "test", "validated", "other", "invalidated"):
        lines = tables.get(name) or "".join(f"x\t{n}.mp3\tSatz {n}\t2\n" for n in range(4))
        (root / f"{name}.tsv").write_text(HEADER + lines, newline="")
