"""Transcripts and labels: what is stored as text, and the token ids that the decoder learns."""

import hashlib
import unicodedata

from tokenizers import Tokenizer

from shared.errors import RowRejectedError, UsageError
from shared.schema import MAX_LABELS, QuarantineReason


def normalise_transcript(text: str) -> str:
    """NFC, white space folded to single blanks, control characters removed; the words stay as they are.

    Idempotent. Case, punctuation, digits, umlauts and ß are part of the label and are kept.
    """
    folded = "".join(_plain(character) for character in text)
    return " ".join(unicodedata.normalize("NFC", folded).split())


def _plain(character: str) -> str:
    """A blank for a separating control character, nothing for an invisible one or half a surrogate pair."""
    category = unicodedata.category(character)
    if category == "Cc":
        return " "
    return "" if category in {"Cf", "Cs"} else character


class Labeller:
    """Turns transcripts into Whisper labels with the model's own tokenizer.

    *tokenizer_json* is the content of the model's `tokenizer.json`. Raises UsageError when it lacks one of Whisper's
    special tokens or *language*.
    """

    def __init__(self, tokenizer_json: str, language: str = "de") -> None:
        self._tokenizer = Tokenizer.from_str(tokenizer_json)
        # A transcript that spells `<|endoftext|>` is text, not a command to the decoder.
        self._tokenizer.encode_special_tokens = True
        self._tokenizer.no_truncation()
        prefix = ("startoftranscript", language, "transcribe", "notimestamps")
        self._prefix = [self._special(name) for name in prefix]
        self._end = self._special("endoftext")

    def __call__(self, transcript: str) -> list[int]:
        """Labels `<|startoftranscript|><|de|><|transcribe|><|notimestamps|> … <|endoftext|>` of *transcript*.

        Raises RowRejectedError for an empty transcript and for more than 448 labels.
        """
        if not transcript:
            raise RowRejectedError(QuarantineReason.EMPTY_TRANSCRIPT, "the transcript is empty")
        ids = self._tokenizer.encode(transcript, add_special_tokens=False).ids
        labels = [*self._prefix, *ids, self._end]
        if len(labels) > MAX_LABELS:
            message = f"the transcript has {len(labels)} labels, Whisper's decoder takes {MAX_LABELS}"
            raise RowRejectedError(QuarantineReason.TOO_MANY_LABELS, message)
        return labels

    def _special(self, name: str) -> int:
        token_id = self._tokenizer.token_to_id(f"<|{name}|>")
        if token_id is None:
            raise UsageError(f"the tokenizer has no <|{name}|>", "use a multilingual Whisper model's tokenizer")
        return int(token_id)


def tokenizer_fingerprint(tokenizer_json: str) -> str:
    """Identifies a tokenizer by its file's content."""
    return hashlib.blake2b(tokenizer_json.encode(), digest_size=8).hexdigest()
