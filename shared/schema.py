"""The store's columns, the feature specification and the fingerprints that tie a store to its origin.

Version 2 identifies a row by (`row_id`, `piece`); version 1 has no `piece`, which then reads as 0. A store goes on in
the version that it was begun in, and one of a later version than this is refused, never guessed at.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Literal

import pyarrow as pa

FORMAT_VERSION = 2
"""What new stores are written in."""
FORMAT_VERSIONS = range(1, FORMAT_VERSION + 1)
"""What is read, verified, trained on and gone on with."""
_SINCE = {"piece": 2}
"""Columns that came with a later version than 1."""

SAMPLING_RATE = 16_000
"""Samples per second of everything after decoding."""
HOP_LENGTH = 160
"""Samples between two frames (10 ms)."""
N_FFT = 400
"""Samples in one analysis window (25 ms)."""
WINDOW_FRAMES = 3_000
"""Frames in Whisper's 30 s window."""
WINDOW_SAMPLES = WINDOW_FRAMES * HOP_LENGTH
MAX_LABELS = 448
"""Whisper's decoder positions: the longest label sequence, special tokens included."""
FEATURE_RANGE = 2.0
"""Whisper clamps log-mel to 8 decades below its maximum; scaled by 1/4 that is a range of exactly 2."""

FeatureDtype = Literal["float16", "uint8"]


class QuarantineReason(StrEnum):
    """Why a row could not be used; the values are written to the quarantine files and never change."""

    NO_AUDIO = "no_audio"
    EMPTY_AUDIO = "empty_audio"
    UNDECODABLE = "undecodable"
    NOT_FINITE = "not_finite"
    TOO_LONG = "too_long"
    TOO_LARGE = "too_large"
    OUTSIDE_SOURCE = "outside_source"
    EMPTY_TRANSCRIPT = "empty_transcript"
    TOO_MANY_LABELS = "too_many_labels"
    TIMESTAMPS = "timestamps"
    SPECIAL_TOKENS = "special_tokens"
    TEST_LEAK = "test_leak"
    CRASHED = "crashed"
    UNSPLITTABLE = "unsplittable"


@dataclass(frozen=True, slots=True)
class FeatureSpec:
    """What one row's `log_mel` payload is: *num_frames* x *num_mel_bins* of *dtype*, in C order."""

    num_mel_bins: int = 128
    dtype: FeatureDtype = "float16"

    @property
    def itemsize(self) -> int:
        """Bytes of one value."""
        return 2 if self.dtype == "float16" else 1

    def payload_bytes(self, num_frames: int) -> int:
        """Bytes of a row's payload with *num_frames* frames."""
        return num_frames * self.num_mel_bins * self.itemsize

    def as_dict(self) -> dict[str, Any]:
        """The specification with Whisper's constants, as it is written to `store.json`."""
        return asdict(self) | {"sampling_rate": SAMPLING_RATE, "hop_length": HOP_LENGTH, "n_fft": N_FFT}


def num_frames_of(num_samples: int, window_frames: int = WINDOW_FRAMES) -> int:
    """Frames that carry signal in a clip of *num_samples* at 16 kHz: `min(ceil((L + 200) / 160), window)`.

    The window is the model's *window_frames*, or the clip's own length where that is longer. Every frame of the window
    after these is one constant, the row's `floor`.
    """
    window = max(window_frames, -(-num_samples // HOP_LENGTH))
    return min(-(-(num_samples + N_FFT // 2) // HOP_LENGTH), window)


def shard_schema(spec: FeatureSpec, version: int = FORMAT_VERSION) -> pa.Schema:
    """Columns of `data/*.parquet`. `log_mel` carries its dtype and shape as field metadata."""
    layout = {"dtype": spec.dtype, "shape": f"num_frames,{spec.num_mel_bins}", "order": "C"}
    fields: list[pa.Field] = [
        pa.field("row_id", pa.int64(), nullable=False),
        pa.field("piece", pa.int16(), nullable=False),
        pa.field("log_mel", pa.binary(), nullable=False, metadata=layout),
        pa.field("num_frames", pa.int32(), nullable=False),
        pa.field("floor", pa.float32(), nullable=False),
        pa.field("labels", pa.list_(pa.field("element", pa.int32(), nullable=False)), nullable=False),
        pa.field("transkription", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("duration", pa.float32(), nullable=False),
        pa.field("path", pa.string(), nullable=False),
        pa.field("crc32", pa.uint32(), nullable=False),
    ]
    return _schema_of(fields, version)


def _schema_of(fields: list[pa.Field], version: int) -> pa.Schema:
    return pa.schema([field for field in fields if version >= _SINCE.get(field.name, 1)])


_QUARANTINE_FIELDS: list[pa.Field] = [
    pa.field("row_id", pa.int64(), nullable=False),
    pa.field("piece", pa.int16(), nullable=False),
    pa.field("path", pa.string(), nullable=False),
    pa.field("reason", pa.string(), nullable=False),
    pa.field("message", pa.string(), nullable=False),
]

_INDEX_FIELDS: list[pa.Field] = [
    pa.field("row_id", pa.int64(), nullable=False),
    pa.field("piece", pa.int16(), nullable=False),
    pa.field("shard", pa.int32(), nullable=False),
    pa.field("offset", pa.int64(), nullable=False),
    pa.field("num_frames", pa.int32(), nullable=False),
    pa.field("floor", pa.float32(), nullable=False),
    pa.field("num_labels", pa.int32(), nullable=False),
    pa.field("labels", pa.list_(pa.field("element", pa.int32(), nullable=False)), nullable=False),
    pa.field("duration", pa.float32(), nullable=False),
    pa.field("source", pa.string(), nullable=False),
]


def quarantine_schema(version: int = FORMAT_VERSION) -> pa.Schema:
    """Columns of `quarantine/*.parquet`: rows that could not be used, and why."""
    return _schema_of(_QUARANTINE_FIELDS, version)


def index_schema(version: int = FORMAT_VERSION) -> pa.Schema:
    """Columns of `index/*.parquet`: where each row's payload lies, and all that a sampler and a loss need besides."""
    return _schema_of(_INDEX_FIELDS, version)


CUTS_SCHEMA = _schema_of(
    [
        pa.field("row_id", pa.int64(), nullable=False),
        pa.field("piece", pa.int16(), nullable=False),
        pa.field("start", pa.int64(), nullable=False),
        pa.field("stop", pa.int64(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("cer", pa.float32(), nullable=False),
        pa.field("margin", pa.int32(), nullable=False),
        pa.field("problem", pa.string(), nullable=False),
    ],
    FORMAT_VERSION,
)
"""Columns of `cuts/*.parquet`: the pieces of recordings that are split, or why one is not."""
QUARANTINE_SCHEMA = quarantine_schema()
"""Those of a new store's quarantine files."""
INDEX_SCHEMA = index_schema()
"""Those of a new store's index files."""


def fingerprint(value: Any) -> str:
    """A stable 16-digit hash of a JSON-serialisable *value*; the same on every machine and run."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return digest_of(text.encode())


def digest_of(content: bytes) -> str:
    """16 digits for *content*, such as a plan names a file by."""
    return hashlib.blake2b(content, digest_size=8).hexdigest()
