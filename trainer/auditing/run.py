"""An audit from its settings to its tables and its page."""

import math
import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from rich.markup import escape
from rich.progress import Progress, TaskID

from shared.command.cli import python_command
from shared.command.terminal import Screen
from shared.errors import UsageError
from shared.models.model_files import model_config, tokenizer_json
from shared.store import StoreSplit, open_split
from shared.system.home import expand_home
from shared.text import open_tokenizer
from shared.units import format_counted
from trainer.auditing.listener import Listener
from trainer.auditing.page import write_page
from trainer.auditing.ranking import rank
from trainer.auditing.settings import AuditSettings
from trainer.auditing.table import SUSPECTS, audit_table, write_tables
from trainer.data.dataset import check_split, monitored_rows
from trainer.evaluation.question import is_ctranslate2
from trainer.evaluation.reporting.html_report import require_writable
from trainer.evaluation.scoring import Normaliser, count_errors
from trainer.evaluation.transcribers import words
from trainer.model.device import choose_device
from trainer.model.shape import ModelShape
from trainer.model.whisper import load_model


@dataclass(frozen=True, slots=True)
class Audit:
    """All rows that were looked at, worst first, and how many of them are the suspects."""

    title: str
    table: pa.Table
    suspects: int

    @property
    def counts(self) -> dict[str, int]:
        """How many of the suspects look how, most first."""
        return dict(Counter(self.table["suspicion"][: self.suspects].to_pylist()).most_common())


def audit(settings: AuditSettings) -> Audit:
    """Looks through the split, writes tables and page, and says what was found.

    Raises UsageError for a model that does not fit the store, StoreError for a store that is not whole.
    """
    if settings.store is None or settings.model is None or settings.output is None:
        raise UsageError("no store, model or output was named", "--store STORE --model MODEL --output DIR")
    store, output = expand_home(settings.store), expand_home(settings.output)
    require_writable(output)
    split = open_split(store, settings.split)
    split.check_shards()
    listener = _listener(settings, settings.model, split)
    rows = monitored_rows(split, settings.rows or len(split))
    if not rows:
        raise UsageError(f"{split.name!r} of {store} has no rows", "name another --split")
    found = _audited(settings, listener, rows)
    write_tables(found.table, found.suspects, output)
    write_page(found.title, found.table, found.suspects, found.counts, output, shown=settings.shown)
    _say(settings, found, Screen())
    return found


def _listener(settings: AuditSettings, model: str, split: StoreSplit) -> Listener:
    if is_ctranslate2(model):
        raise UsageError(
            f"{model} is a CTranslate2 model, which gives no losses", "name the checkpoint that it was made from"
        )
    text = tokenizer_json(model)
    shape = ModelShape.from_config(model_config(model), model)
    check_split(split, shape, text, allow_long_context=True)
    device = choose_device(settings.device)
    whisper = load_model(model, Screen(stderr=True).say)
    torch.nn.Module.to(whisper, device).train(mode=False)
    tokenizer = open_tokenizer(text, model)
    return Listener(split, whisper, tokenizer, device, shape.limits, window=settings.padding == "window")


def _audited(settings: AuditSettings, listener: Listener, rows: Sequence[int]) -> Audit:
    split = listener.split
    references = [words(listener.tokenizer, split.labels(row).tolist()) for row in rows]
    hypotheses: list[str | None] = [None] * len(rows)
    suspects = math.ceil(settings.share * len(rows))
    with Progress(console=Screen(stderr=True), transient=True) as progress:

        def bar(what: str, count: int) -> TaskID:
            return progress.add_task(escape(what), total=count)

        task = bar("losses", len(rows))
        heard = listener.hear(rows, lambda done: progress.advance(task, done))
        errors = None
        if settings.decode:
            task = bar("transcripts", len(rows))
            texts = listener.transcripts(rows, lambda done: progress.advance(task, done))
            errors, hypotheses = _errors(references, texts), [*texts]
        ranking = rank(heard, errors)
        if not settings.decode:
            shown = ranking.order[: settings.shown].tolist()
            task = bar("transcripts of the worst", len(shown))
            texts = listener.transcripts([rows[place] for place in shown], lambda done: progress.advance(task, done))
            for place, text in zip(shown, texts, strict=True):
                hypotheses[place] = text
    table = audit_table(split, rows, heard, ranking, references=references, hypotheses=hypotheses)
    title = f"{format_counted(len(rows), 'row')} of {split.name} of {split.root}, heard by {settings.model}"
    return Audit(title, table, suspects)


def _errors(references: Sequence[str], texts: Sequence[str]) -> NDArray[np.float64]:
    """Errors per character of each row, however it is spelled; at most 1, which is all wrong."""
    counts = count_errors(references, texts, Normaliser.BASIC)
    errors: NDArray[np.float64] = np.minimum(counts.char_errors / np.maximum(counts.chars, 1), 1.0)
    return errors


def _say(settings: AuditSettings, found: Audit, screen: Screen) -> None:
    output = settings.output
    assert output is not None
    kinds = ", ".join(f"{count} {kind}" for kind, count in found.counts.items())
    screen.say(found.title)
    screen.say(f"the worst {found.suspects}: {kinds}")
    screen.say(f"look at them in {output / 'audit.html'}; to leave out those in {SUSPECTS} (any part of it will do):")
    options = ["--store", str(settings.store), "--split", settings.split, "--exclude-rows", str(output / SUSPECTS)]
    screen.say(shlex.join([python_command(), "-m", "trainer.train", *options]))
