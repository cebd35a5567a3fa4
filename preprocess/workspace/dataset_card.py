"""The store's README.md: a dataset card that `datasets.load_dataset(STORE)` reads, and a person too."""

from shared.layout import StoreRecord
from shared.schema import HOP_LENGTH, N_FFT, SAMPLING_RATE


def dataset_card(record: StoreRecord) -> str:
    """Markdown with the splits as YAML `data_files`, what the columns hold, and how the store was made."""
    # In order of name: `store.json` does not keep another, and a resumed run writes the same card.
    names = sorted(record.splits)
    # `datasets` refuses a pattern that matches no file.
    written = [name for name in names if record.splits[name].num_units]
    files = "".join(f"  - split: {name}\n    path: data/{name}-*.parquet\n" for name in written)
    splits = "\n".join(f"- `{name}`: {record.splits[name].num_rows:,} source rows" for name in names)
    features = record.features
    return f"""---
configs:
- config_name: default
  data_files:
{files}---
# Log-mel features for Whisper

Source: `{record.source}`, {record.language}. Made by `python -m preprocess.run`; `settings.json` has the settings.

{splits}

Each row holds one clip: `log_mel` is {features.dtype}, C order, `num_frames` x {features.num_mel_bins} ({SAMPLING_RATE}
Hz, {N_FFT} samples a window, {HOP_LENGTH} a frame), **not padded**: every further frame of Whisper's 30 s window is
the constant `floor`. For uint8, `log_mel = floor + value * 2 / 255`. `labels` are the decoder's token ids with their
special tokens, `transkription` is the text that they came from, `duration` is in seconds, `crc32` covers the payload.
Rows that could not be used are in `quarantine/`, with their reasons; `index/` says where each payload lies.

```python
import numpy as np, pyarrow.parquet as pq
row = pq.ParquetFile("data/NAME.parquet").read_row_group(0).slice(0, 1).to_pylist()[0]
log_mel = np.frombuffer(row["log_mel"], "{features.dtype}").reshape(row["num_frames"], {features.num_mel_bins})
```
"""
