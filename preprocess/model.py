"""What a Whisper model says about its input: mel bins and tokenizer. Reads small files only, never weights."""

import json
from dataclasses import dataclass
from pathlib import Path

from shared.errors import UsageError

DEFAULT_NUM_MEL_BINS = 128


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """Mel bins and the content of `tokenizer.json`."""

    num_mel_bins: int
    tokenizer_json: str


def model_facts(model: str | None, num_mel_bins: int | None, tokenizer: str | None) -> ModelFacts:
    """Facts from *model* (folder or Hub id), or from *num_mel_bins* and *tokenizer* where those are given.

    Raises UsageError when a file is missing, or when *model* and *num_mel_bins* contradict each other.
    """
    if model is None and tokenizer is None:
        raise UsageError("no tokenizer: labels need one", "give --model, or --num-mel-bins and --tokenizer")
    stated = _model_mel_bins(model) if model else None
    if stated and num_mel_bins and stated != num_mel_bins:
        raise UsageError(f"--num-mel-bins {num_mel_bins}, but {model} takes {stated}", "leave --num-mel-bins out")
    text = _read(tokenizer or str(model), "tokenizer.json", "--tokenizer" if tokenizer else "--model")
    return ModelFacts(stated or num_mel_bins or DEFAULT_NUM_MEL_BINS, text)


def _model_mel_bins(model: str) -> int:
    text = _read(model, "config.json", "--model")
    try:
        num_mel_bins = int(json.loads(text)["num_mel_bins"])
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"config.json of {model} is not a Whisper model's: {error!r}", "check --model") from error
    if num_mel_bins < 1:
        raise UsageError(f"config.json of {model} states {num_mel_bins} mel bins", "check --model")
    return num_mel_bins


def _read(name: str, filename: str, option: str) -> str:
    """The text of *filename* in the folder or Hub repository *name*; *name* may be the file itself."""
    path = Path(name).expanduser()
    try:
        if path.is_file():
            return path.read_text(encoding="utf-8")
        if path.is_dir() or name.startswith((".", "/", "~")):
            return (path / filename).read_text(encoding="utf-8")
        return _from_hub(name, filename)
    except (OSError, ValueError) as error:
        # huggingface_hub raises OSError for network trouble and ValueError for a name that is no repository.
        reason = str(error).splitlines()[0] if str(error) else repr(error)
        raise UsageError(f"{option} {name}: cannot read {filename}: {reason}", "check the name, or HF_TOKEN") from error


def _from_hub(name: str, filename: str) -> str:
    from huggingface_hub import hf_hub_download  # noqa: PLC0415 - costs half a second that local models need not pay

    repository, _, revision = name.partition("@")
    return Path(hf_hub_download(repository, filename, revision=revision or None)).read_text(encoding="utf-8")
