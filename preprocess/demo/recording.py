"""From a clip's plan to its encoded file: speech in a room, resampled, encoded. The same plan, the same bytes."""

import io

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from preprocess.demo.ogg import with_serial
from preprocess.demo.plan import ClipPlan, Encoding
from preprocess.demo.speech import SPEECH_SAMPLING_RATE, synthesise

_MIN_SECONDS = 1.0
_PAUSE_SECONDS = (0.1, 0.5)
_ECHO_SECONDS = 0.0006
_INT16_MAX = 32_767


def record(plan: ClipPlan) -> bytes:
    """The encoded audio file of *plan*; at least 1 s long. Raises `SpeechPrepError` where espeak-ng fails."""
    speech = synthesise(plan.transkription, voice=plan.voice, rate=plan.rate, pitch=plan.pitch)
    return encode(_in_room(speech, plan), plan.sampling_rate, plan.encoding, serial=plan.seed)


def encode(samples: NDArray[np.float32], sampling_rate: int, encoding: Encoding, *, serial: int) -> bytes:
    """*samples* (num_samples x num_channels, clipped to -1..1) as a file of *encoding*; *serial* is an Ogg stream's."""
    clipped = np.clip(samples, -1, 1)
    # Handed 16-bit stereo for an MP3, libsndfile 1.2.2 encodes other memory with it: noise, other bytes every time.
    data = np.round(clipped * _INT16_MAX).astype(np.int16) if encoding.subtype == "PCM_16" else clipped
    file = io.BytesIO()
    soundfile.write(file, data, sampling_rate, format=encoding.container, subtype=encoding.subtype)
    return with_serial(file.getvalue(), serial) if encoding.container == "OGG" else file.getvalue()


def _in_room(speech: NDArray[np.int16], plan: ClipPlan) -> NDArray[np.float32]:
    """Speech at the plan's rate, with pauses around it and noise over it; num_samples x num_channels."""
    rng = np.random.default_rng(plan.seed)
    scaled = speech.astype(np.float32) * np.float32(plan.gain / _INT16_MAX)
    resampled = soxr.resample(scaled, SPEECH_SAMPLING_RATE, plan.sampling_rate, quality="HQ")
    before, after = (rng.uniform(*_PAUSE_SECONDS, size=2) * plan.sampling_rate).astype(int)
    missing = int(_MIN_SECONDS * plan.sampling_rate) - before - resampled.size
    dry = np.pad(resampled, (before, max(after, missing)))
    # The second microphone hears the same a little later, as in a real room.
    delay = int(_ECHO_SECONDS * plan.sampling_rate)
    channels = np.stack([np.roll(dry, delay * channel) for channel in range(plan.num_channels)], axis=1)
    noise = rng.standard_normal(channels.shape, dtype=np.float32) * np.float32(10 ** (plan.noise_db / 20))
    mixed: NDArray[np.float32] = channels + noise
    return mixed
