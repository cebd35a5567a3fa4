"""What a Whisper model's small files say: configuration, mel bins, tokenizer. Weights are never read here."""

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from shared.errors import UsageError, first_line
from shared.models.assembled import assemble
from shared.models.kinds import Kind, kind_at, kind_of, refuse_pointer
from shared.models.limits import ModelLimits, is_english_only
from shared.system.foreign_files import parse_json, read_text
from shared.system.home import expand_home
from shared.system.read_errors import refuse_unreadable

DEFAULT_NUM_MEL_BINS = 128
_TELLING = ("adapter_config.json", "model.bin")
"""Files that tell, on the Hub, what is no model."""
_IN_UTF8 = "save that file as UTF-8, or download the model again"
_NAME_A_MODEL = "give a Whisper model's folder or Hub id"


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """Mel bins, the content of `tokenizer.json`, and how long labels and clips may be."""

    num_mel_bins: int
    tokenizer_json: str
    limits: ModelLimits = field(default_factory=ModelLimits)


def model_facts(model: str | None, num_mel_bins: int | None, tokenizer: str | None) -> ModelFacts:
    """Facts from *model* (folder or Hub id), or from *num_mel_bins* and *tokenizer* where those are given.

    Raises UsageError when a file is missing, or when *model* and *num_mel_bins* contradict each other.
    """
    if model is None and tokenizer is None:
        raise UsageError("no tokenizer: labels need one", "give --model, or --num-mel-bins and --tokenizer")
    config = model_config(model) if model else {}
    stated = _mel_bins(config, model) if model else None
    if stated and num_mel_bins and stated != num_mel_bins:
        raise UsageError(f"--num-mel-bins {num_mel_bins}, but {model} takes {stated}", "leave --num-mel-bins out")
    text = tokenizer_json(tokenizer or str(model), "--tokenizer" if tokenizer else "--model")
    return ModelFacts(
        stated or num_mel_bins or DEFAULT_NUM_MEL_BINS, text, ModelLimits.from_config(config, model or "")
    )


def model_config(model: str) -> dict[str, Any]:
    """`config.json` of the Whisper *model*.

    Raises UsageError when it is no such model's, and for an English-only one: it cannot be told a language.
    """
    refuse_kind(model)
    value = model_json(model, "config.json")
    if value.get("model_type") != "whisper":
        found = value.get("model_type")
        what = f"config.json is a {found} model's" if found else "config.json is not a transformers model's"
        raise _not_a_model(model, what) from None
    if is_english_only(value, optional_json(model, "generation_config.json")):
        message = f"{model} is an English-only model, which knows neither languages nor tasks"
        raise UsageError(message, "take the multilingual model of its size: OpenAI's have the name without .en")
    return value


def model_json(model: str, name: str) -> dict[str, Any]:
    """The object in the file *name* of *model*. Raises UsageError when it cannot be read, or holds something else."""
    return _object(model_file(model, name), model, name)


def optional_json(model: str, name: str) -> dict[str, Any]:
    """As `model_json`; {} where *model* has no such file."""
    path = model_path(model, name)
    if path is None:
        return {}
    try:
        return _object(_read(path), model, name)
    except ValueError as error:
        raise UsageError(f"{name} of {model} cannot be read: {error}", _remedy(model, error)) from error


def model_file(model: str, name: str, option: str = "--model") -> str:
    """The text of the file *name* of *model*: a folder, a Hub id with or without `@revision`, or that file itself.

    Raises UsageError, in words of *option*, when it cannot be read.
    """
    path = expand_home(model)
    try:
        if path.is_file():
            return _read(path)
        return _read(path / name if is_local(model) else _from_hub(model, name))
    except (OSError, ValueError) as error:
        if path.exists():
            refuse_unreadable(path, error)
        # huggingface_hub raises OSError for network trouble and ValueError for a name that is no repository.
        message = f"{option} {model}: cannot read {name}: {first_line(error)}"
        kind = kind_at(path) if is_local(model) or path.is_file() else _kind_on_hub(model)
        if kind is not None:
            raise UsageError(f"{message}: that is {kind.what}", kind.remedy) from error
        raise UsageError(message, _remedy(model, error)) from error


def model_path(model: str, name: str) -> Path | None:
    """Where the file *name* of *model*, as in `model_file`, lies on this machine; None where it has none.

    What the Hub has is fetched. Raises UsageError where the Hub does not give it, or cannot be asked; but with
    `HF_HUB_OFFLINE` a model has what lies in the cache, and no more.
    """
    if is_local(model):
        path = expand_home(model) / name
        return path if path.is_file() else None
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError  # noqa: PLC0415 - as below

    try:
        return _from_hub(model, name)
    except LocalEntryNotFoundError as error:
        # Of kin to the next, but it says only that nobody could ask: a file may be there all the same.
        if _known_to_lack(model, name):
            return None
        message = f"--model {model}: cannot ask the Hub for {name}: {first_line(error)}"
        remedy = "check the network; where the whole model is in the Hub's cache, HF_HUB_OFFLINE=1 leaves the Hub out"
        raise UsageError(message, remedy) from error
    except EntryNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise UsageError(f"--model {model}: cannot fetch {name}: {first_line(error)}", _remedy(model, error)) from error


def tokenizer_json(model: str, option: str = "--model") -> str:
    """The content of *model*'s `tokenizer.json`, put together where it has only the files of before there was one.

    A checkpoint of transformers' Trainer may have its tokenizer in the folder that it lies in. Raises UsageError, in
    words of *option*, where there is none.
    """
    if expand_home(model).is_file() or model_path(model, "tokenizer.json") is not None:
        return model_file(model, "tokenizer.json", option)
    vocab = optional_json(model, "vocab.json")
    merges = model_path(model, "merges.txt")
    if vocab and merges is not None:
        added, config = (optional_json(model, name) for name in ("added_tokens.json", "tokenizer_config.json"))
        try:
            return assemble(vocab, _read(merges), added, config)
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            message = f"vocab.json, merges.txt and what belongs to them, of {model}, do not make a tokenizer: {error!r}"
            raise UsageError(message, "download the model again") from error
    outer = expand_home(model).resolve().parent
    if is_local(model) and (expand_home(model) / "trainer_state.json").is_file() and _has_tokenizer(outer):
        return tokenizer_json(str(outer), option)
    return _no_tokenizer(model, option)


def _has_tokenizer(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("tokenizer.json", "vocab.json"))


def _no_tokenizer(model: str, option: str) -> str:
    """Raises UsageError as `model_file` does; of a whole model that was saved alone, with what it began with."""
    path = expand_home(model)
    if not (path / "config.json").is_file() or kind_at(path) is not None:
        return model_file(model, "tokenizer.json", option)
    remedy = f"save it beside the weights: WhisperProcessor.from_pretrained(BASE).save_pretrained({str(path)!r})"
    raise UsageError(f"{option} {model}: cannot read tokenizer.json: it was saved without its processor", remedy)


def is_local(model: str) -> bool:
    """Whether *model* names a folder on this machine, there or not, rather than a model on the Hub."""
    return expand_home(model).is_dir() or model.startswith((".", "/", "~"))


def refuse_kind(model: str) -> None:
    """Raises UsageError where *model* is a folder or file of something else than a transformers model."""
    path = expand_home(model)
    if (is_local(model) or path.is_file()) and (kind := kind_at(path)) is not None:
        raise UsageError(f"{model} is not a transformers model: that is {kind.what}", kind.remedy)


def _not_a_model(model: str, what: str) -> UsageError:
    """The error that says *what* is wrong with *model*, and what the Hub's files show it to be."""
    kind = None if is_local(model) else _kind_on_hub(model)
    if kind is not None:
        return UsageError(f"{model} is not a Whisper model: that is {kind.what}", kind.remedy)
    return UsageError(f"{model} is not a Whisper model: its {what}", _NAME_A_MODEL)


def _kind_on_hub(model: str) -> Kind | None:
    """What the Hub has under the name *model*; None also where it does not tell."""
    from huggingface_hub import HfApi  # noqa: PLC0415 - as below

    repository, _, revision = model.partition("@")
    try:
        there = partial(HfApi().file_exists, repository, revision=revision or None)
        return kind_of([name for name in _TELLING if there(name)])
    except Exception:  # noqa: BLE001 - the error that is being explained says what the Hub's own would
        return None


def _known_to_lack(model: str, name: str) -> bool:
    """Whether the Hub said earlier that *model* has no file *name*, or is not to be asked."""
    from huggingface_hub import _CACHED_NO_EXIST, constants, try_to_load_from_cache  # noqa: PLC0415 - as below

    repository, _, revision = model.partition("@")
    found = try_to_load_from_cache(repository, name, revision=revision or None)
    return found is _CACHED_NO_EXIST or constants.is_offline_mode()


def _remedy(model: str, error: Exception) -> str:
    """What to do about *error*, met while a file of *model* was read."""
    if isinstance(error, UnicodeError):
        return _IN_UTF8
    if is_local(model):
        return "check the name of the folder"
    return "check the name, or HF_TOKEN" if "/" in model else "check the name: on this machine there is no such folder"


def _object(text: str, model: str, name: str) -> dict[str, Any]:
    try:
        value = parse_json(text)
    except ValueError as error:
        raise UsageError(f"{name} of {model} is damaged: {error}", "download the model again") from error
    if not isinstance(value, dict):
        raise UsageError(f"{name} of {model} is not a model's", _NAME_A_MODEL)
    return value


def _mel_bins(config: dict[str, Any], model: str) -> int:
    stated = config.get("num_mel_bins")
    if not isinstance(stated, int) or stated < 1:
        raise UsageError(f"config.json of {model} is not a Whisper model's: num_mel_bins {stated!r}", "check --model")
    return stated


def _read(path: Path) -> str:
    text = read_text(path)
    refuse_pointer(path, text[:200].encode())
    return text


def _from_hub(model: str, name: str) -> Path:
    from huggingface_hub import hf_hub_download  # noqa: PLC0415 - costs half a second that local models need not pay

    repository, _, revision = model.partition("@")
    return Path(hf_hub_download(repository, name, revision=revision or None))
