"""Recordings as a person has them, made here; what ffmpeg decodes of them is the right value to compare with."""

import subprocess
from pathlib import Path

import numpy as np
import soundfile

from preprocess.audio.decode import DecodeLimits, decode_native
from preprocess.sources.base import Columns
from preprocess.sources.open import open_source

LIMITS = DecodeLimits(max_seconds=3_600)


def record(path: Path, seconds: float = 1.0, rate: int = 16_000, channels: int = 1, seed: int = 0) -> Path:
    """A WAV, or what else the name ends in, of noise that is different in every sample and channel."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(-8_000, 8_000, (round(seconds * rate), channels)).astype(np.int16)
    if path.suffix.lower() in {".wav", ".flac"}:
        soundfile.write(path, noise, rate, subtype="PCM_16", format=path.suffix[1:].upper())
        return path
    wav = path.with_suffix(".source.wav")
    soundfile.write(wav, noise, rate, subtype="PCM_16")
    ffmpeg("-i", wav, path)
    wav.unlink()
    return path


def ffmpeg(*arguments: object) -> bytes:
    """What `ffmpeg` writes to stdout."""
    command = ["ffmpeg", "-hide_banner", "-loglevel", "error", "-y", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True).stdout


def heard(path: Path, first: int = 0, stop: int | None = None, channel: int | None = None) -> np.ndarray:
    """Samples *first* to *stop* of *path* as ffmpeg decodes them, channels averaged or one of them."""
    channels = soundfile.info(path).channels if path.suffix in {".wav", ".flac"} else 1
    raw = ffmpeg("-i", path, "-f", "f32le", "-ac", channels, "-")
    samples = np.frombuffer(raw, "<f4").reshape(-1, channels)[first:stop]
    return samples.mean(axis=1, dtype=np.float32) if channel is None else samples[:, channel]


def rows_of(path: Path, split: str = "train", **columns: str) -> list:
    """All rows of *split* of the data set at *path*."""
    source = open_source(str(path), Columns(**columns))
    return list(source.reader(split, 0, source.splits[split].num_rows).rows())


def texts_of(path: Path, split: str = "train", **columns: str) -> list[str]:
    """Their transcripts; a row that could not be used gives its problem."""
    return [row.problem_message or row.transkription for row in rows_of(path, split, **columns)]


def sound_of(row) -> np.ndarray:
    """The mono samples that a run would get of *row*."""
    return decode_native(row.audio, LIMITS)[0]
