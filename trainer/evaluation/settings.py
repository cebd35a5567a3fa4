"""Settings of `python -m trainer.evaluate`."""

from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from trainer.settings import GenerationConfigChoice, TrainerSettings, parse_folders


class EvaluateSettings(TrainerSettings):
    """Settings of `python -m trainer.evaluate`."""

    store: tuple[Path, ...] = Field((), description="folder of a finished store; repeatable: a test set each")
    split: str = Field("test", description="split to transcribe")
    model: tuple[str, ...] = Field((), description="transformers or CTranslate2 folder, or Hub id; repeatable")
    baseline: str | None = Field(None, description="model that the others are compared with; it need not be a --model")
    beam_size: int = Field(1, ge=1, le=16, description="beams; 1 is greedy")
    generation_config: GenerationConfigChoice = Field(
        "plain", description="plain: all models decode alike; model: each as its own generation_config.json says"
    )
    rows: int | None = Field(None, ge=1, description="only so many clips of each store, always the same ones [all]")
    device: str = Field("auto", description="cpu, cuda, cuda:1; auto: the GPU with most room, else the CPU")
    silence_clips: int = Field(4, ge=0, description="clips of silence to transcribe: each word there is made up")
    hypotheses: Path | None = Field(None, description="table of transcripts (CSV, TSV, JSON lines, Parquet) to score")
    reference_column: str = Field("reference", description="column of --hypotheses with what was said")
    hypothesis_column: tuple[str, ...] = Field(("hypothesis",), description="column with a model's text; repeatable")
    source_column: str | None = Field(None, description="column with the clip's origin")
    duration_column: str | None = Field(None, description="column with the clip's seconds")
    long: Path | None = Field(
        None, description="long recordings for exported models: folder of audio with texts beside, or JSON lines"
    )
    language: str = Field("de", description="language of --long")
    watch: Path | None = Field(None, description="output folder of a training: score its checkpoints as they come")
    output: Path | None = Field(None, description="folder for metrics.json and evaluation.html [none written]")
    resamples: int = Field(10_000, ge=100, description="bootstrap resamples")

    @field_validator("store", mode="before")
    @classmethod
    def _parse_stores(cls, value: Any) -> Any:
        return parse_folders(value)

    @field_validator("model", "hypothesis_column", mode="before")
    @classmethod
    def _parse_names(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value
