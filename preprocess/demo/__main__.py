"""`python -m preprocess.demo DIRECTORY`: the demo corpus and the tiny model, with a progress bar."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from preprocess.demo.build import build_corpus_visibly
from preprocess.demo.model import build_model
from shared.command.terminal import complain, complain_of, say
from shared.errors import ExitCode, SpeechPrepError
from shared.units import format_counted


def main(arguments: Sequence[str] | None = None) -> int:
    """Make `DIRECTORY/corpus` and `DIRECTORY/model`; the exit code, after a message on stderr where it is not 0."""
    options = _parser().parse_args(arguments)
    try:
        _build(options.directory, options)
    except SpeechPrepError as error:
        complain_of(error)
        return error.exit_code
    except KeyboardInterrupt:
        complain("interrupted: the same command starts again")
        return ExitCode.INTERRUPTED
    return ExitCode.DONE


def _parser() -> argparse.ArgumentParser:
    # Worker processes import this module anew and read no options.
    from shared.command.cli import Parser  # noqa: PLC0415 - as above

    parser = Parser(
        prog="python -m preprocess.demo",
        description="Make a German speech corpus and a tiny Whisper model; they stand in for the Hugging Face Hub.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("directory", type=Path, help="where corpus/ and model/ go")
    parser.add_argument("--train-clips", type=int, default=600, help="clips of the train split")
    parser.add_argument("--test-clips", type=int, default=60, help="clips of the test split")
    parser.add_argument("--seed", type=int, default=0, help="another seed, another corpus")
    parser.add_argument("--num-mel-bins", type=int, default=80, help="mel bins of the model, 80 or 128")
    return parser


def _build(directory: Path, options: argparse.Namespace) -> None:
    build_corpus_visibly(
        directory / "corpus", train_clips=options.train_clips, test_clips=options.test_clips, seed=options.seed
    )
    build_model(directory / "model", num_mel_bins=options.num_mel_bins)
    for folder in (directory / "corpus", directory / "model"):
        say(_summary(folder))


def _summary(folder: Path) -> str:
    files = [path for path in folder.rglob("*") if path.is_file()]
    megabytes = sum(path.stat().st_size for path in files) / 1e6
    return f"{folder}: {format_counted(len(files), 'file')}, {megabytes:.1f} MB"


if __name__ == "__main__":
    sys.exit(main())
