"""Speech from espeak-ng, through its C library.

The library keeps noise, pitch and phase state in static memory that no call resets, so a clip would depend on all
that was said before. It is loaded afresh for each clip (about 5 ms) and unloaded after it.
"""

import ctypes
from _ctypes import dlclose
from collections.abc import Iterator
from contextlib import contextmanager

import espeakng_loader
import numpy as np
from numpy.typing import NDArray

from shared.errors import SpeechPrepError

SPEECH_SAMPLING_RATE = 22_050
"""Samples per second that espeak-ng's formant voices give."""

_AUDIO_OUTPUT_SYNCHRONOUS = 2
_CHARS_UTF8 = 1
_RATE, _PITCH = 1, 3
_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


def synthesise(text: str, *, voice: str, rate: int, pitch: int) -> NDArray[np.int16]:
    """*text* spoken by espeak's *voice* at *rate* words a minute and *pitch* 0-99: int16 mono at 22,050 Hz.

    The same arguments give the same samples, whatever was said before. Not for use by two threads at once: the C
    library's state is the process's, and it lasts where something else in the process holds the library loaded. Raises
    `SpeechPrepError` where the voice is unknown or espeak fails; a `+variant` that it does not know is no error to
    espeak and gives the plain voice.
    """
    chunks: list[NDArray[np.int16]] = []

    def collect(samples: "ctypes._Pointer[ctypes.c_short]", count: int, _events: int) -> int:
        """Espeak's callback: takes *count* samples over, and 0 asks for more."""
        if count > 0:
            chunks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    callback = _Callback(collect)
    with _fresh_library() as library:
        library.espeak_SetSynthCallback(callback)
        _check(library.espeak_SetVoiceByName(voice.encode()), f"espeak-ng has no voice {voice!r}")
        _check(library.espeak_SetParameter(_RATE, rate, 0), f"espeak-ng refused the rate {rate}")
        _check(library.espeak_SetParameter(_PITCH, pitch, 0), f"espeak-ng refused the pitch {pitch}")
        _check(_speak(library, text), f"espeak-ng could not say {text!r}")
    return np.concatenate(chunks) if chunks else np.zeros(0, np.int16)


@contextmanager
def _fresh_library() -> Iterator[ctypes.CDLL]:
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    try:
        data_path = espeakng_loader.get_data_path().encode()
        rate = library.espeak_Initialize(_AUDIO_OUTPUT_SYNCHRONOUS, 0, data_path, 0)
        _check(rate - SPEECH_SAMPLING_RATE, f"espeak-ng did not start at {SPEECH_SAMPLING_RATE} Hz")
        # Aspiration noise comes from two generators, one of them the C library's own.
        library.espeak_ng_SetRandSeed(ctypes.c_long(1))
        ctypes.CDLL(None).srand(1)
        yield library
        library.espeak_Terminate()
    finally:
        dlclose(library._handle)  # noqa: SLF001 - ctypes offers no other way to unload


def _speak(library: ctypes.CDLL, text: str) -> int:
    data = text.encode() + b"\0"
    size, zero = ctypes.c_size_t(len(data)), ctypes.c_uint(0)
    return int(library.espeak_Synth(data, size, zero, 0, zero, ctypes.c_uint(_CHARS_UTF8), None, None))


def _check(status: int, message: str) -> None:
    if status != 0:
        raise SpeechPrepError(
            f"{message} (status {status}).", "Reinstall it: pip install --force-reinstall espeakng-loader"
        )
