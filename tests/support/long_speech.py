"""Recordings of tones that stand for words, with pauses between sentences, and a decoder that hears them."""

import io
from pathlib import Path

import numpy as np
import soundfile

from tests.support.samples import wav, write_source

RATE = 16_000
WORDS = [
    "eins",
    "zwei",
    "drei",
    "vier",
    "fünf",
    "sechs",
    "sieben",
    "acht",
    "neun",
    "zehn",
    "elf",
    "zwölf",
    "dreizehn",
    "vierzehn",
]
LOST = "kein wort davon ist hier gesagt"


def recording(*words: str, seconds: float = 4.0) -> bytes:
    """*words* of `WORDS`, so many seconds each, with pauses of 0.4 s; a WAV file."""
    time = np.arange(int(seconds * RATE)) / RATE
    tones = [0.3 * np.sin(2 * np.pi * (300 + 60 * WORDS.index(word)) * time) for word in words]
    pause = np.zeros(int(0.4 * RATE))
    samples = np.concatenate([part for tone in tones for part in (pause, tone)] + [pause])
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, RATE, format="WAV", subtype="PCM_16")
    return buffer.getvalue()


def hear(pieces) -> list[str]:
    """The words of each piece, by their tones."""
    return [" ".join(_words(piece)) for piece in pieces]


def _words(samples):
    last = ""
    for start in range(0, len(samples) - RATE // 4, RATE // 4):
        part = samples[start : start + RATE // 4]
        power = np.abs(np.fft.rfft(part * np.hanning(len(part))))
        loud = np.mean(np.square(part)) > 0.04  # a tone from end to end
        word = WORDS[max(0, min(len(WORDS) - 1, round((np.argmax(power) * 4 - 300) / 60)))] if loud else ""
        if word and word != last:
            yield word
            last = word


LONG_ROWS = [
    (wav(16_000), "0.wav", "Satz null"),
    (recording(*WORDS[:9]), "1.wav", " ".join(WORDS[:9])),
    (recording(*WORDS[3:12]), "2.wav", LOST),
    (wav(16_000, seed=3), "3.wav", "Satz drei"),
    (recording(*WORDS), "4.wav", " ".join(WORDS)),
]


def write_long_source(folder: Path) -> Path:
    """Three recordings of 40 s and more among two clips; the text of row 2 is another's."""
    return write_source(folder / "train.parquet", LONG_ROWS).parent


def write_stub_model(folder: Path) -> Path:
    """What stands for a model's files where `hear` decodes."""
    folder.mkdir(exist_ok=True)
    for name in ("model.bin", "tokenizer.json"):
        (folder / name).write_text("{}")
    return folder
