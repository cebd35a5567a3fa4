"""Whether stored weights are a model's, by their names, types and shapes; which is which. Pure.

`from_pretrained` fills what it does not find with random numbers, and leaves out what it does not know. Here every
weight is found, or the model is refused. Names that a wrapper has lengthened are read without it: torch.compile's
`_orig_mod.`, DistributedDataParallel's `module.`, FSDP's, PEFT's and Lightning's.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from shared.errors import UsageError
from shared.models.kinds import SAVE_WHOLE
from shared.units import format_counted

_FLOATS = {"float16", "bfloat16", "float32", "float64"}
_WRAPPERS = {"_orig_mod", "module", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "base_layer"}
"""Parts of a name that stand for no module of the model, wherever they are."""
_OUTER = {"model", "base_model", "whisper", "net"}
"""What may stand before the model's own names."""
_ANCHORS = ("encoder.conv1.weight", "decoder.embed_tokens.weight", "encoder.conv2.weight")
"""Weights that no other model has two of: what stands before them stands before all."""
EMBEDDING, PROJECTION = "model.decoder.embed_tokens.weight", "proj_out.weight"
POSITIONS = "model.encoder.embed_positions.weight"
"""The sinusoids of every Whisper, which are made where they were not saved."""
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Stored:
    """One stored tensor: its type as torch calls it, without `torch.`, and its shape."""

    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Fit:
    """The stored name of every weight of the model, but of those that are made or tied; *remark* is "" or words."""

    names: Mapping[str, str]
    remark: str = ""


def fit(model: str, stored: Mapping[str, Stored], expected: Mapping[str, tuple[int, ...]], *, tied: bool) -> Fit:
    """Which of *stored* is which of *expected*, shapes by name; *tied*: the projection may be the embedding once more.

    Raises UsageError, in words of *model*, for quantised weights and LoRA's, for one that is missing, of another shape
    or unknown, and for two of one name.
    """
    _require_floats(model, stored)
    _require_no_adapter(model, stored)
    own = _own_names(model, stored)
    if tied and EMBEDDING not in own and PROJECTION in own:
        own[EMBEDDING] = own.pop(PROJECTION)
    optional = {POSITIONS, PROJECTION} if tied else {POSITIONS}
    _require_all(model, own, stored, expected, optional=optional)
    _require_shapes(model, own, stored, expected)
    first = next((name for name in sorted(own) if own[name] != name), None)
    return Fit(own, f"weights called {own[first]!r} and so on are read as {first!r}" if first else "")


def _require_floats(model: str, stored: Mapping[str, Stored]) -> None:
    """Raises UsageError where matrices were rounded to integers, or to floats with a scale of their own."""
    if others := sorted(name for name, tensor in stored.items() if tensor.dtype not in _FLOATS):
        kinds = ", ".join(sorted({stored[name].dtype for name in others}))
        message = (
            f"{model} has {len(others)} of {format_counted(len(stored), 'weight')} in {kinds}, of a "
            f"quantised save: {_some(others)}"
        )
        raise UsageError(message, "name the model that it was quantised from: rounded weights cannot be trained")


def _require_no_adapter(model: str, stored: Collection[str]) -> None:
    if lora := sorted(name for name in stored if "lora_" in name):
        message = f"{model} has LoRA matrices beside its weights that were never merged: {_some(lora)}"
        raise UsageError(message, "save it with model.merge_and_unload().save_pretrained(DIR)")


def _own_names(model: str, stored: Collection[str]) -> dict[str, str]:
    """The stored name by the model's own, as far as it can be told; others keep theirs."""
    plain = {name: ".".join(part for part in name.split(".") if part not in _WRAPPERS) for name in stored}
    before = _before(plain.values())
    found: dict[str, list[str]] = defaultdict(list)
    for name, unwrapped in plain.items():
        found[_without(unwrapped, before)].append(name)
    if twice := sorted(name for name, several in found.items() if len(several) > 1):
        message = f"{model} has two weights for {twice[0]!r}: {_some(sorted(found[twice[0]]))}"
        raise UsageError(message, SAVE_WHOLE)
    return {name: several[0] for name, several in found.items()}


def _before(names: Iterable[str]) -> str:
    """What stands before the encoder's and decoder's names, with its dot; `model.`, where nothing known does."""
    names = set(names)
    for anchor in _ANCHORS:
        for name in sorted(names, key=len):
            before = name.removesuffix(anchor)
            if before != name and set(before.split(".")) <= _OUTER | {""}:
                return before
    return "model."


def _without(name: str, before: str) -> str:
    if name.startswith((f"{before}encoder.", f"{before}decoder.")):
        return f"model.{name.removeprefix(before)}"
    outer, _, last = name.rpartition(PROJECTION)
    return PROJECTION if not last and set(outer.split(".")) <= _OUTER | {""} else name


def _require_all(
    model: str,
    own: Mapping[str, str],
    stored: Mapping[str, Stored],
    expected: Collection[str],
    *,
    optional: Collection[str],
) -> None:
    missing = [name for name in expected if name not in own and name not in optional]
    unknown = [own[name] for name in sorted(own) if name not in expected]
    if missing:
        message = (
            f"{model} lacks {len(missing)} of the {format_counted(len(expected), 'weight')} that its "
            "config.json asks for: "
        )
        also = f"; it has {len(unknown)} that belong to no such model: {_some(unknown)}" if unknown else ""
        raise UsageError(f"{message}{_some(missing)}{also}", f"{SAVE_WHOLE}, with the config.json of these weights")
    if unknown:
        message = (
            f"{model} has {len(unknown)} of {format_counted(len(stored), 'weight')} that its "
            "config.json does not ask for: "
        )
        raise UsageError(f"{message}{_some(unknown)}", "use the config.json that was saved with these weights")


def _require_shapes(
    model: str, own: Mapping[str, str], stored: Mapping[str, Stored], expected: Mapping[str, tuple[int, ...]]
) -> None:
    other = [name for name, stored_name in own.items() if stored[stored_name].shape != tuple(expected[name])]
    for name in sorted(other)[:1]:
        found, asked = (_dims(shape) for shape in (stored[own[name]].shape, expected[name]))
        more = f", and {format_counted(len(other) - 1, 'weight')} more of other sizes" if len(other) > 1 else ""
        message = f"{model}: {own[name]} is {found}, its config.json asks for {asked}{more}"
        raise UsageError(message, "use the config.json that was saved with these weights")


def _dims(shape: Iterable[int]) -> str:
    return " x ".join(map(str, shape)) or "a single number"


def _some(names: Collection[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(list(names)[:_SHOWN]) + more
