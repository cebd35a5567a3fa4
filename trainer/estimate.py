"""`python -m trainer.estimate`: the GPU memory that training takes, term by term, for each option, and which to use."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import Field, field_validator
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from shared.cli import parse_settings, run_command
from shared.errors import ExitCode, UsageError
from shared.model_files import model_config
from shared.schema import HOP_LENGTH, SAMPLING_RATE
from shared.terminal import Screen
from shared.text import one_line
from shared.units import format_bytes, format_count
from trainer.memory.activations import Optimiser, StepOptions
from trainer.memory.footprint import USABLE_SHARE, Footprint, dense_tokens, fits, footprint, suggested_frame_budget
from trainer.model.shape import PUBLISHED, ModelShape
from trainer.settings import TrainerSettings, parse_memory

ORDER: tuple[Optimiser, ...] = ("adamw", "adamw-8bit", "adamw-zero1", "adafactor")
"""The first that fits is the one to use: exact, then nearly so, then at the price of traffic, then another method."""
_NONE = "-"
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
    measure: bool = Field(default=True, description="run the steps, too, where there is a GPU")

    @field_validator("vram", mode="before")
    @classmethod
    def _parse_size(cls, value: Any) -> Any:
        return parse_memory(value)

    @property
    def clip_frames(self) -> int:
        """Padded frames of one clip: an even number, as two make an encoder position."""
        return 2 * max(1, round(self.clip_seconds * SAMPLING_RATE / HOP_LENGTH / 2))


@dataclass(frozen=True, slots=True)
class Choice:
    """One line of the table: *options*, what they need, and the most frames of a micro-batch, None if too few."""

    options: StepOptions
    needed: Footprint
    fits: bool
    frame_budget: int | None


def choices(shape: ModelShape, settings: EstimateSettings) -> list[Choice]:
    """Every optimiser, in `ORDER`, without and with gradient checkpointing."""
    frames = settings.clips * settings.clip_frames
    base = StepOptions(
        frames=frames,
        tokens=dense_tokens(shape, frames),
        world_size=settings.world_size,
        freeze_encoder=settings.freeze_encoder,
    )
    found = []
    for optimiser in ORDER:
        for checkpointing in (False, True):
            options = replace(base, optimiser=optimiser, checkpointing=checkpointing)
            needed = footprint(shape, options)
            budget = suggested_frame_budget(shape, options, settings.vram)
            found.append(Choice(options, needed, fits(needed, settings.vram), budget))
    return found


def advice(found: Sequence[Choice]) -> str:
    """One line: the first of *found* that fits, else the one with the largest micro-batch, else what is left to try."""
    best = next((choice for choice in found if choice.fits), None)
    best = best or max(found, key=lambda choice: choice.frame_budget or 0)
    if best.frame_budget is None and not best.fits:
        return "nothing fits, not even one clip of 30 s: try --freeze-encoder or a smaller model"
    optimiser = best.options.optimiser
    budgets = [_budget(choice) for choice in found if choice.options.optimiser == optimiser and choice.frame_budget]
    mode = "auto" if best.options.checkpointing else "never"
    total = format_bytes(best.needed.total) if best.fits else "smaller micro-batches"
    return f"use --optim {optimiser} --gradient-checkpointing {mode}: {total}; {', '.join(budgets)}"


def _budget(choice: Choice) -> str:
    how = "recomputed" if choice.options.checkpointing else "kept"
    return f"up to {format_count(choice.frame_budget or 0)} frames {how}"


def find_shape(model: str) -> tuple[ModelShape, str]:
    """The shape of *model* (folder or Hub id), and where it is from; OpenAI's own are known without the Hub.

    Raises UsageError when its `config.json` cannot be had.
    """
    if model in PUBLISHED:
        return PUBLISHED[model], "sizes from the built-in table: the Hub was not asked"
    return ModelShape.from_config(model_config(model)), "sizes from its config.json"


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
    """Prints the table and the advice; 0 also when nothing fits."""
    about = "What fits in a GPU's memory, term by term: weights, gradients, optimiser state, activations."
    prog = "python -m trainer.estimate"
    settings = parse_settings(EstimateSettings, argv, prog=prog, about=about, positional="model")
    settings.prepare()
    shape, origin = find_shape(settings.model)
    found = choices(shape, settings)
    screen = Screen()
    measured, note = _measured(shape, settings, found) if settings.measure else (None, "")
    for line in (*_heading(shape, settings, origin), ""):
        screen.print(Text(one_line(line)))
    table = _render(found, measured)
    # A line that is longer than the terminal is broken there; a figure that is cut short is no figure.
    needed = Measurement.get(screen, screen.options.update(max_width=_WIDEST), table).maximum
    Screen(width=max(screen.width, needed)).print(table)
    for line in ("", advice(found), *note.splitlines()):
        screen.say(line)
    return int(ExitCode.DONE)


def _heading(shape: ModelShape, settings: EstimateSettings, origin: str) -> list[str]:
    tokens = dense_tokens(shape, settings.clip_frames)
    gpus = f"{settings.world_size} GPUs" if settings.world_size > 1 else "1 GPU"
    usable = f"{100 * USABLE_SHARE:.0f} % of {format_bytes(settings.vram)}"
    return [
        f"{settings.model}, {format_count(shape.parameter_count)} parameters",
        f"({origin})",
        f"micro-batch: {settings.clips} clips of {settings.clip_seconds:g} s and {tokens} tokens on each of {gpus}",
        f"fits: in {usable}; frames: the most of a micro-batch that does",
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
