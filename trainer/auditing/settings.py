"""Settings of `python -m trainer.audit`."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from trainer.settings import TrainerSettings


class AuditSettings(TrainerSettings):
    """Settings of `python -m trainer.audit`."""

    store: Path | None = Field(None, description="folder of the finished store [required]")
    split: str = Field("train", description="split to look through")
    model: str | None = Field(
        None, description="transformers folder or Hub id; one that was not trained on these rows [required]"
    )
    output: Path | None = Field(None, description="folder for the tables and audit.html [required]")
    share: float = Field(0.01, gt=0, le=1, description="share of the rows that go to suspects.parquet, worst first")
    shown: int = Field(50, ge=1, le=1000, description="rows that the page shows")
    decode: bool = Field(default=False, description="transcribe every row, not only those that the page shows")
    padding: Literal["window", "own"] = Field(
        "window",
        description="context of a clip: the model's window, or its own length (faster; for models trained so)",
    )
    rows: int | None = Field(None, ge=1, description="only so many clips, always the same ones [all]")
    device: str = Field("auto", description="cpu, cuda, cuda:1; auto: the GPU with most room, else the CPU")
