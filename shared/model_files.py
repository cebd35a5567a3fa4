"""What a Whisper model's small files say: configuration, mel bins, tokenizer. Weights are never read here."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.errors import UsageError, first_line
from shared.settings import expand_home
from shared.system.foreign_files import parse_json, read_text
from shared.system.read_errors import refuse_unreadable

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
    stated = _mel_bins(model) if model else None
    if stated and num_mel_bins and stated != num_mel_bins:
        raise UsageError(f"--num-mel-bins {num_mel_bins}, but {model} takes {stated}", "leave --num-mel-bins out")
    text = model_file(tokenizer or str(model), "tokenizer.json", "--tokenizer" if tokenizer else "--model")
    return ModelFacts(stated or num_mel_bins or DEFAULT_NUM_MEL_BINS, text)


def model_config(model: str) -> dict[str, Any]:
    """`config.json` of the Whisper *model*. Raises UsageError when it is no such model's."""
    value = _config(model)
    if value.get("model_type") != "whisper":
        raise UsageError(f"{model} is no Whisper model", "give a Whisper model's folder or Hub id")
    return value


def model_file(model: str, name: str, option: str = "--model") -> str:
    """The text of the file *name* of *model*: a folder, a Hub id with or without `@revision`, or that file itself.

    Raises UsageError, in words of *option*, when it cannot be read.
    """
    path = expand_home(model)
    try:
        if path.is_file():
            return read_text(path)
        if path.is_dir() or model.startswith((".", "/", "~")):
            return read_text(path / name)
        return _from_hub(model, name)
    except (OSError, ValueError) as error:
        if path.exists():
            refuse_unreadable(path, error)
        # huggingface_hub raises OSError for network trouble and ValueError for a name that is no repository.
        message = f"{option} {model}: cannot read {name}: {first_line(error)}"
        raise UsageError(message, what_instead(path)) from error


def what_instead(folder: Path) -> str:
    """The remedy where *folder*, or the Hub's model of that name, cannot be read as a model."""
    if (folder / "best").is_dir():
        return f"that is a training's output: its best model is {folder / 'best'}"
    if (folder / "model.bin").is_file() or (folder / "store.json").is_file():
        what = "an export" if (folder / "model.bin").is_file() else "a feature store"
        return f"that is {what}: name a transformers model's folder or Hub id"
    return "check the name, or HF_TOKEN"


def _config(model: str) -> dict[str, Any]:
    try:
        value = parse_json(model_file(model, "config.json"))
    except ValueError as error:
        raise UsageError(f"config.json of {model} is damaged: {error}", "download the model again") from error
    if not isinstance(value, dict):
        raise UsageError(f"config.json of {model} is no model's", "give a Whisper model's folder or Hub id")
    return value


def _mel_bins(model: str) -> int:
    stated = _config(model).get("num_mel_bins")
    if not isinstance(stated, int) or stated < 1:
        raise UsageError(f"config.json of {model} is not a Whisper model's: num_mel_bins {stated!r}", "check --model")
    return stated


def _from_hub(model: str, name: str) -> str:
    from huggingface_hub import hf_hub_download  # noqa: PLC0415 - costs half a second that local models need not pay

    repository, _, revision = model.partition("@")
    return read_text(Path(hf_hub_download(repository, name, revision=revision or None)))
