"""A user's own recording, heard by the original and by every export, for people to compare."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from faster_whisper import decode_audio
from numpy.typing import NDArray

from shared.errors import UsageError
from shared.system.read_errors import refuse_unreadable
from trainer.gate.apart import FAULTS, ExportApart
from trainer.gate.realtimestt import RealtimeSTTModel
from trainer.gate.verdict import Checked, GateRun


def read_sample(path: Path) -> NDArray[np.float32]:
    """The samples in the audio file *path*, 16 kHz mono. Raises UsageError where there are none."""
    try:
        samples: NDArray[np.float32] = decode_audio(str(path))
    except (OSError, ValueError, LookupError) as error:
        refuse_unreadable(path, error)
        raise UsageError(f"--sample {path} cannot be read: {error}", "name a WAV, FLAC or MP3 file") from error
    if not len(samples):
        raise UsageError(f"--sample {path} has no sound", "name a WAV, FLAC or MP3 file")
    return samples


def hear_sample(
    samples: NDArray[np.float32],
    original: RealtimeSTTModel,
    run: GateRun,
    opened: Callable[[Path, str], ExportApart],
    say: Callable[[str], None],
) -> GateRun:
    """Says what *original* and each export of *run* hear in *samples*; *run* with what went wrong as its problems."""
    say(f"sample, original: {original.transcribe(samples) or '(nothing)'}")

    def heard(export: Checked) -> Checked:
        """*export*, with a problem more where it cannot transcribe the samples."""
        try:
            with opened(export.folder, original.language) as model:
                say(f"sample, {export.stored}: {model.call('transcribe', samples) or '(nothing)'}")
        except FAULTS as error:
            problems = [*export.verdict.problems, f"it cannot transcribe --sample: {error}"]
            return replace(export, verdict=replace(export.verdict, problems=problems))
        return export

    return replace(run, exports=[heard(export) for export in run.exports])
