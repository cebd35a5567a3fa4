"""A user's recording is read before the work, and an export that fails on it has failed."""

from types import SimpleNamespace

import numpy as np
import pytest

from shared.errors import UsageError
from tests.support.samples import wav
from trainer.exporting.sample import hear_sample, read_sample
from trainer.gate.measure import Candidate, check_files

SOUND = np.zeros(16_000, np.float32)
ORIGINAL = SimpleNamespace(language="de", transcribe=lambda _samples: "")


class Apart:
    """An export that answers *text*, or raises it."""

    def __init__(self, text):
        self.text = text

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def call(self, name, samples):
        assert (name, len(samples)) == ("transcribe", len(SOUND))
        if isinstance(self.text, Exception):
            raise self.text
        return self.text


def test_a_recording_is_its_samples(tmp_path):
    (tmp_path / "sound.wav").write_bytes(wav(16_000))
    assert read_sample(tmp_path / "sound.wav").shape == (16_000,)


@pytest.mark.parametrize(("content", "words"), [(b"no sound", "cannot be read"), (wav(0), "has no sound")])
def test_what_is_no_recording_is_refused(tmp_path, content, words):
    (tmp_path / "sound.wav").write_bytes(content)
    with pytest.raises(UsageError, match=words) as caught:
        read_sample(tmp_path / "sound.wav")
    assert "name a WAV" in caught.value.remedy


def test_an_export_that_ends_at_a_recording_has_failed_and_the_others_are_heard(tmp_path):
    run = check_files([Candidate(tmp_path / name, name) for name in ("float16", "int8")])
    answers = {"float16": RuntimeError("faster-whisper ended with SIGSEGV"), "int8": "Hallo."}
    said = []
    found = hear_sample(SOUND, ORIGINAL, run, lambda folder, _language: Apart(answers[folder.name]), said.append)
    assert said == ["sample, original: (nothing)", "sample, int8: Hallo."]
    problems = [export.verdict.problems for export in found.exports]
    assert problems == [["it cannot transcribe --sample: faster-whisper ended with SIGSEGV"], []]
    assert not found.passed
