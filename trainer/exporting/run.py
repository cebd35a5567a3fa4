"""An export from its settings to its verdict: conversion, gate, model card, upload."""

import shlex
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import Progress

from shared.command.terminal import Screen
from shared.errors import UsageError
from shared.layout import StoreLayout, read_record
from shared.store import StoreSplit, open_split
from trainer.checkpoints.hub_upload import claim, upload
from trainer.data.dataset import check_split, evaluation_split
from trainer.exporting.conversion import convert, export_folders, folder_bytes, require_room
from trainer.exporting.files import Checkpoint, require_language
from trainer.exporting.model_card import (
    SETTINGS,
    CardFacts,
    installed_versions,
    training_evaluation,
    training_settings,
    training_stores,
    write_card,
)
from trainer.exporting.next_step import ANY_SOUND, transcription_command
from trainer.exporting.problems import file_problems
from trainer.exporting.remarks import remarks, require_tokens, require_window
from trainer.exporting.sample import hear_sample, read_sample
from trainer.exporting.screen import render_exports
from trainer.exporting.settings import ExportSettings
from trainer.gate.apart import ExportApart
from trainer.gate.measure import Candidate, check_files, gate_rows, run_gate
from trainer.gate.original import OriginalModel
from trainer.gate.realtimestt import RealtimeSTTModel
from trainer.gate.verdict import GateRun
from trainer.model.device import for_ctranslate2


def run_export(settings: ExportSettings) -> bool:
    """Converts, checks, describes and, where that was asked for, uploads; whether every export may be used.

    Raises UsageError for a checkpoint or store that does not fit, ResourceLimitError without room on the disk.
    """
    if settings.threads:
        torch.set_num_threads(settings.threads)
    console = Screen()
    checkpoint = Checkpoint.read(settings.checkpoint_folder)
    require_window(checkpoint)
    require_tokens(checkpoint)
    split = _find_split(settings, checkpoint)
    require_language(checkpoint, _language(settings, split))
    # Before anything is converted: a split without clips would leave an export that nobody checked.
    rows = gate_rows(split, settings.gate_rows) if split is not None else []
    sample = read_sample(settings.sample) if settings.sample is not None else None
    hub = claim(settings.push_to_hub, console.say) if settings.push_to_hub is not None else None
    folders = export_folders(settings.output_folder, settings.quantization)
    require_room(checkpoint, folders)
    for name, folder in folders.items():
        made = convert(checkpoint, folder, name)
        console.say(f"{name}: {'made' if made else 'made before, from this checkpoint:'} {folder}")
    run = _check(settings, checkpoint, folders, split, rows=rows, sample=sample, console=console)
    _write_cards(settings, checkpoint, run, split)
    console.print(render_exports(run, {folder: folder_bytes(folder) for folder in folders.values()}))
    for text in remarks(checkpoint):
        console.say(f"note: {text}")
    if run.passed:
        _tell_next(settings, run.exports[0].folder, _language(settings, split), console)
    if hub is not None and run.passed:
        # Several lie below a folder that may be anybody's, with whatever else is in it.
        only = [f"{name}/*" for name in folders] if len(folders) > 1 else None
        console.say(f"uploaded to {upload(settings.output_folder, hub, without='.*', only=only)}")
    return run.passed


def _find_split(settings: ExportSettings, checkpoint: Checkpoint) -> StoreSplit | None:
    """The held-out clips; None where none are asked for.

    Raises UsageError where no store is known or it does not fit the model, StoreError where it cannot be read.
    """
    training = training_settings(checkpoint.folder) or {}
    named = settings.split or (None if settings.store else training.get("eval_split"))
    store = settings.store or _held_out(training_stores(training), named)
    if store is None or (settings.store is None and not store.exists()):
        if settings.gate_rows == 0:
            return None
        message = f"the training's store {store} is not there" if store else "no store is known"
        raise UsageError(message, "--store STORE names one to check the export on; --gate-rows 0 checks only the files")
    name = evaluation_split(read_record(StoreLayout(store)), named)
    if name is None:
        raise UsageError(f"{store} has no test or validation split", "--split names one to check the export on")
    split = open_split(store, name)
    split.check_shards()
    check_split(split, checkpoint.shape, checkpoint.tokenizer_json, allow_long_context=True)
    return split


def _held_out(stores: Sequence[Path], named: str | None) -> Path | None:
    """The first of a training's *stores* that has a split to check on, else the first; None where there are none."""
    for store in filter(Path.exists, stores):
        record = read_record(StoreLayout(store))
        if evaluation_split(record, named) in record.splits:
            return store
    return next(iter(stores), None)


def _check(
    settings: ExportSettings,
    checkpoint: Checkpoint,
    folders: Mapping[str, Path],
    split: StoreSplit | None,
    *,
    rows: Sequence[int],
    sample: NDArray[np.float32] | None,
    console: Screen,
) -> GateRun:
    """The gate on *rows* of *split*; afterwards, where it passed, the *sample*."""
    candidates = [Candidate(folder, name, file_problems(folder, checkpoint)) for name, folder in folders.items()]
    if not rows and sample is None:
        return check_files(candidates)
    device = str(for_ctranslate2(settings.device, console.say))
    threads = settings.threads or torch.get_num_threads()
    language = _language(settings, split)
    original = OriginalModel(checkpoint.folder, device)
    if split is None or not rows:
        run = check_files(candidates)
    else:
        with Progress(console=Screen(stderr=True), transient=True) as progress:
            task = progress.add_task("against the original", total=len(rows))
            tell = partial(progress.advance, task)
            run = run_gate(original, candidates, split, rows, language=language, threads=threads, tell=tell)
    if sample is None or not run.passed:
        return run
    opened = partial(ExportApart, device=device, threads=threads, max_length=original.max_length)
    return hear_sample(sample, RealtimeSTTModel(original, language), run, opened, console.say)


def _tell_next(settings: ExportSettings, export: Path, language: str, console: Screen) -> None:
    command = transcription_command(export, settings.sample, language)
    console.say(f"Next: {shlex.join(command)}")
    if settings.sample is None:
        console.say(f"  with a recording of yours in place of {ANY_SOUND}")


def _write_cards(settings: ExportSettings, checkpoint: Checkpoint, run: GateRun, split: StoreSplit | None) -> None:
    training = training_settings(checkpoint.folder)
    for export in run.exports:
        facts = CardFacts(
            name=checkpoint.folder.resolve().parent.name,
            export=export,
            run=run,
            num_bytes=folder_bytes(export.folder),
            language=_language(settings, split),
            alignment=checkpoint.alignment,
            remarks=remarks(checkpoint),
            versions=installed_versions(),
            store=split.record if split is not None else None,
            training=training and {name: training[name] for name in SETTINGS if training.get(name) is not None},
            evaluation=training_evaluation(checkpoint.folder),
        )
        write_card(facts)


def _language(settings: ExportSettings, split: StoreSplit | None) -> str:
    return settings.language or (split.record.language if split is not None else "de")
