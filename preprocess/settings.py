"""Settings of the preprocessor's commands."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from shared.command.settings import Folders, PageSettings
from shared.errors import UsageError
from shared.schema import FeatureDtype
from shared.system.home import expand_home
from shared.units import parse_bytes

MAX_ACTORS = 256

CONFIG_NAME: Any = Field(None, description="config of the data set's card (README.md) [its default]")
FOLLOW_LINKS: Any = Field(default=False, description="follow links that lead out of the data set's folder")
TEXT_COLUMN: Any = Field("transkription", description="column with the transcript")
SOURCE_COLUMN: Any = Field("source", description="column with the clip's origin")
# How a person's own table is written and what its columns mean, for all commands that open a data set.
TEXT_ENCODING: Any = Field("", description="encoding of a table or of texts, such as cp1252 [recognised]")
SEPARATOR: Any = Field("", description="comma, semicolon, tab, pipe or a letter between a table's cells [recognised]")
OFFSET_COLUMN: Any = Field(
    "", description="a table's column with a part's start in seconds; none: whole files [offset …]"
)
DURATION_COLUMN: Any = Field("", description="column with a part's length in seconds, or none [duration …]")
END_COLUMN: Any = Field("", description="column with a part's end in seconds, or none [end …]")
SPLIT_COLUMN: Any = Field("", description="column with the split of a row; none: all rows are of one [split …]")
LongAudio = Literal["quarantine", "keep", "split"]
"""What becomes of clips that are longer than the model's window."""
LONG_AUDIO: Any = Field(
    "quarantine",
    description="clips over the model's window of 30 s: quarantine leaves them out and counts them, keep stores them "
    "whole up to --max-duration (60 s unless given), split cuts them at pauses as preprocess.align planned",
)


FOR_CUTS = (
    *("config_name", "follow_links", "audio_root", "split", "limit", "language", "max_duration", "strip_timestamps"),
    *("audio_column", "text_column", "source_column", "encoding", "separator"),
    *("offset_column", "duration_column", "end_column", "split_column"),
)
"""What `preprocess.align` and the run that takes its cuts are told alike."""


def options_of(settings: Folders, names: Iterable[str]) -> list[str]:
    """The words by which those of *names* that somebody set in *settings* are told to another command."""
    words: list[str] = []
    for name in names:
        value, option = getattr(settings, name), f"--{name.replace('_', '-')}"
        if name in settings.model_fields_set and value not in (None, False):
            values = value if isinstance(value, tuple) else (value,)
            words += [option] if value is True else [word for one in values for word in (option, str(one))]
    return words


class SourceSettings(Folders):
    """Where rows come from and how they become features; `run` and `plan` share it."""

    source: str | None = Field(
        None,
        description="Hub id[@revision], Parquet file or folder, save_to_disk folder, audiofolder, Common Voice, table "
        "(CSV, TSV, JSON lines), NeMo or lhotse manifest, Kaldi folder, audio files with texts beside them [none]",
    )
    demo: bool = Field(default=False, description="use the built-in German demo corpus and model")
    config_name: str | None = CONFIG_NAME
    follow_links: bool = FOLLOW_LINKS
    audio_root: Path | None = Field(
        None, description="folder of the clips, where their names are absolute, go up (../) or start elsewhere"
    )
    split: tuple[str, ...] = Field((), description="split to prepare; repeatable [all; of Common Voice train dev test]")
    store: Path | None = Field(None, description="folder of the store [CACHE_DIR/features/NAME]")
    model: str | None = Field(None, description="Hub id or folder of a Whisper model: sets mel bins and tokenizer")
    num_mel_bins: int | None = Field(None, ge=1, le=512, description="log-mel bins, where no --model says [128]")
    tokenizer: str | None = Field(None, description="tokenizer.json, folder or Hub id [that of --model]")
    language: str = Field("de", description="language token of the labels")
    feature_dtype: FeatureDtype = Field("float16", description="float16 loses nothing, uint8 halves the store")
    shard_size: int = Field(256_000_000, ge=1, description="target size of a shard, such as 256MB")
    limit: int | None = Field(None, ge=1, description="only the first N rows of each split [all]")
    test_fraction: float = Field(0.0, ge=0, lt=1, description="share of rows for a test split, where there is none")
    max_duration: float = Field(
        30.0, gt=0, le=3600, description="longest clip in seconds; longer is quarantined [the model's window]"
    )
    long_audio: LongAudio = LONG_AUDIO
    strip_timestamps: bool = Field(
        default=False, description="leave timestamps such as <|0.00|> out of transcripts [quarantine such rows]"
    )
    drop_test_leaks: bool = Field(
        default=False, description="leave out rows of train that equal a row of test or validation [only report them]"
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
    actors: int | Literal["auto"] = Field(
        5, description="preprocessing actors; auto: as many as cores, memory and measured benefit ask for"
    )
    disk_budget: int | None = Field(
        None, ge=0, description="bytes that the store and all scratch may take [all that is free above the reserve]"
    )
    disk_reserve: int | None = Field(
        None, ge=0, description="bytes of the disk that stay free [10GB, at most 5 % of the disk]"
    )
    force: bool = Field(default=False, description="start even when the forecast does not fit; the budget still holds")

    @field_validator("shard_size", "disk_budget", "disk_reserve", mode="before")
    @classmethod
    def _parse_size(cls, value: Any) -> Any:
        return parse_bytes(value) if isinstance(value, str) else value

    @field_validator("actors", mode="before")
    @classmethod
    def _parse_actors(cls, value: Any) -> Any:
        if value == "auto":
            return value
        try:
            number = int(value)
        except (TypeError, ValueError):
            number = 0
        if not 1 <= number <= MAX_ACTORS:
            raise ValueError(f"neither a number from 1 to {MAX_ACTORS} nor auto")
        return number

    @field_validator("split", mode="before")
    @classmethod
    def _parse_splits(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.demo and self.source:
            raise ValueError("--demo brings its own source: give either --demo or --source")
        if not (self.demo or self.source):
            raise UsageError(
                "nothing to prepare: no source was named", "give --source, or --demo for the built-in speech"
            )
        return self


class RunSettings(PageSettings, SourceSettings):
    """Settings of `python -m preprocess.run`."""

    max_quarantine: str = Field("5%", description="rows that may be quarantined, as a number or a share like 5%")
    ram_budget: int | None = Field(
        None,
        ge=1,
        description="bytes of memory that all processes of the run may use [the cgroup's or machine's]",
    )
    stall_timeout: float = Field(
        600.0,
        gt=0,
        description="seconds without progress until a run short of disk or memory ends, or a stuck actor is replaced",
    )
    recycle_units: int = Field(100, ge=0, description="shards after which an actor starts anew; 0: never")
    recycle_growth: int = Field(
        512_000_000,
        ge=0,
        description="bytes by which an actor grows before it starts anew; 0: never [512MB]",
    )
    repair: bool = Field(
        default=False, description="read every shard, move bad ones to the store's set-aside/ and make them again"
    )
    ray_address: str | None = Field(None, description="join a Ray cluster of this machine [start one here]")
    report: bool = Field(default=True, description="write report.html into the store at the end (--no-report: do not)")
    log_format: Literal["text", "json"] = Field(
        "text", description="format of LOG_DIR/preprocess.log; json: of stdout as well, unless a live screen is shown"
    )
    view: Literal["auto", "live", "plain", "json"] = Field(
        "auto", description="how progress is shown; auto: live in a terminal, else plain"
    )

    @field_validator("ram_budget", "recycle_growth", mode="before")
    @classmethod
    def _parse_ram(cls, value: Any) -> Any:
        return parse_bytes(value) if isinstance(value, str) else value

    @field_validator("max_quarantine")
    @classmethod
    def _check_quarantine(cls, value: str) -> str:
        quarantine_allowance(value, 100)
        return value


def quarantine_allowance(value: str, num_rows: int) -> int:
    """Rows of *num_rows* that may be quarantined under *value*: `"12"` is a number, `"1.5%"` a share.

    Raises ValueError when it is neither.
    """
    text = value.strip()
    try:
        allowed = int(float(text[:-1]) / 100 * num_rows) if text.endswith("%") else int(text)
    except (ValueError, OverflowError):
        raise ValueError(f"{value!r} is neither a number of rows nor a share such as 1%") from None
    if allowed < 0:
        raise ValueError(f"{value!r} is negative")
    return allowed


def store_path(settings: SourceSettings) -> Path:
    """`--store`, or a folder in `CACHE_DIR/features` named after the source."""
    if settings.store is not None:
        return expand_home(settings.store).absolute()
    name = "demo" if settings.demo else Path(str(settings.source).split("@", maxsplit=1)[0]).name
    return settings.cache / "features" / (name or "store")
