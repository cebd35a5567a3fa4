"""A small Whisper tokenizer: byte-level BPE over the demo's sentences, with the real special tokens in order."""

import random
from itertools import islice

from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer

from preprocess.demo.sentences import sentences
from shared.models.whisper_tokens import add_special_tokens

_NUM_TEXT_TOKENS = 1_792
_NUM_SENTENCES = 4_000


def build_tokenizer() -> Tokenizer:
    """The tokenizer, trained anew on 4,000 demo sentences (about 1 s); the same every time.

    `encode` adds <|startoftranscript|><|notimestamps|> and <|endoftext|>, as Whisper's own file does.
    """
    tokenizer = Tokenizer(BPE(continuing_subword_prefix="", end_of_word_suffix=""))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(_training_texts(), _trainer())
    add_special_tokens(tokenizer)
    return tokenizer


def _trainer() -> BpeTrainer:
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    return BpeTrainer(vocab_size=_NUM_TEXT_TOKENS, initial_alphabet=alphabet, show_progress=False)


def _training_texts() -> list[str]:
    """Sentences with a space before them too: Whisper's words begin with one."""
    rng = random.Random("tokenizer")  # noqa: S311 - a demo's variety, not a secret
    return [f" {sentence}" for sentence in islice(sentences(rng, "train"), _NUM_SENTENCES)]
