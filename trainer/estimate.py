"""`python -m trainer.estimate`: the GPU memory that training takes, term by term, for each option, and which to use."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field, field_validator
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from shared.command.cli import parse_settings, run_command
from shared.command.terminal import Screen
from shared.errors import ExitCode, ResourceLimitError, UsageError
from shared.models.model_files import model_config
from shared.schema import HOP_LENGTH, SAMPLING_RATE
from shared.store import open_split
from shared.system.home import expand_home
from shared.text import one_line
from shared.units import format_bytes, format_count, format_counted
from trainer.memory.choices import Choice, Need, advice, any_fits, choices, way_out
from trainer.memory.footprint import USABLE_SHARE, clip_tokens
from trainer.memory.length import Corpus, Effort, hour_line, long_lines
from trainer.model.flops import KNOWN_GPUS, peak_flops
from trainer.model.shape import PUBLISHED, ModelShape
from trainer.settings import TrainerSettings, parse_memory

_NONE = "-"
_USUAL_GPU = "RTX 4060 Ti"
_WIDEST = 400
"""Columns that the table has, whatever the models."""


class EstimateSettings(TrainerSettings):
    """Settings of `python -m trainer.estimate`."""

    model: str = Field("openai/whisper-large-v3-turbo", description="Hub id or folder of the model")
    vram: int = Field(16_000_000_000, ge=1, description="memory of one GPU, such as 16GB or 24GiB [16.0 GB]")
    world_size: int = Field(1, ge=1, description="GPUs that train together [1]")
    clips: int = Field(4, ge=1, description="clips of the micro-batch in the table")
    clip_seconds: float = Field(30.0, gt=0, description="length that they are padded to")
    freeze_encoder: bool = Field(default=False, description="train the decoder alone")
    store: Path | None = Field(None, description="finished store whose hours are counted [--audio-hours]")
    split: str = Field("train", description="its split")
    audio_hours: float = Field(1_000.0, gt=0, allow_inf_nan=False, description="audio to train on, without --store")
    mean_seconds: float = Field(5.0, gt=0, le=30, description="mean length of its clips, without --store")
    num_epochs: float = Field(3.0, gt=0, le=1e6, allow_inf_nan=False, description="passes over it")
    full_context_share: float = Field(0.15, ge=0, le=1, description="share of the clips padded to 30 s")
    pack_share: float = Field(0.0, ge=0, le=1, description="share of the clips packed into windows of 30 s")
    gpu: str | None = Field(None, description="name of the GPU, such as 'RTX 4090' [this machine's, else RTX 4060 Ti]")
    measure: bool = Field(default=True, description="run the steps, too, where there is a GPU")

    @field_validator("vram", mode="before")
    @classmethod
    def _parse_size(cls, value: Any) -> Any:
        return parse_memory(value)

    @field_validator("gpu")
    @classmethod
    def _known_gpu(cls, value: str | None) -> str | None:
        if value is not None and peak_flops(value) is None:
            raise ValueError(f"its speed is not known; known are {', '.join(KNOWN_GPUS)}")
        return value

    @property
    def clip_frames(self) -> int:
        """Padded frames of one clip: an even number, as two make an encoder position."""
        return 2 * max(1, round(self.clip_seconds * SAMPLING_RATE / HOP_LENGTH / 2))

    @property
    def need(self) -> Need:
        """What has to find room."""
        return Need(self.clips * self.clip_frames, self.vram, self.world_size, self.freeze_encoder, self.clip_frames)


def find_shape(model: str) -> tuple[ModelShape, str]:
    """The shape of *model* (folder or Hub id), and where it is from; OpenAI's own are known without the Hub.

    Raises UsageError when its `config.json` cannot be had.
    """
    if model in PUBLISHED:
        return PUBLISHED[model], "sizes from the built-in table: the Hub was not asked"
    return ModelShape.from_config(model_config(model), model), "sizes from its config.json"


def _render(found: Sequence[Choice], measured: Sequence[str] | None = None) -> Table:
    """*found* as a table, with what was *measured* for each where anything was."""
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("--optim", no_wrap=True)
    table.add_column("recompute", no_wrap=True)
    names = ("weights", "gradients", "state", "activations", "total", "fits", "frames")
    for name in (*names, *(["measured"] if measured else [])):
        table.add_column(name, justify="right", no_wrap=True)
    for number, choice in enumerate(found):
        table.add_row(*_cells(choice), *([measured[number]] if measured else []))
    return table


def _cells(choice: Choice) -> Iterator[str | Text]:
    needed = choice.needed
    yield choice.options.optimiser
    yield "always" if choice.options.checkpointing else "never"
    shown = (needed.weights, needed.gradients, needed.optimiser, needed.activations + needed.passing, needed.total)
    yield from map(format_bytes, shown)
    yield Text("yes", "green") if choice.fits else Text("no", "red")
    yield _NONE if choice.frame_budget is None else format_count(choice.frame_budget)


def main(argv: Sequence[str]) -> int:
    """Prints the table and the advice; raises ResourceLimitError, after the table, when nothing fits."""
    about = "What fits in a GPU's memory, term by term: weights, gradients, optimiser state, activations."
    prog = "python -m trainer.estimate"
    settings = parse_settings(EstimateSettings, argv, prog=prog, about=about, positional="model")
    settings.prepare()
    shape, origin = find_shape(settings.model)
    found = choices(shape, settings.need)
    screen = Screen()
    measured, note = _measured(shape, settings, found) if settings.measure else (None, "")
    for line in (*_heading(shape, settings, origin), ""):
        screen.print(Text(one_line(line)))
    table = _render(found, measured)
    # A line that is longer than the terminal is broken there; a figure that is cut short is no figure.
    needed = Measurement.get(screen, screen.options.update(max_width=_WIDEST), table).maximum
    Screen(width=max(screen.width, needed)).print(table)
    fitting = any_fits(found)
    corpus = _corpus(settings)
    hours = hour_line(shape, corpus, _effort(settings))
    for line in ("", *([advice(found)] if fitting else []), hours, *long_lines(shape, corpus)):
        screen.say(line)
    for line in note.splitlines():
        screen.say(line)
    if not fitting:
        usable = format_bytes(round(USABLE_SHARE * settings.vram))
        message = f"nothing fits into {usable}, not even one clip of 30 s"
        raise ResourceLimitError(message, way_out(shape, settings.need))
    return int(ExitCode.DONE)


def _corpus(settings: EstimateSettings) -> Corpus:
    if settings.store is None:
        return Corpus.made_up(settings.audio_hours, settings.mean_seconds)
    split = open_split(expand_home(settings.store), settings.split)
    return Corpus(split.num_frames.astype(np.float64), split.num_labels.astype(np.float64))


def _effort(settings: EstimateSettings) -> Effort:
    gpu = settings.gpu or (_gpu_here() if settings.measure else None) or _USUAL_GPU
    share = settings.full_context_share
    frozen, packed = settings.freeze_encoder, settings.pack_share
    return Effort(settings.num_epochs, share, frozen, gpu, settings.world_size, packed)


def _gpu_here() -> str | None:
    from trainer.training.measured_step import gpu_name  # noqa: PLC0415 - as below

    return gpu_name()


def _heading(shape: ModelShape, settings: EstimateSettings, origin: str) -> list[str]:
    tokens = clip_tokens(shape, settings.clip_frames)
    gpus, clips = format_counted(settings.world_size, "GPU"), format_counted(settings.clips, "clip")
    usable = f"{100 * USABLE_SHARE:.0f} % of {format_bytes(settings.vram)}"
    return [
        f"{settings.model}, {format_count(shape.parameter_count)} parameters",
        f"({origin})",
        f"micro-batch: {clips} of {settings.clip_seconds:g} s and {format_counted(tokens, 'token')} on each of {gpus}",
        f"fits: in {usable}; frames: the most of a micro-batch that does, 100 a second",
        "activations: with autocast's 16-bit weights, one chunk's logits, gradients",
    ]


def _measured(shape: ModelShape, settings: EstimateSettings, found: Sequence[Choice]) -> tuple[list[str] | None, str]:
    """What each of *found* took on the GPU, and a remark."""
    from trainer.training.measured_step import has_gpu, measured_bytes  # noqa: PLC0415 - the table needs no torch

    if not has_gpu():
        return None, "not measured: that needs a GPU; the figures above are computed"
    cells, remarks = [], ["measured on one GPU: the most that torch had in use"]
    for choice in found:
        if choice.options.optimiser == "adamw-zero1" and settings.world_size > 1:
            # One process measures, and the state would be shared by several.
            cells.append(_NONE)
            continue
        try:
            taken = measured_bytes(shape, choice.options, settings.clips, settings.vram)
        except UsageError as error:
            cells.append(_NONE)
            remarks.append(str(error))
        else:
            cells.append("too much" if taken is None else format_bytes(taken))
    # The same package may be missing twice.
    return cells, "\n".join(dict.fromkeys(remarks))


if __name__ == "__main__":
    sys.exit(run_command(main))
