"""Text as it is stored, as it is shown, and as the token ids that the decoder learns."""

import hashlib
import json
import re
import unicodedata
from itertools import groupby

from tokenizers import Tokenizer

from shared.errors import RowRejectedError, UsageError
from shared.models.tokens import is_word
from shared.schema import MAX_LABELS, QuarantineReason
from shared.system.foreign_files import parse_json
from shared.units import format_counted

LONG_CHARACTERS = 1_000
"""From here on text is brought into an order in which it is normalised fast."""
_REPLACED = "\N{REPLACEMENT CHARACTER}"
_CONTROL = re.compile("[\0-\x1f\x7f-\x9f]")
"""Unicode's category Cc: what separates, in any language."""
_SILENT = re.compile(
    "[\u00ad\u061c\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb"
    "\U0001d173-\U0001d17a\U000e0001\U000e0020-\U000e007f\ud800-\udfff]"
)
"""What no language spells with: hints for line breaks and directions, a byte order mark, tags, half a surrogate pair.

Unicode's other format characters stay: signs that are seen (U+06DD) and Mongolian's vowel separator are spelling.
"""
_JOINERS = re.compile("[\u200b-\u200d]+")
"""Zero-width space, non-joiner and joiner."""


def normalise_transcript(text: str) -> str:
    """NFC, white space folded to single blanks, control characters removed; the words stay as they are.

    Idempotent, and right for every language: case, punctuation, digits, umlauts and ß are part of the label and are
    kept, and so are zero-width joiners, non-joiners and spaces beside letters of other than Europe's scripts. They are
    spelling in Persian, Hindi, Sinhala or Khmer; between Latin, Greek or Cyrillic letters they only place ligatures
    and line breaks.
    """
    # Printable text has none of the characters that are folded or removed, and most text is printable.
    folded = text if text.isprintable() else _without_invisible(text)
    return " ".join(unicodedata.normalize("NFC", _ordered(folded)).split())


def _without_invisible(text: str) -> str:
    return _JOINERS.sub(_kept_joiners, _SILENT.sub("", _CONTROL.sub(" ", text)))


def _kept_joiners(run: re.Match[str]) -> str:
    """What of a *run* of joiners is spelling."""
    text, last = run.string, run.start() - 1
    while last > 0 and unicodedata.combining(text[last]):
        last -= 1
    before, after = text[max(0, last) : last + 1], text[run.end() : run.end() + 1]
    if not (_beyond_europe(before) or _beyond_europe(after)):
        return ""
    # Where a word ends anyhow, a space without width says nothing.
    return run[0] if before.strip() and after.strip() else run[0].replace("\u200b", "")


def _beyond_europe(character: str) -> bool:
    """Whether *character*, or "", is of another script than Latin, Greek and Cyrillic, and no blank, sign or digit."""
    return bool(character.strip()) and not (character < "\u0530" or "\u1e00" <= character < "\u2190")


def _ordered(text: str) -> str:
    """*text* with its combining marks in canonical order, which normalising brings them into as well.

    But in a time that grows with the square of their number: 40,000 of them in a row, two kinds in turn, took 15 s.
    """
    if len(text) < LONG_CHARACTERS:
        return text
    runs = groupby(text, key=lambda character: unicodedata.combining(character) > 0)
    return "".join("".join(sorted(run, key=unicodedata.combining) if marks else run) for marks, run in runs)


def one_line(text: str) -> str:
    """*text* as it may be shown, in a terminal, a log or a page: on one line, without control characters.

    White space is folded; what else cannot be printed is replaced, so that it is seen. Markup is for the caller to
    escape. `normalise_transcript` makes what is stored, and removes instead of replacing.
    """
    return printable(" ".join(text.split()))


def printable(text: str) -> str:
    """*text* with each character that cannot be printed (a cursor's, a direction's, a new line's) replaced.

    Joiners that `normalise_transcript` keeps are spelling and stay.
    """
    if text.isprintable():
        return text
    shown = _JOINERS.sub(lambda run: _kept_joiners(run) or len(run[0]) * _REPLACED, text)
    return "".join(letter if letter.isprintable() or _JOINERS.match(letter) else _REPLACED for letter in shown)


class Labeller:
    """Turns transcripts into Whisper labels with the model's own tokenizer.

    *tokenizer_json* is the content of the model's `tokenizer.json`. Raises UsageError when it is none, or lacks one of
    Whisper's special tokens or *language*. The model's decoder has *max_labels* places.
    """

    def __init__(self, tokenizer_json: str, language: str = "de", max_labels: int = MAX_LABELS) -> None:
        self.max_labels = max_labels
        self._tokenizer = _plain_text_tokenizer(tokenizer_json)
        prefix = ("startoftranscript", language, "transcribe", "notimestamps")
        self._prefix = [self._special(name) for name in prefix]
        self._end = self._special("endoftext")
        # A token stands for as many bytes as its name has characters.
        self._most_bytes = max_labels * max(map(len, self._tokenizer.get_vocab()))

    def __call__(self, transcript: str) -> list[int]:
        """Labels `<|startoftranscript|><|de|><|transcribe|><|notimestamps|> … <|endoftext|>` of *transcript*.

        Raises RowRejectedError for an empty transcript and for more than *max_labels*, which takes no time.
        """
        if not transcript:
            raise RowRejectedError(QuarantineReason.EMPTY_TRANSCRIPT, "the transcript is empty")
        # Where it cannot fit it is not worked on: the time for one long word grows with more than its length.
        if len(transcript.encode()) > self._most_bytes:
            message = (
                f"the transcript has {len(transcript)} characters, the model's decoder takes "
                f"{format_counted(self.max_labels, 'label')}"
            )
            raise RowRejectedError(QuarantineReason.TOO_MANY_LABELS, message)
        ids = self._tokenizer.encode(transcript, add_special_tokens=False).ids
        labels = [*self._prefix, *ids, self._end]
        if len(labels) > self.max_labels:
            message = (
                f"the transcript has {format_counted(len(labels), 'label')}, the model's decoder takes "
                f"{self.max_labels}"
            )
            raise RowRejectedError(QuarantineReason.TOO_MANY_LABELS, message)
        return labels

    @property
    def around(self) -> tuple[int, ...]:
        """The labels that stand around every transcript."""
        return (*self._prefix, self._end)

    def _special(self, name: str) -> int:
        token_id = self._tokenizer.token_to_id(f"<|{name}|>")
        if token_id is None:
            raise UsageError(f"the tokenizer has no <|{name}|>", "use a multilingual Whisper model's tokenizer")
        return int(token_id)


def _plain_text_tokenizer(tokenizer_json: str) -> Tokenizer:
    """A tokenizer to which everything is text: `<|endoftext|>` in a transcript is no command to the decoder."""
    try:
        value = parse_json(tokenizer_json)
        # Whisper's timestamps are added tokens, but not special ones; `encode_special_tokens` is about special ones.
        # A word that was added is one token where it is said: the model was made to learn it so.
        for token in value["added_tokens"]:
            token["special"] = not is_word(token["content"], special=bool(token.get("special")))
        tokenizer = Tokenizer.from_str(json.dumps(value))
    except Exception as error:  # tokenizers raises no narrower class
        message = f"the tokenizer cannot be read: {error!r}"
        raise UsageError(message, "check that tokenizer.json is a fast tokenizer's, and whole") from error
    tokenizer.encode_special_tokens = True
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def open_tokenizer(tokenizer_json: str, model: str) -> Tokenizer:
    """The tokenizer that *tokenizer_json*, a file of *model*, holds. Raises UsageError when it is none.

    It neither pads nor cuts off, whatever its file says: that was for somebody's batches.
    """
    try:
        tokenizer = Tokenizer.from_str(tokenizer_json)
    except Exception as error:  # tokenizers raises no narrower class
        message = f"tokenizer.json of {model} cannot be read: {error}"
        raise UsageError(message, "check that it is a fast tokenizer's, and whole") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def tokenizer_fingerprint(tokenizer_json: str) -> str:
    """Identifies a tokenizer by its file's content."""
    return hashlib.blake2b(tokenizer_json.encode(), digest_size=8).hexdigest()
