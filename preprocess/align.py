"""`python -m preprocess.align`: cuts recordings over 30 s at pauses, once, for `preprocess.run --long-audio split`."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Group

from preprocess.alignment.align_split import LONGEST_RECORDING, AlignProgress, Long, align_rows
from preprocess.alignment.cut_plan import read_cut_plan, write_cut_plan
from preprocess.alignment.decoder import WhisperDecoder, model_fingerprint
from preprocess.alignment.journal import Journal
from preprocess.alignment.recording import Decode
from preprocess.alignment.settings import AlignSettings
from preprocess.audio.decode import DecodeLimits
from preprocess.features.log_mel import LogMel, floor_of
from preprocess.features.mel import mel_filters
from preprocess.features.transcript import stored_transcript
from preprocess.governor.room import Room
from preprocess.settings import FOR_CUTS, options_of
from preprocess.sources.base import Columns, Source, split_named
from preprocess.sources.open import access_of, open_source
from preprocess.workspace.prepare import check_is_store
from shared.command.cli import parse_settings, python_command, run_command
from shared.command.next_command import next_lines
from shared.command.terminal import Screen, say
from shared.errors import ExitCode, StoreMismatchError, UsageError
from shared.layout import StoreLayout
from shared.schema import WINDOW_FRAMES
from shared.system.locks import hold
from shared.system.stop_request import StopRequest
from shared.units import format_counted, format_seconds

_PROG = "python -m preprocess.align"
_TELL_SECONDS = 10.0
MakeDecoder = Callable[[AlignSettings], Decode]


def main(argv: Sequence[str], make_decoder: MakeDecoder | None = None) -> int:
    """Cuts what is too long in the source's splits; `make_decoder` stands in for the model in tests."""
    about = (
        "Cut recordings over 30 s at pauses and give each piece its words, once. Restart it at any time: it goes on."
    )
    settings = parse_settings(AlignSettings, argv, prog=_PROG, about=about)
    if settings.source is None or settings.store is None or settings.model is None:
        raise UsageError("source, store and model have to be named", f"{_PROG} --source … --store … --model …")
    access = access_of(settings.config_name, settings.audio_root, follow_links=settings.follow_links)
    source = open_source(settings.source, Columns.of(settings.model_dump()), access)
    names = settings.split or tuple(source.default_splits)
    model = model_fingerprint(settings.model)
    made_for = {name: _made_for(source, name, settings, model) for name in names}
    layout = StoreLayout(settings.store.absolute())
    with hold(layout.root, "--store"), StopRequest(tell=lambda: say("stopping after this recording")) as stop:
        check_is_store(layout)
        layout.cuts.mkdir(exist_ok=True)
        decoder = _Once(partial(make_decoder or _whisper, settings))
        room = Room.of(layout.root, settings.disk_budget, settings.disk_reserve, settings.ram_budget)
        for name in names:
            _Splitter(source, name, layout.cuts_of(name), settings, made_for[name], decoder, stop, room).run()
    _say_next(settings)
    return int(ExitCode.DONE)


def _say_next(settings: AlignSettings) -> None:
    """The run that takes the cuts: with the options that it may not have otherwise."""
    named = ["--source", str(settings.source), "--store", str(settings.store), *options_of(settings, FOR_CUTS)]
    command = [python_command(), "-m", "preprocess.run", *named, "--long-audio", "split", "--model", "WHISPER"]
    screen = Screen()
    screen.print(Group(*next_lines(command, screen.width)), crop=False)


def window_of(num_mel_bins: int) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """What makes the input of a model with *num_mel_bins*, `[num_mel_bins, 3000]`, of a piece of at most 30 s."""
    log_mel = LogMel(mel_filters(num_mel_bins))

    def window(samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """The log-mel of *samples* and after it its floor, as `WhisperFeatureExtractor` has it."""
        values = log_mel(samples)
        out = np.full((num_mel_bins, WINDOW_FRAMES), floor_of(values), np.float32)
        out[:, : len(values)] = values.T
        return out

    return window


def _whisper(settings: AlignSettings) -> Decode:
    folder = settings.model or Path()
    return WhisperDecoder(folder, settings.language, window_of, threads=settings.threads, device=settings.device)


def _nothing(_pieces: Sequence[NDArray[np.float32]]) -> Sequence[str]:
    """In place of a decoder that is not made yet."""
    return ()


class _Once:
    """A decoder that is made when the first recording needs it: most data sets have none that is too long."""

    def __init__(self, make: Callable[[], Decode]) -> None:
        self._make = make
        self._made: Decode = _nothing

    def __call__(self, pieces: Sequence[NDArray[np.float32]]) -> Sequence[str]:
        """As the decoder's own."""
        if self._made is _nothing:
            self._made = self._make()
        return self._made(pieces)


def _made_for(source: Source, split: str, settings: AlignSettings, model: str) -> dict[str, Any]:
    """What the cuts of *split* hang on, *model*'s fingerprint among it: others are not taken for them."""
    layout = split_named(source.splits, split, source.uri)
    rows = layout.num_rows if settings.limit is None else min(settings.limit, layout.num_rows)
    return {
        "split": split,
        "fingerprint": layout.fingerprint,
        "rows": rows,
        "language": settings.language,
        "max_duration": settings.max_duration,
        "strip_timestamps": settings.strip_timestamps,
        **Columns.of(settings.model_dump()).settings(),
        "model": model,
        "rules": asdict(settings.rules),
    }


@dataclass(slots=True)
class _Splitter:
    """One split of *source*, from what its journal has to its cut plan at *final*."""

    source: Source
    split: str
    final: Path
    settings: AlignSettings
    made_for: dict[str, Any]
    decoder: Decode
    stop: StopRequest
    room: Room
    progress: AlignProgress = field(default_factory=AlignProgress)

    def run(self) -> None:
        """Returns when the plan is committed. Raises what ends the command; what was cut stays cut."""
        unfinished, begun = self.final.with_suffix(".unfinished"), self.final.with_suffix(".journal")
        # Under the store's lock, what lies there is a dead run's.
        unfinished.unlink(missing_ok=True)
        if (known := read_cut_plan(self.final)) is not None:
            if dict(known.made_for) != self.made_for:
                changed = [name for name, value in self.made_for.items() if known.made_for.get(name) != value]
                message = f"{self.final} was made otherwise, and stays: {', '.join(changed)}"
                raise StoreMismatchError(message, "use the settings of then, or another --store")
            begun.unlink(missing_ok=True)
            say(f"{self.split}: cut already, {self.final}")
            return
        with Journal.open(begun, self.made_for) as journal:
            self._align(journal)
            write_cut_plan(self.final, unfinished, self.made_for, journal.rows)
            journal.remove()
        say(f"{self.split}: {_in_words(self.progress)}; {self.final}")

    def _align(self, journal: Journal) -> None:
        for cuts in journal.rows:
            self.progress.add(cuts)
        self.progress.rows = journal.next_row
        total, settings = self.made_for["rows"], self.settings
        if journal.next_row >= total:
            return
        reader = self.source.reader(self.split, journal.next_row, total)
        long = Long(DecodeLimits(max_seconds=settings.max_duration), DecodeLimits(max_seconds=LONGEST_RECORDING))
        transcript = partial(stored_transcript, strip_timestamps=settings.strip_timestamps)
        pace = _Pace(self.progress.rows, self.progress.seconds, total)
        self.room.check()
        for cut in align_rows(reader, journal, self.decoder, long, transcript, rules=settings.rules):
            self.progress.rows += 1
            if cut is not None:
                self.progress.add(cut)
                self.room.check()
            if told := pace.tell(self.progress):
                say(f"{self.split}: {told}")
            self.stop.check()


@dataclass(slots=True)
class _Pace:
    """Tells every ten seconds how fast it goes and how long it will take, from where it began."""

    rows: int
    seconds: float
    total: int
    started: float = field(default_factory=monotonic)
    told: float = field(default_factory=monotonic)

    def tell(self, progress: AlignProgress) -> str:
        """What is to be told now, or nothing."""
        if monotonic() - self.told < _TELL_SECONDS:
            return ""
        self.told = monotonic()
        elapsed = self.told - self.started
        speed = (progress.seconds - self.seconds) / elapsed
        left = format_seconds((self.total - progress.rows) * elapsed / max(1, progress.rows - self.rows))
        rows = f"{progress.rows:,} of {self.total:,} rows"
        return f"{rows}, {_in_words(progress)}; {speed:.1f} x real time, about {left} left"


def _in_words(progress: AlignProgress) -> str:
    found = format_counted(progress.long, "long recording")
    share = f"{progress.kept_seconds / progress.seconds:.0%}" if progress.seconds else "none"
    hours = f"{progress.kept_seconds / 3600:.2f} of {progress.seconds / 3600:.2f} h"
    return f"{found}, {progress.kept:,} of them split ({hours}, {share})"


if __name__ == "__main__":
    sys.exit(run_command(main))
