"""Settings of `python -m preprocess.align`."""

from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from preprocess.alignment.cuts import LONGEST
from preprocess.alignment.recording import Rules
from preprocess.settings import (
    CONFIG_NAME,
    DURATION_COLUMN,
    END_COLUMN,
    FOLLOW_LINKS,
    OFFSET_COLUMN,
    SEPARATOR,
    SOURCE_COLUMN,
    SPLIT_COLUMN,
    TEXT_COLUMN,
    TEXT_ENCODING,
)
from shared.command.settings import Folders
from shared.schema import SAMPLING_RATE
from shared.units import parse_bytes


class AlignSettings(Folders):
    """What is cut, by which model, and what that may take. What names the source is as for `preprocess.run`."""

    source: str | None = Field(None, description="data set, as for preprocess.run [required]")
    store: Path | None = Field(None, description="folder of the store that the cuts are for [required]")
    model: Path | None = Field(
        None, description="folder of a multilingual Whisper model in CTranslate2's (faster-whisper's) format [required]"
    )
    config_name: str | None = CONFIG_NAME
    follow_links: bool = FOLLOW_LINKS
    audio_root: Path | None = Field(None, description="folder of the clips, as for preprocess.run")
    split: tuple[str, ...] = Field((), description="split of the data set; repeatable [its usual ones]")
    language: str = Field("de", description="language that is spoken")
    limit: int | None = Field(None, ge=1, description="only the first N rows of each split [all]")
    max_duration: float = Field(
        30.0, gt=0, le=30, description="longest clip in seconds that is left whole, and longest piece"
    )
    strip_timestamps: bool = Field(
        default=False, description="leave timestamps such as <|0.00|> out of transcripts, as the run will"
    )
    audio_column: str = Field("audio", description="column with the encoded audio, or with the clip's file")
    text_column: str = TEXT_COLUMN
    source_column: str = SOURCE_COLUMN
    encoding: str = TEXT_ENCODING
    separator: str = SEPARATOR
    offset_column: str = OFFSET_COLUMN
    duration_column: str = DURATION_COLUMN
    end_column: str = END_COLUMN
    split_column: str = SPLIT_COLUMN
    device: str = Field("auto", description="cpu, cuda or auto: a GPU where there is one")
    threads: int = Field(0, ge=0, le=256, description="threads of the model on a CPU; 0: CTranslate2's own choice")
    disk_budget: int | None = Field(
        None, ge=0, description="bytes that the store may take with its cuts [all that is free above the reserve]"
    )
    disk_reserve: int | None = Field(
        None, ge=0, description="bytes of the disk that stay free [10GB, at most 5 % of the disk]"
    )
    ram_budget: int | None = Field(
        None, ge=1, description="bytes of memory that this process may use [the cgroup's or machine's]"
    )

    @property
    def rules(self) -> Rules:
        """How recordings are cut: no piece is longer than a clip that is left whole, whatever a resampler adds."""
        return Rules(longest=min(LONGEST, round(self.max_duration * SAMPLING_RATE) - SAMPLING_RATE // 2))

    @field_validator("disk_budget", "disk_reserve", "ram_budget", mode="before")
    @classmethod
    def _parse_size(cls, value: Any) -> Any:
        return parse_bytes(value) if isinstance(value, str) else value

    @field_validator("split", mode="before")
    @classmethod
    def _parse_splits(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value
