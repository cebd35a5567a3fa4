"""The store as a data set: opened through its index, and checked against the model before anything is trained."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from shared.errors import InterruptedRunError, StoreError, UsageError, first_line
from shared.index import VERIFY, read_complete
from shared.layout import StoreLayout, StoreRecord, read_record
from shared.store import StoreSplit, open_split
from shared.text import Labeller, tokenizer_fingerprint
from shared.units import format_counted
from trainer.data.rows import Rows

WAIT_SECONDS = 1.0
"""How often an incomplete store is looked at again; whoever asks for a stop waits no longer."""
_CHECKED_ROWS = 64
"""Rows whose labels are made again where the tokenizer's file is another one."""
_EVAL_SPLITS = ("test", "validation")
PROMPT_LABELS = 4
"""A store's labels begin with start, language, task and timestamps tokens: the prompt."""
_SUBSET_SEED = 20_240_601
"""The monitored subset is the same for every run, whatever its seed."""


def open_for_training(
    store: Path,
    split: str,
    *,
    wait: bool,
    tell: Callable[[str], None],
    check_rows: bool = True,
    stop: Callable[[], bool] = lambda: False,
    sleep: Callable[[float], None] = time.sleep,
) -> StoreSplit:
    """*split*, trained or evaluated on, of the finished *store*, its shards looked at; *check_rows* is `StoreSplit`'s.

    With *wait* an unfinished one is waited for, its progress told when it moves; a split that will not come is not.
    Raises StoreError as `open_split` and `StoreSplit.check_shards` do, InterruptedRunError once *stop* says so while it
    waits.
    """
    told = ""
    while wait and (progress := _progress(store, split)) is not None:
        if stop():
            message = f"stopped while waiting for the store: {progress}"
            raise InterruptedRunError(message, "the same command waits again, or trains once the store is complete")
        if progress != told:
            tell(f"waiting for the store: {progress}")
            told = progress
        sleep(WAIT_SECONDS)
    opened = open_split(store, split, check_rows=check_rows)
    opened.check_shards()
    return opened


def _progress(store: Path, split: str) -> str | None:
    """How far *split* is in words; None when it is complete, or is not going to be in this store."""
    layout = StoreLayout(store)
    if not layout.record.exists():
        return f"{store} is not there yet"
    record = read_record(layout)
    if split not in record.splits or split in read_complete(layout):
        return None
    units = record.splits[split].num_units
    return f"{len(layout.committed(split, units))} of {format_counted(units, 'shard')} of {split!r}"


def evaluation_split(record: StoreRecord, named: str | None) -> str | None:
    """The split to evaluate on: *named*, else test, else validation; None where there is none."""
    return named or next((name for name in _EVAL_SPLITS if name in record.splits), None)


def evaluation_splits(splits: Sequence[StoreSplit], named: str | None) -> list[tuple[Path, str]]:
    """Store and name of each split to evaluate on, of the stores that *splits* are trained on: of one name in all.

    That is *named*, else test, else validation, as far as the stores have it; where none has what was *named*, all.
    """
    names = (named,) if named else _EVAL_SPLITS
    for name in names:
        if found := [(split.root, name) for split in splits if name in split.record.splits]:
            return found
    return [(split.root, named) for split in splits] if named else []


def monitored_rows(split: Rows, count: int) -> list[int]:
    """*count* rows of *split*, the same ones every time; all of them where there are no more."""
    if count >= len(split):
        return list(range(len(split)))
    chosen = np.random.default_rng(_SUBSET_SEED).choice(len(split), count, replace=False)
    return sorted(int(row) for row in chosen)


def check_split(split: StoreSplit, config: Any, tokenizer_json: str, *, allow_long_context: bool) -> None:
    """Raises UsageError where *split* does not fit the model with *config* and *tokenizer_json*.

    What has to fit: mel bins, tokenizer, label length, every label in the vocabulary; and no clip is longer than 30 s
    without *allow_long_context*.
    """
    bins = split.spec.num_mel_bins
    if bins != config.num_mel_bins:
        remedy = f"choose a model with {bins} bins, or prepare the store with --model of this one"
        raise UsageError(f"{split.root}: the store has {bins} mel bins, the model takes {config.num_mel_bins}", remedy)
    longest = int(split.num_labels.max(initial=0))
    if longest > config.max_target_positions:
        found = f"{split.root}: a row of {split.name!r} has {format_counted(longest, 'label')}"
        message = f"{found}, the model's decoder takes {config.max_target_positions}"
        raise UsageError(message, "choose a model with more positions, or prepare the store with --model of this one")
    if tokenizer_fingerprint(tokenizer_json) != split.record.tokenizer:
        _check_tokenizer(split, Labeller(tokenizer_json, split.record.language))
    _check_vocabulary(split, config.vocab_size)
    too_long = int(np.count_nonzero(split.num_frames > config.window_frames))
    if too_long and not allow_long_context:
        seconds = f"{config.limits.window_seconds:g}"
        clips = f"{format_counted(too_long, 'clip')} of up to {float(split.duration.max()):.1f} s"
        found = f"{split.root}: {split.name!r} has {clips}, longer than the {seconds} s"
        remedy = f"--allow-long-context trains on them, or prepare with --max-duration {seconds}"
        raise UsageError(f"{found} that the model was made for", remedy)


def _check_vocabulary(split: StoreSplit, vocab_size: int) -> None:
    # Read as unsigned, a negative label is larger than any vocabulary.
    for place in np.flatnonzero(split.label_values.view(np.uint32) >= vocab_size)[:1].tolist():
        row = int(np.searchsorted(split.label_offsets, place, side="right")) - 1
        found = f"{split.root}: row {split.row_id[row]} of {split.name!r} has the label {split.label_values[place]}"
        remedy = f"choose the model whose tokenizer the store was prepared with; where it is this one: {VERIFY}"
        raise UsageError(f"{found}, and the model's vocabulary ends at {vocab_size - 1}", remedy)


def _check_tokenizer(split: StoreSplit, labeller: Labeller) -> None:
    """The same tokenizer saved by other software is another file: what counts is that it makes the same labels."""
    for text, labels in first_texts(split):
        if labeller(text) != labels:
            message = f"{split.root}: the model's tokenizer makes other labels of {text!r} than the store has"
            raise UsageError(message, "choose the model whose tokenizer the store was prepared with")


def first_texts(split: StoreSplit) -> list[tuple[str, list[int]]]:
    """Transcripts and labels of some rows of *split*, from the first shard that has any. Raises StoreError."""
    if not len(split):
        return []
    path = split.shard_path(split.shard_of(0))
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            table = next(file.iter_batches(_CHECKED_ROWS, columns=["transkription", "labels"]))
    except (OSError, ValueError, KeyError, StopIteration, pa.ArrowException) as error:
        raise StoreError(f"{path} cannot be read: {first_line(error)}", VERIFY) from error
    return list(zip(table["transkription"].to_pylist(), table["labels"].to_pylist(), strict=True))


def require_rows(split: Rows, rows: int) -> None:
    """Raises UsageError where *split* has fewer than *rows* rows."""
    if len(split) < rows:
        message = f"{split.name!r} has {format_counted(len(split), 'row')}, one step takes {rows}"
        raise UsageError(message, "lower --global-batch-size, or prepare more rows")
