"""How long labels and clips of a CTranslate2 folder may be, which its library does not tell."""

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


def export_limits(folder: Path) -> ModelLimits:
    """Those of the export in *folder*: its weights have so many positions; where these cannot be read, its config.json.

    Whisper's where neither tells: CTranslate2's own config.json does not. Raises UsageError for a config.json that is
    damaged, or states no positive whole number.
    """
    config = optional_json(str(folder), "config.json")
    return ModelLimits.from_config(config | _positions(folder / "model.bin"), str(folder))


def _positions(path: Path) -> dict[str, int]:
    """Rows of both tables of positions in *path*, as far as they are found: a file of another layout has none.

    The layout is that of `ctranslate2.specs.ModelSpec.save`: name, dimensions, type and bytes of each tensor.
    """
    found: dict[str, int] = {}
    with suppress(OSError, struct.error, ValueError), path.open("rb") as file:
        _number(file, "I")
        _name(file)
        _number(file, "I")
        for _ in range(_number(file, "I")):
            name = _name(file)
            dims = [_number(file, "I") for _ in range(_number(file, "B"))]
            _number(file, "B")
            file.seek(_number(file, "I"), os.SEEK_CUR)
            if name in _ENCODINGS and dims:
                found[_ENCODINGS[name]] = dims[0]
    return found


def _name(file: BinaryIO) -> str:
    return file.read(_number(file, "H")).rstrip(b"\0").decode()


def _number(file: BinaryIO, kind: str) -> int:
    """The next number, of `struct`'s *kind*. Raises struct.error at the file's end."""
    form = struct.Struct(f"<{kind}")
    (value,) = form.unpack(file.read(form.size))
    return int(value)
