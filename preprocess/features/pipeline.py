"""One source row to one feature row, or the reason why not."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from preprocess.audio.decode import DecodeLimits, decode_clip, resample
from preprocess.features.stages import StageClock
from preprocess.features.transcript import stored_transcript
from preprocess.sources.base import SourceRow
from shared.errors import RowRejectedError
from shared.models.limits import ModelLimits
from shared.schema import SAMPLING_RATE, FeatureSpec, QuarantineReason
from shared.shard import FeatureRow
from shared.text import Labeller


@dataclass(frozen=True, slots=True)
class PipelineSettings:
    """What the rows of a run have in common; picklable. *filters* float32[num_mel_bins, 201]."""

    spec: FeatureSpec
    tokenizer_json: str
    language: str
    filters: NDArray[np.float32]
    limits: DecodeLimits
    strip_timestamps: bool = False
    model_limits: ModelLimits = field(default_factory=ModelLimits)


class RowPipeline:
    """Decodes, resamples, computes log-mel and labels; *clock* learns the seconds of each stage.

    *cancelled* gathers the ids of rows whose channels have opposite phase, so that their mix is near silence.
    """

    def __init__(self, settings: PipelineSettings, clock: StageClock) -> None:
        from preprocess.features.log_mel import LogMel  # noqa: PLC0415 - numba: a third of a second that a driver need not pay

        self._spec = settings.spec
        self._limits = settings.limits
        self._strip_timestamps = settings.strip_timestamps
        self._labeller = Labeller(settings.tokenizer_json, settings.language, settings.model_limits.max_labels)
        self._log_mel = LogMel(settings.filters, settings.model_limits.window_frames)
        self._clock = clock
        self.cancelled: list[int] = []

    def __call__(self, row: SourceRow) -> FeatureRow:
        """The feature row of *row*. Raises RowRejectedError with the quarantine reason."""
        if row.audio is None:
            raise RowRejectedError(row.problem or QuarantineReason.NO_AUDIO, row.problem_message or "no audio bytes")
        with self._clock.stage("tokenise"):
            transkription = stored_transcript(row.transkription or "", strip_timestamps=self._strip_timestamps)
            labels = self._labeller(transkription)
        samples, cancelled = self._samples(row.audio)
        if cancelled:
            self.cancelled.append(row.row_id)
        with self._clock.stage("log_mel"):
            features = self._log_mel.features(samples, self._spec.dtype)
        return FeatureRow(
            row_id=row.row_id,
            payload=features.payload,
            num_frames=features.num_frames,
            floor=float(features.floor),
            labels=labels,
            transkription=transkription,
            source=row.source,
            duration=len(samples) / SAMPLING_RATE,
            path=row.path,
        )

    def _samples(self, audio: bytes) -> tuple[NDArray[np.float32], bool]:
        with self._clock.stage("decode"):
            clip = decode_clip(audio, self._limits)
        with self._clock.stage("resample"):
            return resample(clip.samples, clip.sampling_rate), clip.cancelled
