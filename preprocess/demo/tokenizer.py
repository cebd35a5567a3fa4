"""A small Whisper tokenizer: byte-level BPE over the demo's sentences, with the real special tokens in order."""

import random
from itertools import islice

from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers, processors
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer

from preprocess.demo.sentences import sentences

LANGUAGES = (
    "en", "zh", "de", "es", "ru", "ko", "fr", "ja", "pt", "tr", "pl", "ca", "nl", "ar", "sv", "it", "id", "hi",
    "fi", "vi", "he", "uk", "el", "ms", "cs", "ro", "da", "hu", "ta", "no", "th", "ur", "hr", "bg", "lt", "la",
    "mi", "ml", "cy", "sk", "te", "fa", "lv", "bn", "sr", "az", "sl", "kn", "et", "mk", "br", "eu", "is", "hy",
    "ne", "mn", "bs", "kk", "sq", "sw", "gl", "mr", "pa", "si", "km", "sn", "yo", "so", "af", "oc", "ka", "be",
    "tg", "sd", "gu", "am", "yi", "lo", "uz", "fo", "ht", "ps", "tk", "nn", "mt", "sa", "lb", "my", "bo", "tl",
    "mg", "as", "tt", "haw", "ln", "ha", "ba", "jw", "su", "yue",
)  # fmt: skip
"""Whisper large-v3's language codes, in its order."""

END, START = "<|endoftext|>", "<|startoftranscript|>"
TRANSLATE, TRANSCRIBE = "<|translate|>", "<|transcribe|>"
START_OF_PREVIOUS, NO_TIMESTAMPS = "<|startofprev|>", "<|notimestamps|>"

SPECIAL_TOKENS = (
    END,
    START,
    *(f"<|{language}|>" for language in LANGUAGES),
    TRANSLATE,
    TRANSCRIBE,
    "<|startoflm|>",
    START_OF_PREVIOUS,
    "<|nospeech|>",
    NO_TIMESTAMPS,
)
"""Whisper large-v3's special tokens, in the order of their ids, which follow the text tokens'."""
TIMESTAMPS = tuple(f"<|{hundredths / 100:.2f}|>" for hundredths in range(0, 3001, 2))
"""<|0.00|> to <|30.00|>; their ids follow the special tokens'."""

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
    tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token in SPECIAL_TOKENS])
    tokenizer.add_tokens([AddedToken(token, normalized=False, special=False) for token in TIMESTAMPS])
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{START} {NO_TIMESTAMPS} $A {END}",
        pair=f"{START} {NO_TIMESTAMPS} $A $B {END}",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in (START, NO_TIMESTAMPS, END)],
    )
    return tokenizer


def _trainer() -> BpeTrainer:
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    return BpeTrainer(vocab_size=_NUM_TEXT_TOKENS, initial_alphabet=alphabet, show_progress=False)


def _training_texts() -> list[str]:
    """Sentences with a space before them too: Whisper's words begin with one."""
    rng = random.Random("tokenizer")  # noqa: S311 - a demo's variety, not a secret
    return [f" {sentence}" for sentence in islice(sentences(rng, "train"), _NUM_SENTENCES)]
