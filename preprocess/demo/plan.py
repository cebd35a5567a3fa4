"""What every clip of the demo corpus is, decided before a sound is made: a pure function of counts and seed."""

import random
from collections.abc import Iterator
from dataclasses import dataclass

from preprocess.demo.sentences import Split, sentences
from shared.errors import UsageError


@dataclass(frozen=True, slots=True)
class Encoding:
    """A container and codec as libsndfile names them, the file's ending, and the rates in Hz that it is drawn from."""

    container: str
    subtype: str
    extension: str
    sampling_rates: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Origin:
    """A made-up source of recordings: how they are encoded, spoken (words a minute) and how loud their noise is."""

    name: str
    encoding: Encoding
    rates: tuple[int, int]
    noise_db: float
    stereo_share: float = 0.0


@dataclass(frozen=True, slots=True)
class ClipPlan:
    """One clip: what is said, by which espeak voice at which rate (words a minute) and pitch (0-99), and how recorded.

    *gain* is linear, *noise_db* relative to full scale, *seed* the noise's own.
    """

    path: str
    source: str
    transkription: str
    voice: str
    rate: int
    pitch: int
    encoding: Encoding
    sampling_rate: int
    num_channels: int
    gain: float
    noise_db: float
    seed: int


ORIGINS: tuple[Origin, ...] = (
    Origin("diktat", Encoding("WAV", "PCM_16", "wav", (16_000, 22_050, 44_100)), (140, 175), -62.0),
    Origin("hoerbuch", Encoding("FLAC", "PCM_16", "flac", (16_000, 24_000, 44_100, 48_000)), (130, 165), -72.0, 0.1),
    Origin(
        "podcast", Encoding("MP3", "MPEG_LAYER_III", "mp3", (22_050, 24_000, 44_100, 48_000)), (150, 200), -60.0, 0.3
    ),
    Origin("lesung", Encoding("OGG", "VORBIS", "ogg", (16_000, 32_000, 44_100, 48_000)), (135, 170), -66.0, 0.1),
    Origin(
        "messenger", Encoding("OGG", "OPUS", "opus", (8_000, 16_000, 24_000, 48_000, 48_000, 48_000)), (155, 200), -54.0
    ),
    Origin("telefon", Encoding("WAV", "PCM_16", "wav", (8_000,)), (145, 185), -50.0),
)
"""The demo's sources, in the order in which clips take turns."""

VOICES: dict[Split, tuple[str, ...]] = {
    "train": (
        "de", "de+m1", "de+m3", "de+m4", "de+m8", "de+f1", "de+f2", "de+f4", "de+Annie", "de+steph", "de+klatt",
        "de+klatt2", "de+Andrea", "de+max", "de+grandpa", "de+belinda",
    ),
    "test": ("de+m7", "de+f5", "de+linda", "de+Michael", "de+aunty"),
}  # fmt: skip
"""espeak's German voice with its speaker variants; nobody speaks in both splits."""

# A least-squares fit to 800 clips of espeak-ng 1.52; for a paragraph it is within 15 %.
_CHARACTER_COST, _DIGIT_COST = 9.3, 49.5
_STOP_SECONDS, _START_SECONDS = 0.18, -0.24
_MAX_ORDINARY_SECONDS = 9.5
_TOO_LONG_SECONDS = 33.3
_LONG_SECONDS = (15.0, 24.0)


def plan_clips(split: Split, num_clips: int, seed: int) -> tuple[ClipPlan, ...]:
    """*num_clips* different clips of *split*: most of 1-12 s, a few to 28 s, one or two of 30-40 s.

    The same arguments give the same plan everywhere. Raises `UsageError` for a negative count.
    """
    if num_clips < 0:
        raise UsageError(f"The demo corpus cannot have {num_clips} {split} clips.", "Ask for 0 or more.")
    rng = random.Random(f"{seed}/{split}")  # noqa: S311 - a demo's variety, not a secret
    source_of_text = sentences(rng, split)
    long_clips = _long_clips(num_clips, rng)
    return tuple(_plan_clip(split, i, rng, source_of_text, long_clips.get(i, 0.0)) for i in range(num_clips))


def spoken_seconds(text: str, rate: int) -> float:
    """About how long espeak needs for *text* at *rate* words a minute; within 15 % for a paragraph."""
    digits = sum(character.isdigit() for character in text)
    stops = sum(character in ".,!?" for character in text)
    spoken = (len(text) * _CHARACTER_COST + digits * _DIGIT_COST) / rate
    return spoken + stops * _STOP_SECONDS + _START_SECONDS


def _long_clips(num_clips: int, rng: random.Random) -> dict[int, float]:
    """Seconds by number of the clips that are longer than a sentence, evenly spread over the split."""
    too_long = min(2, -(-num_clips // 200)) if num_clips >= 8 else 0  # noqa: PLR2004 - tiny splits stay ordinary
    long = max(1, num_clips // 100) if too_long else 0
    seconds = [_TOO_LONG_SECONDS] * too_long + [rng.uniform(*_LONG_SECONDS) for _ in range(long)]
    rng.shuffle(seconds)
    return {(i + 1) * num_clips // (len(seconds) + 1): target for i, target in enumerate(seconds)}


def _plan_clip(split: Split, number: int, rng: random.Random, texts: Iterator[str], seconds: float) -> ClipPlan:
    origin = ORIGINS[number % len(ORIGINS)]
    rate = rng.randint(*origin.rates)
    return ClipPlan(
        path=f"{origin.name}_{split}_{number:06d}.{origin.encoding.extension}",
        source=origin.name,
        transkription=_text(rng, texts, rate, seconds),
        voice=_paragraph_voice(split) if seconds else rng.choice(VOICES[split]),
        rate=rate,
        pitch=rng.randint(30, 70),
        encoding=origin.encoding,
        sampling_rate=rng.choice(origin.encoding.sampling_rates),
        num_channels=2 if rng.random() < origin.stereo_share else 1,
        gain=round(rng.uniform(0.2, 0.9), 3),
        noise_db=origin.noise_db,
        seed=rng.getrandbits(32),
    )


def _paragraph_voice(split: Split) -> str:
    """The voice whose length is best foreseen reads the long clips, so that they fall on their side of 30 s."""
    return VOICES[split][0]


def _text(rng: random.Random, texts: Iterator[str], rate: int, seconds: float) -> str:
    """One sentence, now and then two; for a long clip as many as come nearest to *seconds*."""
    text = next(texts)
    if not seconds:
        second = f"{text} {next(texts)}" if rng.random() < 0.15 else text  # noqa: PLR2004 - a minority
        return second if spoken_seconds(second, rate) < _MAX_ORDINARY_SECONDS else text
    while True:
        longer = f"{text} {next(texts)}"
        if abs(spoken_seconds(longer, rate) - seconds) > abs(spoken_seconds(text, rate) - seconds):
            return text
        text = longer
