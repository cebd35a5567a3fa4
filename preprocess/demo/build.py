"""The demo as a run uses it: corpus and model side by side, the corpus under a progress bar on stderr."""

from pathlib import Path

from preprocess.demo.corpus import build_corpus
from preprocess.demo.model import build_model

NUM_MEL_BINS = 80


def build_demo(folder: Path, num_mel_bins: int | None) -> tuple[Path, Path]:
    """The corpus and a model of *num_mel_bins* (80 where None) in *folder*, made where they are not there yet.

    Raises what `build_corpus` and `build_model` raise.
    """
    corpus, model = folder / "corpus", folder / f"model-{num_mel_bins or NUM_MEL_BINS}"
    build_corpus_visibly(corpus)
    build_model(model, num_mel_bins=num_mel_bins or NUM_MEL_BINS)
    return corpus, model


def build_corpus_visibly(directory: Path, *, train_clips: int = 600, test_clips: int = 60, seed: int = 0) -> None:
    """`build_corpus` under a bar that goes away when it is done; nothing is shown where no terminal listens."""
    # Worker processes import this module anew and show nothing.
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    from shared.command.terminal import Screen  # noqa: PLC0415

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Screen(stderr=True), transient=True) as progress:
        task = progress.add_task("speaking German, once", total=None)
        build_corpus(
            directory,
            train_clips=train_clips,
            test_clips=test_clips,
            seed=seed,
            on_progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
