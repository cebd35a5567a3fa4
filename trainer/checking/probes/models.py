"""A model of random weights with a store for it; and its checkpoint exported, and run by CTranslate2."""

from time import perf_counter

import numpy as np
import torch

from shared.schema import WINDOW_FRAMES
from trainer.checking.observations import Export, Material, Spoken
from trainer.checking.probes.random_model import PROMPT, write_random_model
from trainer.checking.speech import speech_split
from trainer.checking.worker import EXPORT, MODEL, STORE, Task
from trainer.checkpoints.checkpoint import load_training
from trainer.exporting.conversion import convert, folder_bytes
from trainer.exporting.files import Checkpoint
from trainer.exporting.problems import file_problems
from trainer.gate.difference import divergence, encoder_error
from trainer.gate.exported import as_array, load_export
from trainer.gate.judge import limits
from trainer.gate.original import OriginalModel
from trainer.model.device import for_ctranslate2

_STORED = "float16"
_LABELS = 20
"""Text labels after which the next token is compared."""


def probe_material(task: Task) -> Material:
    """Writes what is trained, and on what."""
    scope = task.scope
    device = torch.device("cuda", 0) if scope.cuda else torch.device("cpu")
    vocabulary = write_random_model(task.folder / MODEL, scope.shape, device)
    speech_split(task.folder / STORE, scope.shape, scope.seconds, vocabulary)
    return Material(scope.shape.parameter_count, len(scope.seconds))


def probe_export(task: Task) -> Export:
    """The last checkpoint, read with what goes on from it, converted, and the copy's files compared with it.

    Raises SpeechPrepError where it cannot be read.
    """
    load_training(task.checkpoint)
    started = perf_counter()
    checkpoint, folder = Checkpoint.read(task.checkpoint), task.folder / EXPORT
    convert(checkpoint, folder, _STORED)
    return Export(folder_bytes(folder), perf_counter() - started, file_problems(folder, checkpoint))


def probe_ctranslate2(task: Task) -> Spoken:
    """One window of noise through the checkpoint and its export. Raises UsageError where cuBLAS is missing."""
    device = for_ctranslate2("cuda:0" if task.scope.cuda else "cpu", lambda _text: None)
    original = OriginalModel(task.checkpoint, str(device))
    export = load_export(task.folder / EXPORT, str(device), torch.get_num_threads())
    rng = np.random.default_rng(0)
    features = rng.uniform(-1.5, 0.5, (task.scope.shape.num_mel_bins, WINDOW_FRAMES)).astype(np.float32)
    labels = [*map(original.hf_tokenizer.token_to_id, PROMPT), *rng.integers(256, size=_LABELS).tolist()]
    started = perf_counter()
    encoded = export.encode(features)
    after = export.next_tokens(encoded, labels, len(PROMPT))
    seconds = perf_counter() - started
    wanted = original.encode(features)
    before = original.next_tokens(wanted, labels, len(PROMPT))
    computed = str(export.model.compute_type)
    allowed = limits(_STORED, computed)
    return Spoken(
        device=device.type,
        computed=computed,
        encoder_error=encoder_error(as_array(wanted), as_array(encoded)),
        divergence=divergence(before, after),
        encoder_limit=allowed.encoder_error,
        divergence_limit=allowed.divergence,
        seconds=seconds,
    )
