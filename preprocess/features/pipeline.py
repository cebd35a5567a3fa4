"""One source row to one feature row, or the reason why not."""

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from preprocess.alignment.align_split import LONGEST_RECORDING
from preprocess.alignment.cuts import pieces_of
from preprocess.alignment.recording import RowCuts
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
        audio = _audio_of(row)
        with self._clock.stage("tokenise"):
            transkription = self._transcript(row)
            labels = self._labeller(transkription)
        samples = self._samples(row.row_id, audio, self._limits)
        return self._feature_row(row, samples, transkription, labels)

    def pieces(self, row: SourceRow, cuts: RowCuts) -> list[FeatureRow]:
        """The feature rows of the pieces that *cuts* make of the recording *row*, in order.

        Raises RowRejectedError for the whole of it: as for any row, for what one of its pieces cannot be, and
        `unsplittable` for a recording that cannot be cut, or is not the one that the cuts were made of.
        """
        audio = _audio_of(row)
        with self._clock.stage("tokenise"):
            whole = self._transcript(row)
            if not whole:
                raise RowRejectedError(QuarantineReason.EMPTY_TRANSCRIPT, "the transcript is empty")
            if cuts.problem:
                raise RowRejectedError(QuarantineReason.UNSPLITTABLE, cuts.problem)
            if "".join(cuts.texts).replace(" ", "") != whole.replace(" ", ""):
                raise RowRejectedError(QuarantineReason.UNSPLITTABLE, "its cuts were made of another text")
            labels = [self._labeller(text) for text in cuts.texts]
        samples = self._samples(row.row_id, audio, replace(self._limits, max_seconds=LONGEST_RECORDING))
        if len(samples) != cuts.num_samples:
            message = f"it has {len(samples):,} samples at 16 kHz, its cuts were made of {cuts.num_samples:,}"
            raise RowRejectedError(QuarantineReason.UNSPLITTABLE, message)
        parts = zip(pieces_of(cuts.stops), cuts.texts, labels, strict=True)
        return [
            self._feature_row(row, samples[start:stop], text, own, piece)
            for piece, ((start, stop), text, own) in enumerate(parts)
        ]

    def _transcript(self, row: SourceRow) -> str:
        return stored_transcript(row.transkription or "", strip_timestamps=self._strip_timestamps)

    def _feature_row(
        self, row: SourceRow, samples: NDArray[np.float32], transkription: str, labels: list[int], piece: int = 0
    ) -> FeatureRow:
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
            piece=piece,
        )

    def _samples(self, row_id: int, audio: bytes, limits: DecodeLimits) -> NDArray[np.float32]:
        with self._clock.stage("decode"):
            clip = decode_clip(audio, limits)
        if clip.cancelled:
            self.cancelled.append(row_id)
        with self._clock.stage("resample"):
            return resample(clip.samples, clip.sampling_rate)


def _audio_of(row: SourceRow) -> bytes:
    """The encoded audio of *row*. Raises RowRejectedError where there is none, with what the source says of it."""
    if row.audio is None:
        raise RowRejectedError(row.problem or QuarantineReason.NO_AUDIO, row.problem_message or "no audio bytes")
    return row.audio
