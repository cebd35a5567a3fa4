"""What a training step really takes on this machine's GPU, with random weights of the real sizes. Needs torch."""

import gc

import torch
from transformers import WhisperConfig, WhisperForConditionalGeneration

from trainer.data.clips import Clip, Clips
from trainer.data.micro_batches import MicroBatch
from trainer.distributed.ranks import Ranks
from trainer.memory.activations import StepOptions
from trainer.memory.budget_search import allow, made_up
from trainer.model.device import current_gpu, device_name
from trainer.model.shape import ModelShape
from trainer.model.whisper import TrainingModel, prepare_model, trained_parameters
from trainer.training.optimizers import make_optimiser
from trainer.training.step import Stepper


def has_gpu() -> bool:
    """Whether torch sees a GPU."""
    return torch.cuda.is_available()


def gpu_name() -> str | None:
    """What torch calls this machine's first GPU, None without one."""
    return device_name(current_gpu()) if has_gpu() else None


def measured_bytes(shape: ModelShape, options: StepOptions, clips: int, vram_bytes: int) -> int | None:
    """The most memory that torch had in use over two steps under *options*, None when *vram_bytes* did not suffice.

    *clips* clips share what *options* says of frames and tokens. Raises UsageError where the optimiser's package is
    missing.
    """
    device = current_gpu()
    allow(vram_bytes, device)
    torch.cuda.reset_peak_memory_stats()
    try:
        take_steps(shape, options, clips, device, torch.float16 if options.autocast else None)
    except torch.OutOfMemoryError:
        return None
    finally:
        # The model's cycles of references would hold its memory into the next measurement.
        gc.collect()
        torch.cuda.empty_cache()
    return torch.cuda.max_memory_allocated()


def take_steps(
    shape: ModelShape, options: StepOptions, clips: int, device: torch.device, dtype: torch.dtype | None
) -> Stepper:
    """Two steps as the trainer takes them; in the second the optimiser's state is there beside the activations.

    *dtype* is autocast's, None for none. Returns what took them.
    """
    special = dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id"), 0)
    with device:
        whisper = WhisperForConditionalGeneration(WhisperConfig(**shape.to_config() | special))
    model = TrainingModel(prepare_model(whisper), freeze_encoder=options.freeze_encoder)
    model.train()
    ranks = Ranks(0, 1, device)
    optimiser = make_optimiser(options.optimiser, trained_parameters(model), ranks, rate=1e-5, weight_decay=0.0)
    stepper = Stepper(model, optimiser, ranks, dtype, max_grad_norm=1.0, seed=0)
    clip = Clip(0, options.frames // clips, options.tokens // clips)
    batch = MicroBatch(Clips.of([clip] * clips), clip.frames, recompute=options.checkpointing)
    tensors = made_up(batch, shape.num_mel_bins, shape.vocab_size, device)
    for _ in range(2):
        stepper.try_out(batch, tensors)
        optimiser.step()
    return stepper
