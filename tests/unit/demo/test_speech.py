"""The demo's speech: a pure function of its arguments, whatever espeak-ng said before."""

import numpy as np
import pytest

from preprocess.demo.plan import VOICES
from preprocess.demo.speech import SPEECH_SAMPLING_RATE, synthesise
from shared.errors import SpeechPrepError

TEXT = "Schöne Grüße aus Köln!"


def say(voice="de", rate=170, pitch=50, text=TEXT):
    return synthesise(text, voice=voice, rate=rate, pitch=pitch)


@pytest.mark.parametrize("voice", [*VOICES["train"], *VOICES["test"]])
def test_every_voice_says_the_same_whatever_was_said_before(voice):
    before = say(voice)
    say("de+whisper", rate=120, text="Etwas ganz anderes.")
    after = say(voice)
    assert 1 < before.size / SPEECH_SAMPLING_RATE < 4
    assert np.abs(before).max() > 3000
    np.testing.assert_array_equal(before, after)


def test_every_variant_is_a_voice_of_its_own():
    # espeak-ng takes its plain voice for a variant that it does not know.
    voices = [*VOICES["train"], *VOICES["test"]]
    assert len({say(voice).tobytes() for voice in voices}) == len(voices)


def test_voices_rates_and_pitches_sound_different():
    reference = say()
    assert not np.array_equal(reference, say("de+f2"))
    assert say(rate=120).size > 1.2 * reference.size
    assert not np.array_equal(reference, say(pitch=70))


def test_an_unknown_voice_is_named():
    with pytest.raises(SpeechPrepError, match="no voice 'nirgendwo'"):
        say("nirgendwo")
