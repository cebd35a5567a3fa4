"""Settings of the trainer's commands. Environment names begin with TRAINER_ (`TRAINER_LEARNING_RATE=2e-5`)."""

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from shared.command.settings import Folders, PageSettings
from shared.system.home import expand_home
from shared.units import parse_bytes

Optim = Literal["auto", "adamw-8bit", "adamw", "adamw-zero1", "adafactor"]
Checkpointing = Literal["auto", "always", "never"]
Precision = Literal["auto", "fp16", "bf16", "fp32"]
GenerationConfigChoice = Literal["plain", "model"]
_REPORTERS = ("tensorboard", "wandb", "none")
_LAST_PORT = 65_535
_LEAST_MEMORY = 1_000_000
"""Bytes; where fewer are given without a unit, it was forgotten."""


def parse_memory(value: Any) -> Any:
    """A GPU's bytes from text as `parse_bytes` reads it, or as they are.

    Raises ValueError also for a number too small to be without a unit.
    """
    count = parse_bytes(value) if isinstance(value, str) else value
    if str(value).strip().isdecimal() and 0 < count < _LEAST_MEMORY:
        raise ValueError("give a unit, such as 16GB")
    return count


def parse_folders(value: Any) -> Any:
    """Several folders from text as a variable or a TOML file has it (`A,B`), a folder's own name, or as they are."""
    if isinstance(value, str):
        return (value,) if expand_home(value).exists() else tuple(part.strip() for part in value.split(","))
    return (value,) if isinstance(value, Path) else value


class TrainerSettings(Folders):
    """What every command of the trainer has: the folders, under the trainer's own prefix."""

    model_config = SettingsConfigDict(env_prefix="TRAINER_")


class TrainSettings(PageSettings, TrainerSettings):
    """Settings of `python -m trainer.train`."""

    store: tuple[Path, ...] = Field((), description="folder of a finished store; repeatable [required]")
    model: str = Field("openai/whisper-large-v3-turbo", description="Hub id or folder of the model to start from")
    output: Path | None = Field(None, description="folder of the checkpoints [MODEL_DIR/NAME-STORE]")
    split: str = Field("train", description="split to train on")
    eval_split: str | None = Field(None, description="split to evaluate on [test, else validation, where there is one]")
    exclude_rows: Path | None = Field(
        None, description="table (Parquet, CSV) of the row_id and piece of --split to leave out, as trainer.audit makes"
    )
    check_rows: bool = Field(
        default=True, description="compare each clip that is read with its checksum; a byte that changed ends the run"
    )
    wait_for_store: bool = Field(default=False, description="wait until the store is complete instead of refusing it")

    nproc_per_node: int | None = Field(
        None, ge=1, le=1024, description="processes on this machine, one for each GPU [1, or as torchrun says]"
    )

    learning_rate: float = Field(1e-5, gt=0, allow_inf_nan=False, description="peak of the linear schedule")
    warmup_steps: int = Field(500, ge=0, description="steps over which the learning rate rises")
    max_steps: int | None = Field(None, ge=1, description="optimiser steps [as many as --num-epochs takes]")
    num_epochs: float = Field(
        3.0, gt=0, le=1e6, allow_inf_nan=False, description="passes over the split, unless --max-steps is given"
    )
    global_batch_size: int = Field(48, ge=1, description="clips in one optimiser step, over all ranks")
    weight_decay: float = Field(0.0, ge=0, allow_inf_nan=False, description="AdamW's")
    max_grad_norm: float = Field(1.0, gt=0, description="gradients are clipped to this norm")
    optim: Optim = Field("auto", description="optimiser; auto: adamw-8bit on a GPU, adamw on CPU")
    precision: Precision = Field(
        "auto", description="autocast; weights stay float32. auto: fp16 on a GPU, fp32 on CPU, where fp16 is slow"
    )
    gradient_checkpointing: Checkpointing = Field(
        "auto", description="recompute activations; auto: only micro-batches that do not fit otherwise"
    )
    freeze_encoder: bool = Field(default=False, description="train the decoder alone")
    full_context_share: float = Field(
        0.15, ge=0, le=1, description="share of the clips padded to 30 s, as faster-whisper runs the model"
    )
    pack_share: float = Field(
        0.0, ge=0, le=1, description="share of the clips that are packed into windows of 30 s, with their times"
    )
    previous_text_share: float = Field(
        0.1, ge=0, le=1, description="share of the packed windows with the text before them as a prompt"
    )
    timestamp_share: float = Field(
        0.0, ge=0, le=1, description="share of the other clips that are learned with their times"
    )
    allow_long_context: bool = Field(default=False, description="clips over 30 s, with longer sinusoids")
    spec_augment: bool = Field(default=False, description="mask times and bins of the training clips")
    seed: int = Field(42, ge=0, description="seed of the order of clips and of everything random")

    vram_budget: int | None = Field(None, ge=1, description="bytes of the GPU to use, such as 16GB [all it has]")
    frame_budget: int | None = Field(
        None, ge=1, description="padded frames of a micro-batch [GPU: found under --vram-budget; CPU: 12000]"
    )
    loader_threads: int = Field(2, ge=1, le=64, description="threads that form micro-batches ahead, on each rank")

    resume: Literal["auto", "never"] = Field(
        "auto", description="go on at the last checkpoint of --output; never: refuse"
    )
    save_steps: int = Field(1000, ge=1, description="steps between checkpoints")
    keep_latest: int = Field(2, ge=1, description="checkpoints kept besides the best")
    eval_steps: int = Field(1000, ge=1, description="steps between evaluations")
    eval_rows: int = Field(512, ge=1, description="clips of the fixed subset that is evaluated")
    eval_padding: Literal["window", "own"] = Field(
        "window", description="context of evaluated clips: Whisper's 30 s as in use, or their own length (faster)"
    )
    generation_config: GenerationConfigChoice = Field(
        "plain", description="how the model is asked in evaluations; model: by its own generation_config.json instead"
    )
    eval_full: bool = Field(default=False, description="evaluate on every clip of the split")
    logging_steps: int = Field(25, ge=1, description="steps between log records")
    report_to: tuple[str, ...] = Field(("tensorboard",), description="tensorboard, wandb or none; repeatable")
    tensorboard_port: int | Literal["none"] | None = Field(
        None,
        description="port of TensorBoard on 127.0.0.1, 0: any that is free; none: do not start it [on a terminal 6006 "
        "or the next that is free, else none]",
    )
    metrics_port: int = Field(9109, ge=0, le=65535, description="their port; 0: any that is free")
    push_to_hub: str | None = Field(
        None, description="upload the best checkpoint to this Hub id at the end; made, private, at the start [not done]"
    )

    @field_validator("store", mode="before")
    @classmethod
    def _parse_stores(cls, value: Any) -> Any:
        return parse_folders(value)

    @field_validator("vram_budget", mode="before")
    @classmethod
    def _parse_size(cls, value: Any) -> Any:
        return parse_memory(value)

    @field_validator("tensorboard_port", mode="before")
    @classmethod
    def _parse_port(cls, value: Any) -> Any:
        if value is None or value == "none":
            return value
        if not str(value).isdecimal() or int(value) > _LAST_PORT:
            raise ValueError(f"neither a port up to {_LAST_PORT} nor none")
        return int(value)

    @field_validator("report_to", mode="before")
    @classmethod
    def _parse_reporters(cls, value: Any) -> Any:
        names = tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else tuple(value)
        unknown = [name for name in names if name not in _REPORTERS]
        if unknown:
            raise ValueError(f"{', '.join(unknown)}: not among {', '.join(_REPORTERS)}")
        return names

    @model_validator(mode="after")
    def _named(self) -> Self:
        if not self.store:
            raise ValueError("no store was named: --store STORE")
        return self

    @property
    def store_folders(self) -> list[Path]:
        """The stores, of which there is one at least."""
        return [expand_home(store) for store in self.store]

    @property
    def output_folder(self) -> Path:
        """`--output`, or a folder below MODEL_DIR that names model and stores."""
        if self.output is not None:
            return expand_home(self.output)
        models = self.model_dir or self.base / "models"
        stores = "+".join(store.name for store in self.store_folders)
        return models / f"{self.model.rstrip('/').rpartition('/')[2]}-{stores}"
