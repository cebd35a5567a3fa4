"""Settings of `python -m trainer.export`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from shared.errors import UsageError
from trainer.settings import TrainerSettings

_QUANTIZATIONS = ("float16", "int8_float16", "int8", "int8_float32", "int8_bfloat16", "int16", "bfloat16", "float32")
"""What CTranslate2 stores weights in; `int8_float16` is int8 matrices and float16 for the rest."""

_OPTION = "--quantization"


class ExportSettings(TrainerSettings):
    """Settings of `python -m trainer.export`."""

    checkpoint: Path | None = Field(None, description="folder of the model, such as OUTPUT/best [required]")
    output: Path | None = Field(None, description="folder of the export; of several, they lie below it [required]")
    quantization: tuple[str, ...] = Field(
        ("float16",), description=f"types to store the weights in, of {', '.join(_QUANTIZATIONS)} [float16]"
    )
    store: Path | None = Field(None, description="store that the export is checked on [the training's]")
    split: str | None = Field(None, description="split of it, held out [the training's, test, or validation]")
    gate_rows: int = Field(
        200, ge=0, description="clips that original and export must agree on; 0: only files are checked"
    )
    sample: Path | None = Field(None, description="sound file to transcribe with the original and every export [none]")
    language: str | None = Field(None, description="language of the recordings [the store's, else de]")
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="where both are run; auto: a GPU if there is one"
    )
    threads: int | None = Field(None, ge=1, description="CPU threads [all cores]")
    push_to_hub: str | None = Field(None, description="upload the export to this Hub id if it passed [not done]")

    @field_validator("quantization", mode="before")
    @classmethod
    def _parse_types(cls, value: Any) -> Any:
        names = value.split(",") if isinstance(value, str) else value
        names = tuple(dict.fromkeys(str(name).strip() for name in names))
        unknown = [name for name in names if name not in _QUANTIZATIONS]
        if unknown:
            raise ValueError(f"{', '.join(unknown)}: not among {', '.join(_QUANTIZATIONS)}")
        return names

    @field_validator("sample", mode="after")
    @classmethod
    def _readable(cls, value: Path | None) -> Path | None:
        if value is not None and not value.is_file():
            raise ValueError("there is no such file")
        return value

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.checkpoint is None or self.output is None or not self.quantization:
            raise ValueError("--checkpoint OUTPUT/best --output DIR are needed, and one --quantization at least")
        return self

    @property
    def checkpoint_folder(self) -> Path:
        """The checkpoint, which is named for sure."""
        return _named(self.checkpoint)

    @property
    def output_folder(self) -> Path:
        """The export's folder, which is named for sure."""
        return _named(self.output)


def spread_quantizations(argv: Sequence[str]) -> list[str]:
    """*argv* with `--quantization a b` as `--quantization a --quantization b`, which is how the parser takes lists."""
    found: list[str] = []
    values = 0
    for argument in argv:
        if argument.startswith("-"):
            values = int(argument == _OPTION)
        elif values:
            # The first value has the option before it already.
            found += [_OPTION] if values > 1 else []
            values += 1
        found.append(argument)
    return found


def _named(folder: Path | None) -> Path:
    if folder is None:
        raise UsageError("a folder is missing", "--checkpoint OUTPUT/best --output DIR")
    return folder
