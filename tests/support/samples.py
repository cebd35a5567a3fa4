"""Small stores and sources made by the project's own code, for tests of what reads them."""

import io
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile

from preprocess.workspace.dataset_card import dataset_card
from shared.index import write_complete, write_index
from shared.layout import SplitRecord, StoreLayout, StoreRecord
from shared.membership import Place
from shared.schema import SAMPLING_RATE, FeatureSpec
from shared.shard import FeatureRow, QuarantinedRow, ShardWriter, write_quarantine
from shared.system.durable import json_bytes

SPEC = FeatureSpec(8, "float16")
Unit = Sequence[FeatureRow | QuarantinedRow]


def feature_row(row_id: int, num_frames: int = 5, spec: FeatureSpec = SPEC, **values) -> FeatureRow:
    """A row whose payload is noise that only *row_id* decides."""
    noise = np.random.default_rng(row_id)
    payload = noise.bytes(num_frames * spec.num_mel_bins)
    if spec.dtype == "float16":
        payload = noise.uniform(-1.5, 0.5, (num_frames, spec.num_mel_bins)).astype("<f2").tobytes()
    defaults = {
        "floor": -1.5,
        "labels": [50258, 50261, row_id, 50257],
        "transkription": f"Satz {row_id}: schöne Grüße",
        "source": f"korpus {row_id % 3}",
        "duration": num_frames / 100,
        "path": f"clip{row_id}.wav",
    }
    return FeatureRow(row_id, payload, num_frames, **(defaults | values))


def quarantined_row(row_id: int, reason: str = "undecodable") -> QuarantinedRow:
    return QuarantinedRow(row_id, f"clip{row_id}.wav", reason, "no sound in it")


def write_shard(path: Path, rows: Sequence[FeatureRow], metadata: Mapping[str, str], spec=SPEC, **options) -> Path:
    with ShardWriter(path.with_suffix(".partial"), spec, **options) as writer:
        for row in rows:
            writer.append(row)
        writer.seal(metadata)
        writer.publish(path)
    return path


def counts(rows_in: int, rows_out: int, plan_digest: str = "plan") -> dict[str, str]:
    """The metadata by which a shard accounts for its rows."""
    numbers = {"rows_in": rows_in, "rows_out": rows_out, "rows_quarantined": rows_in - rows_out}
    return {name: str(number) for name, number in numbers.items()} | {"plan_digest": plan_digest}


def split_record(units: Sequence[Unit], digest: str = "plan") -> SplitRecord:
    """A plan in which every unit has the source rows that it lists, counted from 0 on."""
    bounds = tuple(accumulate(map(len, units), initial=0)) if units else ()
    return SplitRecord(digest, len(units), bounds[-1] if units else 0, 10, "train", "fingerprint", row_bounds=bounds)


def store_record(splits: Mapping[str, Sequence[Unit]], spec: FeatureSpec = SPEC, tokenizer="tokenizer") -> StoreRecord:
    records = {name: split_record(units) for name, units in splits.items()}
    return StoreRecord("0123456789abcdef", spec, tokenizer, "de", "a test", records)


def make_store(
    root: Path, splits: Mapping[str, Sequence[Unit]], spec: FeatureSpec = SPEC, *, tokenizer="tokenizer", **options
) -> StoreLayout:
    """A finished store: *splits* name their units, each of which is the rows that went in."""
    layout, record = StoreLayout(root), store_record(splits, spec, tokenizer)
    for folder in (layout.data, layout.quarantine, layout.partial):
        folder.mkdir(parents=True)
    layout.record.write_bytes(json_bytes(record.as_dict()))
    (layout.root / "README.md").write_text(dataset_card(record))
    for name, units in splits.items():
        for number, unit in enumerate(units):
            write_unit(Place(layout, name, number, record.splits[name]), unit, spec=spec, **options)
    finish_store(layout, record)
    layout.partial.rmdir()
    return layout


def write_unit(place: Place, unit: Unit, *, spec=SPEC, **options) -> None:
    """Commits *unit* as a worker does: its quarantined rows, then its shard."""
    rows = [row for row in unit if isinstance(row, FeatureRow)]
    rejected = [row for row in unit if isinstance(row, QuarantinedRow)]
    if rejected:
        write_quarantine(place.layout.partial / "quarantine", place.quarantined, rejected)
    write_shard(place.shard, rows, place.metadata | counts(len(unit), len(rows)), spec, **options)


def exchange_shards(first: Path, second: Path, *, swap: bool) -> None:
    """Puts *first* in the place of *second*, and with *swap* also the other way round."""
    content = second.read_bytes()
    second.write_bytes(first.read_bytes())
    if swap:
        first.write_bytes(content)


def finish_store(layout: StoreLayout, record: StoreRecord) -> None:
    """Indexes every split and marks the store complete."""
    totals = {name: write_index(layout, name, split, record.features) for name, split in record.splits.items()}
    write_complete(layout, record, totals)


def wav(num_samples: int = 1_600, sampling_rate: int = SAMPLING_RATE, *, seed: int = 0) -> bytes:
    """A WAV file of soft noise."""
    samples = np.random.default_rng(seed).normal(0, 0.1, num_samples).astype(np.float32)
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, sampling_rate, format="WAV", subtype="PCM_16")
    return buffer.getvalue()


AUDIO = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def write_source(path: Path, rows, row_group_size: int = 10) -> Path:
    """A Parquet file in the Hub's layout; *rows* are (audio bytes or None, path, transcript)."""
    table = pa.table(
        {
            "audio": pa.array([{"bytes": audio, "path": name} for audio, name, _ in rows], AUDIO),
            "transkription": pa.array([text for _, _, text in rows], pa.string()),
            "source": pa.array([f"korpus {number % 3}" for number in range(len(rows))]),
        }
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=row_group_size)
    return path
