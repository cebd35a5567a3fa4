"""Transcribing clips of a store with the model in training: greedy, length-sorted, split over the ranks."""

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import WhisperForConditionalGeneration
from transformers.generation.utils import GenerationMixin

from shared.schema import MAX_LABELS, WINDOW_FRAMES
from shared.store import StoreSplit
from trainer.collate import collate
from trainer.distributed import Ranks
from trainer.loader import as_tensors
from trainer.model import encoder_outputs
from trainer.records import EvaluationRecord, Transcript
from trainer.sampler import Budget, Clip, Padding, share_out
from trainer.scoring import score_all, score_by_source
from trainer.step import autocast

SUBSET_SEED = 20_240_601
"""The monitored subset is the same for every run, whatever its seed."""
FORWARD_FACTOR = 4
"""Frames of a micro-batch without gradients, against those of one with them."""
PROMPT_LABELS = 4
"""A store's labels begin with start, language, task and timestamps tokens: the prompt."""
TOKENS_PER_SECOND = 25
"""More than anybody speaks; a model that goes on and on is cut off there."""
SHOWN = 5


def monitored_rows(split: StoreSplit, count: int) -> list[int]:
    """*count* rows of *split*, the same ones every time; all of them where there are no more."""
    if count >= len(split):
        return list(range(len(split)))
    chosen = np.random.default_rng(SUBSET_SEED).choice(len(split), count, replace=False)
    return sorted(int(row) for row in chosen)


@dataclass(slots=True)
class Evaluator:
    """Scores models on *rows* of *split*; *tokenizer* turns labels into words. *window* pads all clips to 30 s."""

    split: StoreSplit
    rows: Sequence[int]
    tokenizer: Tokenizer
    ranks: Ranks
    dtype: torch.dtype | None
    frames: int
    window: bool = True

    def __call__(self, model: WhisperForConditionalGeneration, step: int) -> EvaluationRecord:
        """The record of *model* after *step*; every rank calls it and gets the same."""
        started = perf_counter()
        found = [transcript for part in self.ranks.gather(self._own_share(model)) for transcript in part]
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
            samples=found[:: max(1, len(found) // SHOWN)][:SHOWN],
        )

    @torch.no_grad()
    def _own_share(self, model: WhisperForConditionalGeneration) -> list[Transcript]:
        training = model.training
        model.train(mode=False)
        try:
            shares = share_out(self._clips(), world_size=self.ranks.world_size, budget=self._budget())
            batches = shares[self.ranks.rank]
            return [found for batch in batches for found in self._transcribe(model, batch.clips)]
        finally:
            model.train(training)

    def _clips(self) -> list[Clip]:
        padding = Padding.SILENCE if self.window else Padding.OWN
        frames = [int(self.split.num_frames[row]) for row in self.rows]
        return [
            Clip(row, max(count, WINDOW_FRAMES) if self.window else count, padding=padding)
            for row, count in zip(self.rows, frames, strict=True)
        ]

    def _budget(self) -> Budget:
        frames = max(FORWARD_FACTOR * self.frames, WINDOW_FRAMES)
        return Budget(frames, frames)

    def _transcribe(self, model: WhisperForConditionalGeneration, clips: Sequence[Clip]) -> list[Transcript]:
        features, floor, *_ = (tensor.to(self.ranks.device) for tensor in as_tensors(collate(self.split, clips)))
        prompt = torch.tensor(
            np.stack([self.split.labels(clip.row)[:PROMPT_LABELS] for clip in clips]).astype(np.int64)
        )
        seconds = max(float(self.split.duration[clip.row]) for clip in clips)
        with autocast(self.ranks, self.dtype):
            tokens = greedy(
                model,
                encoder_outputs(model, features, floor),
                prompt.to(self.ranks.device),
                max_length=min(MAX_LABELS, round(TOKENS_PER_SECOND * seconds) + 2 * PROMPT_LABELS),
            )
        return [self._transcript(clip.row, ids) for clip, ids in zip(clips, tokens.tolist(), strict=True)]

    def _transcript(self, row: int, ids: Sequence[int]) -> Transcript:
        return Transcript(
            row_id=int(self.split.row_id[row]),
            source=str(self.split.source[row]),
            reference=self._words(self.split.labels(row).tolist()),
            hypothesis=self._words(ids),
        )

    def _words(self, ids: Sequence[int]) -> str:
        text: str = self.tokenizer.decode(list(ids), skip_special_tokens=True)
        return text.strip()


def greedy(
    model: WhisperForConditionalGeneration, encoded: Any, prompt: torch.Tensor, *, max_length: int
) -> torch.Tensor:
    """Token ids [rows, tokens] that *model* says after *prompt* [rows, tokens], each time the likeliest.

    transformers' plain generation: Whisper's own would pad every clip to 30 s and cut it into segments.
    """
    plain: Any = GenerationMixin.generate
    found: torch.Tensor = plain(
        model,
        encoder_outputs=encoded,
        attention_mask=torch.ones(encoded.last_hidden_state.shape[:2], dtype=torch.int64, device=prompt.device),
        decoder_input_ids=prompt,
        decoder_attention_mask=torch.ones_like(prompt),
        max_length=max_length,
        num_beams=1,
        do_sample=False,
        use_cache=True,
    )
    return found
