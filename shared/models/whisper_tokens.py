"""Whisper large-v3's special tokens by name, in the order of their ids: what models that are made up have, too."""

from tokenizers import AddedToken, Tokenizer, processors

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


def add_special_tokens(tokenizer: Tokenizer) -> None:
    """Gives *tokenizer* special tokens and times behind its text tokens.

    `encode` then adds <|startoftranscript|><|notimestamps|> and <|endoftext|>, as Whisper's own file does.
    """
    tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token in SPECIAL_TOKENS])
    tokenizer.add_tokens([AddedToken(token, normalized=False, special=False) for token in TIMESTAMPS])
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{START} {NO_TIMESTAMPS} $A {END}",
        pair=f"{START} {NO_TIMESTAMPS} $A $B {END}",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in (START, NO_TIMESTAMPS, END)],
    )
