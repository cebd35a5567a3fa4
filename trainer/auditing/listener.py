"""What a model makes of rows: the loss of each transcript's tokens, the language it hears, and what it would write."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from typing import Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch.nn import functional
from transformers import WhisperForConditionalGeneration

from shared.errors import ResourceLimitError
from shared.models.limits import ModelLimits
from shared.rows import STEP
from shared.schema import WINDOW_FRAMES
from shared.store import StoreSplit
from trainer.data.clips import Clip, Clips, Padding
from trainer.data.collate import collate, context_frames
from trainer.data.dataset import PROMPT_LABELS
from trainer.data.loader import as_tensors
from trainer.evaluation.transcribers import longest_text, words
from trainer.model.device import half_on_gpu
from trainer.model.generation import Decoding, search
from trainer.model.shape import CHUNK_TOKENS
from trainer.model.whisper import encode, encoder_outputs, expand

_Found = TypeVar("_Found")
_BATCH_FRAMES = 8 * WINDOW_FRAMES
"""Padded frames that are computed at once."""
_LANGUAGE = re.compile(r"<\|[a-z]{2,3}\|>")
_SILENCE = ("<|nospeech|>", "<|nocaptions|>")
_ENDS = 4
"""Head and tail are a transcript's first and last quarter, ..."""
_LEAST_END = 2
"""... but two tokens at least."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What a model makes of rows, float32[rows] each; losses are in nats.

    *loss* is the mean over a transcript's tokens, *head* and *tail* that of its first and last quarter, *end* that of
    its end. *language* is the probability of the store's language, *no_speech* that nobody speaks. *peak* is the
    largest log-mel value: -1.5 is no sound at all.
    """

    loss: NDArray[np.float32]
    head: NDArray[np.float32]
    tail: NDArray[np.float32]
    end: NDArray[np.float32]
    language: NDArray[np.float32]
    no_speech: NDArray[np.float32]
    peak: NDArray[np.float32]

    @classmethod
    def empty(cls, rows: int) -> Self:
        """Nothing heard yet."""
        return cls(*(np.zeros(rows, np.float32) for _ in fields(cls)))


@dataclass(slots=True)
class Listener:
    """Hears rows of *split* with *model*, which is on *device* and has *limits*; *window* pads all clips to its own."""

    split: StoreSplit
    model: WhisperForConditionalGeneration
    tokenizer: Tokenizer
    device: torch.device
    limits: ModelLimits = field(default_factory=ModelLimits)
    window: bool = True

    def hear(self, rows: Sequence[int], tell: Callable[[int], None] = lambda _count: None) -> Heard:
        """What the model makes of *rows*, in their order; *tell* is called with the number of rows just done."""
        heard = Heard.empty(len(rows))
        for places in self._batches(rows):
            found = self._with_room(self._losses, [rows[place] for place in places])
            for entry, values in zip(fields(Heard), zip(*found, strict=True), strict=True):
                getattr(heard, entry.name)[places] = values
            tell(len(places))
        return heard

    def transcripts(self, rows: Sequence[int], tell: Callable[[int], None] = lambda _count: None) -> list[str]:
        """What the model would write for *rows*, greedily, in their order."""
        texts = [""] * len(rows)
        for places in self._batches(rows):
            found = self._with_room(self._texts, [rows[place] for place in places])
            for place, text in zip(places, found, strict=True):
                texts[place] = text
            tell(len(places))
        return texts

    def _batches(self, rows: Sequence[int]) -> Iterator[list[int]]:
        """Places in *rows*, longest clips first: want of memory shows at once, and little is padded."""
        order = sorted(range(len(rows)), key=lambda place: -self._context(rows[place]))
        while order:
            count = max(1, _BATCH_FRAMES // self._context(rows[order[0]]))
            yield order[:count]
            order = order[count:]

    def _context(self, row: int) -> int:
        frames = int(self.split.num_frames[row])
        window = self.limits.window_frames
        return max(frames, window) if self.window else context_frames(frames, window)

    def _with_room(self, work: Callable[[Clips], list[_Found]], rows: Sequence[int]) -> list[_Found]:
        """What *work* finds, by halves where memory runs out. ResourceLimitError: not even for one."""
        padding = Padding.SILENCE if self.window else Padding.OWN
        try:
            with torch.inference_mode(), half_on_gpu(self.device):
                return work(Clips.of([Clip(row, self._context(row), padding=padding) for row in rows]))
        except torch.OutOfMemoryError as error:
            half = len(rows) // 2
            if not half:
                remedy = "--padding own takes less; --device cpu uses the machine's memory"
                raise ResourceLimitError("GPU memory ran out on a single clip", remedy) from error
        torch.cuda.empty_cache()
        return self._with_room(work, rows[:half]) + self._with_room(work, rows[half:])

    def _losses(self, clips: Clips) -> list[tuple[float, ...]]:
        features, floor, inputs, places, targets = self._collated(clips)
        model = self.model.model
        encoded = encode(model.encoder, expand(features, floor, model.encoder.conv1.weight.dtype))
        decoded = model.decoder(input_ids=inputs, encoder_hidden_states=encoded, use_cache=False).last_hidden_state
        losses = self._token_losses(decoded.flatten(0, 1).index_select(0, places), targets).cpu().numpy()
        counts = self.split.num_labels[clips.rows].astype(np.int64) - 1
        of_rows = np.split(losses, np.cumsum(counts)[:-1])
        starts = zip(*self._starts(decoded[:, 0], clips), strict=True)
        peaks = [self._peak(row) for row in clips.rows.tolist()]
        return [(*_parts(own), *start, peak) for own, start, peak in zip(of_rows, starts, peaks, strict=True)]

    def _collated(self, clips: Clips) -> Iterator[torch.Tensor]:
        batch = collate(self.split, clips, window=self.limits.window_frames)
        return (tensor.to(self.device) for tensor in as_tensors(batch))

    def _token_losses(self, hidden: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The loss of each target; logits never all at once."""
        weight = self.model.proj_out.weight
        return torch.cat(
            [
                functional.cross_entropy(functional.linear(some, weight).float(), wanted, reduction="none")
                for some, wanted in zip(*(torch.split(each, CHUNK_TOKENS) for each in (hidden, targets)), strict=True)
            ]
        )

    def _starts(self, hidden: torch.Tensor, clips: Clips) -> tuple[list[float], list[float]]:
        """By row, the probability of its language among all languages, and that nobody speaks.

        Both are told by what follows the start token. A model without such tokens has no doubts.
        """
        logits = functional.linear(hidden, self.model.proj_out.weight).float()
        vocabulary = self.tokenizer.get_vocab()
        languages = sorted(number for token, number in vocabulary.items() if _LANGUAGE.fullmatch(token))
        own = [int(self.split.labels(row)[1]) for row in clips.rows.tolist()]
        language, silence = [1.0] * len(own), [0.0] * len(own)
        if set(own) <= set(languages):
            among = torch.full_like(logits, -torch.inf)
            among[:, languages] = logits[:, languages]
            language = among.softmax(1).gather(1, torch.tensor(own, device=logits.device)[:, None])[:, 0].tolist()
        if numbers := [vocabulary[token] for token in _SILENCE if token in vocabulary]:
            silence = logits.softmax(1)[:, numbers].sum(1).tolist()
        return language, silence

    def _peak(self, row: int) -> float:
        largest = float(self.split.log_mel(row).max())
        return largest * float(STEP) + float(self.split.floor[row]) if self.split.spec.dtype == "uint8" else largest

    def _texts(self, clips: Clips) -> list[str]:
        features, floor, *_ = self._collated(clips)
        rows = clips.rows.tolist()
        prompt = np.stack([self.split.labels(row)[:PROMPT_LABELS] for row in rows]).astype(np.int64)
        longest = max(longest_text(float(self.split.duration[row]), self.limits) for row in rows)
        encoded = encoder_outputs(self.model, features, floor)
        start, decoding = torch.from_numpy(prompt).to(self.device), Decoding.of(self.tokenizer)
        tokens = search(self.model, encoded, start, decoding=decoding, max_length=longest)
        return [words(self.tokenizer, ids) for ids in tokens.tolist()]


def _parts(losses: NDArray[np.float32]) -> tuple[float, float, float, float]:
    """*loss*, *head*, *tail* and *end* of a row, whose targets' *losses* are the prompt's, the text's and the end's."""
    text, end = losses[PROMPT_LABELS - 1 : -1], losses[-1]
    if not len(text):
        return float(end), float(end), float(end), float(end)
    count = max(_LEAST_END, len(text) // _ENDS)
    return float(text.mean()), float(text[:count].mean()), float(text[-count:].mean()), float(end)
