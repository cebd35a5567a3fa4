"""The files of a model's weights: found, looked at before they are believed, and read under the stored names."""

import struct
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from shared.errors import UsageError, first_line
from shared.models.kinds import SAVE_WHOLE, WEIGHTS, refuse_pointer
from shared.models.model_files import is_local, model_json, model_path, refuse_kind
from shared.system.foreign_files import parse_json
from shared.system.read_errors import refuse_unreadable
from shared.units import format_bytes, format_counted

_AGAIN = "copy or download it again"
_OF_WEIGHTS = {".safetensors", ".bin"}
_LENGTH = struct.Struct("<Q")
_MOST_HEADER = 100_000_000
"""Bytes that safetensors allows its own header."""
_PICKLE_REMEDY = "give a model with model.safetensors; whoever trusts this one makes it with model.save_pretrained(DIR)"


def read_weights(model: str) -> dict[str, torch.Tensor]:
    """The weights of *model* (folder or Hub id) as they are stored; of safetensors, views of the mapped file.

    Raises UsageError where there are none, and for a file that is missing, cut off, damaged, a Git LFS pointer, or a
    pickle of more than weights.
    """
    weights: dict[str, torch.Tensor] = {}
    for path in weight_files(model):
        weights |= _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path)
    return weights


def weight_files(model: str) -> list[Path]:
    """The files of *model*'s weights, all there; nothing but their beginnings is read.

    Raises UsageError where one is not, is cut off, or a Git LFS pointer.
    """
    for name in WEIGHTS:
        path = model_path(model, name)
        if path is not None:
            found = _parts(model, name) if name.endswith(".json") else [path]
            for part in found:
                _require_whole(part)
            return found
    refuse_kind(model)
    where = "" if is_local(model) else " on the Hub"
    raise UsageError(f"{model} has no weights{where}: none of {', '.join(WEIGHTS)}", SAVE_WHOLE)


def _parts(model: str, index: str) -> list[Path]:
    """The files that *index* shares the weights out over."""
    table = model_json(model, index).get("weight_map")
    names = sorted(set(map(str, table.values()))) if isinstance(table, dict) else []
    # An index may come from anywhere, and its files lie beside it.
    if not names or any(Path(name).name != name or Path(name).suffix not in _OF_WEIGHTS for name in names):
        raise UsageError(f"{index} of {model} names no weight files", SAVE_WHOLE)
    found = {name: model_path(model, name) for name in names}
    if missing := [name for name, path in found.items() if path is None]:
        of = format_counted(len(names), "file")
        message = f"{model}: {index} names {of} of weights, of which {', '.join(missing)} are not there"
        raise UsageError(message, "copy or download them, too")
    return [path for path in found.values() if path is not None]


def _require_whole(path: Path) -> None:
    with path.open("rb") as file:
        refuse_pointer(path, file.read(200))
    if path.suffix == ".safetensors" and (problem := safetensors_problem(_header(path), path.stat().st_size)):
        raise UsageError(f"{path} {problem}", _AGAIN)


def _header(path: Path) -> bytes:
    """The length and the table of contents of the safetensors file *path*, or what there is of them."""
    with path.open("rb") as file:
        head = file.read(_LENGTH.size)
        return head + file.read(min(_MOST_HEADER, *_LENGTH.unpack(head))) if len(head) == _LENGTH.size else head


def _read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError, RuntimeError) as error:
        refuse_unreadable(path, error)
        raise UsageError(f"{path} is damaged: {first_line(error)}", _AGAIN) from error


def safetensors_problem(head: bytes, num_bytes: int) -> str:
    """What is wrong with a safetensors file that begins with *head* and has *num_bytes*; "" for nothing. Pure.

    As an error would say it of the file: "is cut off: ...".
    """
    if len(head) < _LENGTH.size:
        return f"is cut off: it has {num_bytes} bytes"
    (length,) = _LENGTH.unpack_from(head)
    if length > _MOST_HEADER:
        return "is damaged: it is not a safetensors file"
    if len(head) < _LENGTH.size + length:
        return f"is cut off: it has {format_bytes(num_bytes)}, and its table of contents alone ends later"
    try:
        table = parse_json(head[_LENGTH.size : _LENGTH.size + length])
        ends = [int(entry["data_offsets"][1]) for name, entry in table.items() if name != "__metadata__"]
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        return f"is damaged: its table of contents cannot be read: {error!r}"
    whole = _LENGTH.size + length + max(ends, default=0)
    if num_bytes < whole:
        return f"is cut off: it has {num_bytes:,} bytes of {whole:,}"
    return ""


def _read_pickle(path: Path) -> dict[str, torch.Tensor]:
    try:
        value = _unpickled(path)
    except Exception as error:  # what reads a pickle for its weights alone raises anything where there is more, or less
        refuse_unreadable(path, error)
        # torch's own words are advice to load it all the same, and run what is in it.
        found = "" if isinstance(error, UnpicklingError) else f": {first_line(error)}"
        message = f"{path} cannot be loaded: it is cut off, or not plain weights{found}"
        raise UsageError(message, _PICKLE_REMEDY) from error
    if not isinstance(value, Mapping) or not all(_is_weight(*entry) for entry in value.items()):
        raise UsageError(f"{path} holds something other than weights by name", _PICKLE_REMEDY)
    return dict(value)


def _is_weight(name: Any, value: Any) -> bool:
    return isinstance(name, str) and isinstance(value, torch.Tensor)


def _unpickled(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except RuntimeError:
        # Files of before torch 1.6 cannot be mapped.
        return torch.load(path, map_location="cpu", weights_only=True)
