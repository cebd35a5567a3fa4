"""Transcribing clips of a store with the model in training: greedy, length-sorted, split over the ranks."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from time import perf_counter
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import WhisperForConditionalGeneration

from shared.errors import ResourceLimitError
from shared.models.limits import ModelLimits
from trainer.data.clips import Clip, Clips, Padding
from trainer.data.collate import collate
from trainer.data.dataset import PROMPT_LABELS
from trainer.data.loader import as_tensors
from trainer.data.micro_batches import Budget
from trainer.data.rows import Rows
from trainer.data.sampler import share_out
from trainer.distributed.ranks import Ranks
from trainer.evaluation.scoring import score_all, score_by_source
from trainer.evaluation.transcribers import longest_text, words
from trainer.model.generation import Decoding, search
from trainer.model.whisper import encoder_outputs
from trainer.telemetry.records import EvaluationRecord, Transcript
from trainer.training.step import autocast

FORWARD_FACTOR = 4
"""Frames of a micro-batch without gradients, against those of one with them."""
_OWN_MULTIPLE = 64
"""Frames to which a clip's own length is rounded: clips of one length are evaluated at once."""
_UNBOUNDED = 1 << 40
_SHOWN = 5


@dataclass(slots=True)
class Evaluator:
    """Scores models on *rows* of *split*; *tokenizer* turns labels into words. *window* pads all clips to it.

    *limits* are the model's; *own* its own generation settings, where those decide how it is asked.
    *moved* hears after every batch how many of how many clips are done, as far as this rank can tell.
    """

    split: Rows
    rows: Sequence[int]
    tokenizer: Tokenizer
    ranks: Ranks
    dtype: torch.dtype | None
    frames: int
    window: bool = True
    limits: ModelLimits = field(default_factory=ModelLimits)
    own: Mapping[str, Any] | None = None
    moved: Callable[[int, int], None] = lambda _done, _total: None

    def __call__(self, model: WhisperForConditionalGeneration, step: int) -> EvaluationRecord:
        """The record of *model* after *step*; every rank calls it and gets the same."""
        started = perf_counter()
        shares = self.ranks.gather([asdict(transcript) for transcript in self._own_share(model)])
        found = [Transcript(**transcript) for share in shares for transcript in share]
        found.sort(key=lambda transcript: transcript.row_id)
        references = [transcript.reference for transcript in found]
        hypotheses = [transcript.hypothesis for transcript in found]
        return EvaluationRecord(
            step=step,
            rows=len(found),
            padding="window" if self.window else "own",
            overall=score_all(references, hypotheses),
            by_source=score_by_source(references, hypotheses, [transcript.source for transcript in found]),
            seconds=perf_counter() - started,
            samples=found[:: max(1, len(found) // _SHOWN)][:_SHOWN],
        )

    @torch.no_grad()
    def _own_share(self, model: WhisperForConditionalGeneration) -> list[Transcript]:
        training = model.training
        model.train(mode=False)
        try:
            return self._each(model, self._own_batches())
        finally:
            model.train(training)

    def _each(self, model: WhisperForConditionalGeneration, batches: Sequence[Clips]) -> list[Transcript]:
        own, found = sum(map(len, batches)), list[Transcript]()
        self.moved(0, len(self.rows))
        for clips in batches:
            found += self._with_room(model, clips)
            # The other ranks are about as far with theirs.
            self.moved(len(self.rows) * len(found) // own, len(self.rows))
        return found

    def _own_batches(self) -> list[Clips]:
        """This rank's share; the first rank's are all where there are fewer clips than ranks."""
        ranks = self.ranks.world_size if len(self.rows) >= self.ranks.world_size else 1
        if self.ranks.rank >= ranks:
            return []
        whole = Budget(_UNBOUNDED, _UNBOUNDED)
        mine = [batch.clips for batch in share_out(self._clips(), world_size=ranks, budget=whole)[self.ranks.rank]]
        return list(self._alike(Clips.joined(mine)))

    def _alike(self, clips: Clips) -> Iterator[Clips]:
        """*clips* in parts of one length, longest first: no clip's context shows beside which others it is computed."""
        most = max(FORWARD_FACTOR * self.frames, self.limits.window_frames)
        for frames in np.unique(clips.frames)[::-1].tolist():
            alike = clips[clips.frames == frames]
            count = max(1, most // frames)
            yield from (alike[start : start + count] for start in range(0, len(alike), count))

    def _clips(self) -> Clips:
        padding = Padding.SILENCE if self.window else Padding.OWN
        return Clips.of(
            [Clip(row, self._context(int(self.split.num_frames[row])), padding=padding) for row in self.rows]
        )

    def _context(self, frames: int) -> int:
        """Frames that the encoder sees of a clip of *frames*: it alone decides."""
        rounded = -(-frames // _OWN_MULTIPLE) * _OWN_MULTIPLE
        window = self.limits.window_frames
        return max(frames, window) if self.window or frames > window else min(rounded, window)

    def _with_room(self, model: WhisperForConditionalGeneration, clips: Clips) -> list[Transcript]:
        """The transcripts of *clips*, by halves where memory runs out. ResourceLimitError: not even for one."""
        found = self._try(model, clips)
        if found is not None:
            return found
        torch.cuda.empty_cache()
        half = len(clips) // 2
        if not half:
            remedy = "--eval-padding own takes less; or a smaller --vram-budget leaves more to evaluation"
            raise ResourceLimitError("GPU memory ran out while evaluating a single clip", remedy)
        return self._with_room(model, clips[:half]) + self._with_room(model, clips[half:])

    def _try(self, model: WhisperForConditionalGeneration, clips: Clips) -> list[Transcript] | None:
        """None when memory ran out; what was computed until then is freed on return."""
        try:
            return self._transcribe(model, clips)
        except torch.OutOfMemoryError:
            return None

    def _transcribe(self, model: WhisperForConditionalGeneration, clips: Clips) -> list[Transcript]:
        features, floor, *_ = (
            tensor.to(self.ranks.device)
            for tensor in as_tensors(collate(self.split, clips, window=self.limits.window_frames))
        )
        prompt = torch.tensor(
            np.stack([self.split.labels(clip.row)[:PROMPT_LABELS] for clip in clips]).astype(np.int64)
        )
        longest = [longest_text(float(self.split.duration[clip.row]), self.limits) for clip in clips]
        with autocast(self.ranks, self.dtype):
            tokens = search(
                model,
                encoder_outputs(model, features, floor),
                prompt.to(self.ranks.device),
                decoding=Decoding.of(self.tokenizer, own=self.own),
                max_length=max(longest),
            )
        # Each is cut off where it would be alone: who it is computed beside must not show.
        cut = [ids[:most] for ids, most in zip(tokens.tolist(), longest, strict=True)]
        return [self._transcript(clip.row, ids) for clip, ids in zip(clips, cut, strict=True)]

    def _transcript(self, row: int, ids: Sequence[int]) -> Transcript:
        return Transcript(
            row_id=int(self.split.row_id[row]),
            source=str(self.split.source[row]),
            reference=words(self.tokenizer, self.split.labels(row).tolist()),
            hypothesis=words(self.tokenizer, ids),
        )
