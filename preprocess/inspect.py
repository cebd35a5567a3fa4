"""`python -m preprocess.inspect`: a data set's or a store's structure, and one row in words and as a picture."""

import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from rich.console import Group, RenderableType
from rich.text import Text

from preprocess.inspection.log_mel_picture import save_log_mel_png
from preprocess.inspection.screen import render_source, render_store
from preprocess.inspection.source import Rules, clip_facts, open_explaining, read_row, row_log_mel, source_facts
from preprocess.inspection.store import store_facts
from preprocess.planning.long_audio import longest_seconds
from preprocess.settings import (
    CONFIG_NAME,
    DURATION_COLUMN,
    END_COLUMN,
    FOLLOW_LINKS,
    LONG_AUDIO,
    OFFSET_COLUMN,
    SEPARATOR,
    SOURCE_COLUMN,
    SPLIT_COLUMN,
    TEXT_COLUMN,
    TEXT_ENCODING,
    LongAudio,
)
from preprocess.sources.base import Access, Columns, Source, split_named
from preprocess.sources.open import access_of
from shared.command.cli import parse_settings, python_command, run_command
from shared.command.next_command import next_lines
from shared.command.settings import Folders
from shared.command.terminal import Screen, json_line, say
from shared.errors import ExitCode, UsageError
from shared.layout import StoreLayout
from shared.models.limits import ModelLimits
from shared.models.model_files import DEFAULT_NUM_MEL_BINS, ModelFacts, model_facts
from shared.system.home import expand_home
from shared.text import Labeller, printable

_PROG = "python -m preprocess.inspect"
_SHORTEST_LINE = 80
_USUAL_MODEL = "openai/whisper-large-v3-turbo"
"""Stands in the next command where no --model was named: a plan needs one."""


class InspectSettings(Folders):
    """Settings of `python -m preprocess.inspect`."""

    source: str | None = Field(None, description="data set (as for preprocess.run) or folder of a store")
    store: Path | None = Field(None, description="folder of a store")
    config_name: str | None = CONFIG_NAME
    follow_links: bool = FOLLOW_LINKS
    audio_root: Path | None = Field(None, description="folder of the clips, as for preprocess.run")
    split: str | None = Field(None, description="split to look into [the first]")
    row: int | None = Field(None, ge=0, description="row of the split, as the data set counts, from 0 [the first]")
    png: Path | None = Field(None, description="draw the row's log-mel into this file, or into this folder")
    json_: bool = Field(default=False, description="print one JSON object")
    num_mel_bins: int = Field(DEFAULT_NUM_MEL_BINS, ge=1, le=512, description="log-mel bins of a data set's picture")
    max_duration: float = Field(
        30.0, gt=0, le=3600, description="longest clip in seconds that a run would take [the model's window]"
    )
    long_audio: LongAudio = LONG_AUDIO
    strip_timestamps: bool = Field(
        default=False, description="leave timestamps such as <|0.00|> out of transcripts, as a run would"
    )
    model: str | None = Field(None, description="Whisper model whose tokenizer counts labels a second [count letters]")
    audio_column: str = Field("audio", description="column with the encoded audio")
    text_column: str = TEXT_COLUMN
    source_column: str = SOURCE_COLUMN
    encoding: str = TEXT_ENCODING
    separator: str = SEPARATOR
    offset_column: str = OFFSET_COLUMN
    duration_column: str = DURATION_COLUMN
    end_column: str = END_COLUMN
    split_column: str = SPLIT_COLUMN


@dataclass(frozen=True, slots=True)
class Picture:
    """What a picture shows: *log_mel* `[num_frames, num_mel_bins]` with its words."""

    log_mel: NDArray[np.float32]
    title: str
    transkription: str
    duration_seconds: float


def main(argv: Sequence[str]) -> int:
    """Prints what a data set or a store holds; USAGE, with the remedy, for a data set that a run could not use."""
    about = "Show what a data set or a store holds, and one row in words and as a picture. Writes the picture only."
    settings = parse_settings(InspectSettings, argv, prog=_PROG, about=about, positional="source")
    if (settings.source is None) == (settings.store is None):
        raise UsageError("name one data set or one store", f"{_PROG} SOURCE, or {_PROG} --store STORE")
    store = settings.store or expand_home(str(settings.source))
    if settings.store is not None or StoreLayout(store).record.is_file():
        return _inspect_store(store, settings)
    return _inspect_source(str(settings.source), settings)


def _inspect_store(root: Path, settings: InspectSettings) -> int:
    facts, log_mel = store_facts(root, settings.split, settings.row)
    picture = None
    if facts.row is not None and log_mel is not None:
        title = f"{root.resolve().name}, {facts.split}, row {facts.row.row_id}"
        picture = Picture(log_mel, title, facts.row.transkription, facts.row.duration)
    drawn = _draw(picture, settings.png)
    _show(asdict(facts), render_store(facts), drawn, settings)
    if not settings.json_:
        _say([python_command(), "-m", "preprocess.verify", "--store", str(root)])
    return int(ExitCode.DONE)


def _inspect_source(uri: str, settings: InspectSettings) -> int:
    if settings.model is not None or not expand_home(uri).exists():
        # Of a data set or a model on the Hub, files are kept in the user's own cache folders.
        settings.prepare()
    columns = Columns.of(settings.model_dump())
    access = access_of(settings.config_name, settings.audio_root, follow_links=settings.follow_links)
    opened = open_explaining(uri, columns, access)
    split = _chosen_split(opened.source, settings.split)
    row = None if opened.source is None else read_row(opened.source, split, settings.row or 0)
    facts_of_model = None if settings.model is None else model_facts(settings.model, None, None)
    limits = ModelLimits() if facts_of_model is None else facts_of_model.limits
    rules = Rules(_longest(settings, limits), settings.strip_timestamps, limits.window_seconds)
    clip = None if row is None else clip_facts(row, rules)
    facts = source_facts(uri, opened, split, clip, rules, labeller=_labeller(facts_of_model))
    picture = None
    if row is not None and clip is not None and clip.seconds is not None and settings.png is not None:
        title = f"{Path(uri).name}, {split}, row {row.row_id}"
        picture = Picture(row_log_mel(row, settings.num_mel_bins), title, clip.transkription, clip.seconds)
    drawn = _draw(picture, settings.png)
    _show(asdict(facts), render_source(facts), drawn, settings)
    if opened.source is not None and not settings.json_:
        _say(_plan_command(uri, [*facts.options, *_access_options(access)], settings))
    return int(ExitCode.USAGE if facts.problems else ExitCode.DONE)


def _plan_command(uri: str, options: Sequence[str], settings: InspectSettings) -> list[str]:
    """The plan of *uri* under the rules that were given here; *options* say how it is read."""
    rules = ["--max-duration", str(settings.max_duration)] if "max_duration" in settings.model_fields_set else []
    rules += ["--long-audio", settings.long_audio] if "long_audio" in settings.model_fields_set else []
    rules += ["--strip-timestamps"] if settings.strip_timestamps else []
    model = settings.model or _USUAL_MODEL
    return [python_command(), "-m", "preprocess.plan", "--source", uri, "--model", model, *options, *rules]


def _access_options(access: Access) -> list[str]:
    """The options that *access* was made of."""
    named = {"--config-name": access.config_name, "--audio-root": access.audio_root}
    options = [word for option, value in named.items() if value is not None for word in (option, value)]
    return [*options, *(["--follow-links"] if access.follow_links else [])]


def _labeller(facts: ModelFacts | None) -> Labeller | None:
    return None if facts is None else Labeller(facts.tokenizer_json, max_labels=facts.limits.max_labels)


def _longest(settings: InspectSettings, limits: ModelLimits) -> float:
    """Seconds of the longest clip that a run with these *settings* takes."""
    named = settings.model_fields_set
    given = settings.max_duration if "max_duration" in named else None
    return longest_seconds(settings.long_audio, limits, given, chosen="long_audio" in named)


def _chosen_split(source: Source | None, name: str | None) -> str:
    """*name*, or the first split; '' where there is no source. Raises SourceError where there is no such split."""
    if source is None:
        return ""
    return source.default_splits[0] if name is None else split_named(source.splits, name, source.uri).name


def _draw(picture: Picture | None, wanted: Path | None) -> Path | None:
    """Writes *picture* to the file *wanted*, or into the folder *wanted*; None where there is nothing to draw."""
    if picture is None or wanted is None:
        return None
    name = re.sub(r"[^\w.-]+", "-", picture.title) + ".png"
    path = expand_home(wanted) / name if expand_home(wanted).is_dir() else expand_home(wanted)
    try:
        save_log_mel_png(
            path,
            picture.log_mel,
            title=picture.title,
            transcript=picture.transkription,
            duration_seconds=picture.duration_seconds,
        )
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}", "name a file in a folder that exists") from error
    return path


def _show(facts: dict[str, Any], screen: RenderableType, drawn: Path | None, settings: InspectSettings) -> None:
    if settings.json_:
        say(json_line(facts | {"picture": str(drawn) if drawn else None}))
        return
    console = _console()
    console.print(screen)
    if drawn is not None:
        console.print(Text.assemble(("\npicture   ", "dim"), printable(str(drawn))), soft_wrap=True)
    elif settings.png is not None:
        console.print(Text("\nno picture: this row has no audio that can be drawn", style="yellow"))
    elif facts["row"] is not None:
        console.print(Text("\npicture   add --png FILE (or a folder) to see the row's log-mel", style="dim"))


def _say(command: Sequence[str]) -> None:
    """Prints the command to type next."""
    console = _console()
    console.print(Group(*next_lines(command, console.width)), crop=False)


def _console() -> Screen:
    width = shutil.get_terminal_size().columns
    return Screen(width=max(width, _SHORTEST_LINE))


if __name__ == "__main__":
    sys.exit(run_command(main))
