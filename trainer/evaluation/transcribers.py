"""Models that turn clips of a store into text: transformers folders and CTranslate2 folders, behind one call."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer

from shared.errors import UsageError
from shared.models.limits import ModelLimits
from shared.models.model_files import optional_json
from shared.models.tokens import is_word, moments
from shared.system.home import expand_home
from trainer.evaluation.question import PROMPT, Question, is_ctranslate2
from trainer.model.device import half_on_gpu
from trainer.model.generation import Decoding, search
from trainer.model.hints import model_hints
from trainer.model.loading import never_trained
from trainer.model.whisper import encoder_outputs, load_model

_WHISPERS = ModelLimits()


class Transcriber(Protocol):
    """A loaded model."""

    name: str
    num_mel_bins: int
    decoding: Decoding
    limits: ModelLimits
    remarks: Sequence[str]

    def __call__(self, log_mel: NDArray[np.float32], *, max_length: int) -> list[str]:
        """What is said in *log_mel* float32[clips, frames, num_mel_bins]; at most *max_length* labels a clip."""
        ...


@dataclass(slots=True)
class _TransformersModel:
    """A transformers folder or Hub id; contexts may be shorter than the window."""

    name: str
    num_mel_bins: int
    model: Any
    tokenizer: Tokenizer
    prompt: Sequence[int]
    decoding: Decoding
    device: torch.device
    limits: ModelLimits
    remarks: Sequence[str] = ()

    @torch.no_grad()
    def __call__(self, log_mel: NDArray[np.float32], *, max_length: int) -> list[str]:
        """As `Transcriber`."""
        features = torch.from_numpy(log_mel).to(self.device)
        with half_on_gpu(self.device):
            encoded = encoder_outputs(self.model, features, features.new_zeros(len(features)))
            prompt = torch.tensor([self.prompt] * len(features), device=self.device)
            tokens = search(self.model, encoded, prompt, decoding=self.decoding, max_length=max_length)
        return [words(self.tokenizer, ids) for ids in tokens.tolist()]


@dataclass(slots=True)
class _CTranslate2Model:
    """A CTranslate2 folder as faster-whisper loads it; clips are padded to the window, as there."""

    name: str
    num_mel_bins: int
    model: Any
    tokenizer: Tokenizer
    prompt: Sequence[int]
    decoding: Decoding
    limits: ModelLimits
    remarks: Sequence[str] = ()

    def __call__(self, log_mel: NDArray[np.float32], *, max_length: int) -> list[str]:
        """As `Transcriber`."""
        from ctranslate2 import StorageView  # noqa: PLC0415 - only those who compare such models need it

        features = StorageView.from_array(np.ascontiguousarray(log_mel.transpose(0, 2, 1)))
        prompts = [list(self.prompt)] * len(log_mel)
        # CTranslate2 generates half of what it is told, and does not count the prompt.
        length = 2 * (max_length - len(self.prompt))
        found = self.model.generate(
            features,
            prompts,
            beam_size=self.decoding.num_beams,
            max_length=length,
            suppress_tokens=list(self.decoding.never),
        )
        return [words(self.tokenizer, result.sequences_ids[0]) for result in found]


def words(tokenizer: Tokenizer, ids: Sequence[int]) -> str:
    """The text of token *ids*, without commands and points in time; words that somebody added are words."""
    silent, added = _vocabulary(tokenizer)
    said = [token for token in ids if token not in silent]
    # An added word is text already: decoded as the bytes that other tokens stand for, it would lose its umlauts.
    parts = groupby(said, key=lambda token: token if token in added else None)
    return "".join(
        tokenizer.decode(list(run), skip_special_tokens=False) if word is None else added[word] * len(list(run))
        for word, run in parts
    ).strip()


@cache
def _vocabulary(tokenizer: Tokenizer) -> tuple[frozenset[int], Mapping[int, str]]:
    """The ids that stand for no text, and the words that somebody added, by id."""
    added = tokenizer.get_added_tokens_decoder()
    found = {number: token.content for number, token in added.items() if is_word(token.content, special=token.special)}
    return moments(tokenizer.get_vocab(with_added_tokens=True)) | (added.keys() - found.keys()), found


def open_transcriber(
    name: str,
    *,
    language: str,
    beam_size: int,
    device: torch.device,
    own_settings: bool = False,
    tell: Callable[[str], None] = lambda _text: None,
) -> Transcriber:
    """The model *name*, a transformers folder or Hub id, or a CTranslate2 folder, on *device*.

    *own_settings*: its own generation settings decide how it is asked. *tell* is `load_model`'s. Raises UsageError when
    it cannot be loaded, and as `Question.of` does.
    """
    asked = Question.of(name, language, own_settings=own_settings)
    decoding = Decoding.of(asked.tokenizer, beam_size, asked.own)
    vocabulary = asked.tokenizer.get_vocab()
    if is_ctranslate2(name):
        export = _load_ctranslate2(name, device)
        _compare_beginnings(name, decoding, tell)
        found = model_hints(vocabulary, never_trained=False)
        return _CTranslate2Model(
            name, export.n_mels, export, asked.tokenizer, asked.prompt, decoding, asked.limits, found
        )
    whisper = load_model(name, tell).train(mode=False).to(device=device)
    bins = whisper.config.num_mel_bins
    found = model_hints(vocabulary, never_trained=never_trained(whisper))
    return _TransformersModel(name, bins, whisper, asked.tokenizer, asked.prompt, decoding, device, asked.limits, found)


def _compare_beginnings(name: str, decoding: Decoding, tell: Callable[[str], None]) -> None:
    """Tells where the export *name* keeps other tokens from coming first: CTranslate2 takes those of its files."""
    found = optional_json(name, "config.json").get("suppress_ids_begin")
    if sorted(found or []) != sorted(decoding.not_first):
        tell(
            f"{name}: its config.json keeps tokens {found} from coming first, elsewhere {list(decoding.not_first)} are"
        )


def _load_ctranslate2(name: str, device: torch.device) -> Any:
    try:
        from ctranslate2.models import Whisper  # noqa: PLC0415 - as above

        return Whisper(
            str(expand_home(name)),
            device=device.type,
            device_index=device.index or 0,
            intra_threads=torch.get_num_threads(),
        )
    except ImportError as error:
        raise UsageError(f"{name} needs CTranslate2: {error}", "pip install ctranslate2") from error
    except (RuntimeError, ValueError) as error:
        raise UsageError(f"{name} cannot be loaded: {error}", "export it again") from error


def longest_text(seconds: float, limits: ModelLimits = _WHISPERS) -> int:
    """Labels of a clip of *seconds* at most: more than anybody speaks; a model that goes on and on is cut off there.

    Never more than the decoder has places, as *limits* say.
    """
    return min(limits.max_labels, round(25 * seconds) + 2 * len(PROMPT))
