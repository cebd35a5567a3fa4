"""What a CTranslate2 folder was made for: its library tells the mel bins once it is loaded, and lengths never."""

import os
import struct
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from shared.models.limits import ModelLimits
from shared.models.model_files import optional_json

_ENCODINGS = {
    "encoder/position_encodings/encodings": "max_source_positions",
    "decoder/position_encodings/encodings": "max_target_positions",
}
_CONVOLUTION = "encoder/conv1/weight"


def export_limits(folder: Path) -> ModelLimits:
    """Those of the export in *folder*: its weights have so many positions; where these cannot be read, its config.json.

    Whisper's where neither tells: CTranslate2's own config.json does not. Raises UsageError for a config.json that is
    damaged, or states no positive whole number.
    """
    config, dims = optional_json(str(folder), "config.json"), _dims(folder / "model.bin")
    positions = {entry: dims[name][0] for name, entry in _ENCODINGS.items() if dims.get(name)}
    return ModelLimits.from_config(config | positions, str(folder))


def export_mel_bins(folder: Path) -> int | None:
    """The mel bins that the export in *folder* takes, None where its weights cannot be read."""
    dims = _dims(folder / "model.bin").get(_CONVOLUTION, [])
    return dims[1] if dims[1:] else None


def _dims(path: Path) -> dict[str, list[int]]:
    """The dimensions of the tensors in *path*, by name, as far as they are found: a file of another layout has none.

    The layout is that of `ctranslate2.specs.ModelSpec.save`: name, dimensions, type and bytes of each tensor.
    """
    found: dict[str, list[int]] = {}
    with suppress(OSError, struct.error, ValueError), path.open("rb") as file:
        _number(file, "I")
        _name(file)
        _number(file, "I")
        for _ in range(_number(file, "I")):
            name = _name(file)
            dims = [_number(file, "I") for _ in range(_number(file, "B"))]
            _number(file, "B")
            file.seek(_number(file, "I"), os.SEEK_CUR)
            found[name] = dims
    return found


def _name(file: BinaryIO) -> str:
    return file.read(_number(file, "H")).rstrip(b"\0").decode()


def _number(file: BinaryIO, kind: str) -> int:
    """The next number, of `struct`'s *kind*. Raises struct.error at the file's end."""
    form = struct.Struct(f"<{kind}")
    (value,) = form.unpack(file.read(form.size))
    return int(value)
