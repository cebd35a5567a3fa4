"""Build the corpus with a progress bar on stderr."""

from pathlib import Path

from preprocess.demo.corpus import build_corpus


def build_corpus_visibly(directory: Path, *, train_clips: int = 600, test_clips: int = 60, seed: int = 0) -> None:
    """`build_corpus` under a bar that goes away when it is done; nothing is shown where no terminal listens."""
    # Worker processes import this module anew and show nothing.
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("speaking German, once", total=None)
        build_corpus(
            directory,
            train_clips=train_clips,
            test_clips=test_clips,
            seed=seed,
            on_progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
