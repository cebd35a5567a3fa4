"""What was named in the place of a transformers model, told by the names of its files; each kind has its own way out.

Pure, but for `kind_at`, which looks into a folder.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from shared.errors import UsageError

WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
"""Where transformers keeps a model's weights, the first that is there."""
LFS_POINTER = b"version https://git-lfs.github.com/spec/"
"""What a file begins with that Git LFS has not fetched yet."""
LFS_REMEDY = "run `git lfs install && git lfs pull` in that folder, or download the model from the Hub"
SAVE_WHOLE = "name a folder that model.save_pretrained(DIR) wrote"


@dataclass(frozen=True, slots=True)
class Kind:
    """Something else than a transformers model: *what* it is, to be read after "that is", and the *remedy*."""

    what: str
    remedy: str


_OF_A_TRAINING = {"optimizer.pt", "scheduler.pt", "scaler.pt"}
"""Beside the weights of a checkpoint of transformers' Trainer."""
_CHECKPOINT = re.compile(r"checkpoint-(\d+)")
_ADAPTER = Kind(
    "a LoRA adapter, not a whole model",
    "merge it into its base model: PeftModel.from_pretrained(BASE, ADAPTER).merge_and_unload().save_pretrained(DIR)",
)
_EXPORT = Kind("a CTranslate2 export", "name the transformers folder or Hub id that it was made from")
_OPENAI = Kind(
    "weights in OpenAI's own format",
    "convert them: python -m transformers.models.whisper.convert_openai_to_hf --checkpoint_path FILE "
    "--pytorch_dump_folder_path DIR",
)
_GGML = Kind("a whisper.cpp model", "name the transformers model that it was made from")
_ONNX = Kind("an ONNX export", "name the transformers model that it was made from")
_FSDP = Kind(
    "a checkpoint in FSDP's parts", "put it together: accelerate merge-weights CHECKPOINT/pytorch_model_fsdp_0 DIR"
)
_ZERO = Kind("a checkpoint in DeepSpeed's parts", "put it together: python CHECKPOINT/zero_to_fp32.py CHECKPOINT DIR")
_OTHER = {
    "adapter_model.*": _ADAPTER,
    "model.bin": _EXPORT,
    "zero_to_fp32.py": _ZERO,
    "pytorch_model_fsdp_*": _FSDP,
    "distributed_checkpoint": _FSDP,
    "*.distcp": _FSDP,
    "ggml*.bin": _GGML,
    "*.gguf": _GGML,
    "*.onnx": _ONNX,
    "flax_model.msgpack": Kind(
        "a model with Flax weights alone", "convert it: FlaxWhisperForConditionalGeneration, in transformers 4"
    ),
    "tf_model.h5": Kind(
        "a model with TensorFlow weights alone",
        "convert it in transformers 4: WhisperForConditionalGeneration.from_pretrained(DIR, from_tf=True)",
    ),
    "*.pt": _OPENAI,
    "store.json": Kind("a feature store", "name a transformers model's folder or Hub id"),
}
"""By what the name of a file in the folder looks like, in the order in which they are looked for."""


def kind_of(names: Collection[str]) -> Kind | None:
    """What holds files and folders *names*, where that is no transformers model; None where it may be one."""
    if "adapter_config.json" in names:
        # transformers would load another model in its place: the base that the adapter names.
        return _ADAPTER
    if any(name in names for name in WEIGHTS):
        return None
    telling = [name for name in names if name not in _OF_A_TRAINING]
    return next((kind for like, kind in _OTHER.items() if any(fnmatch(name, like) for name in telling)), None)


def kind_at(path: Path) -> Kind | None:
    """What lies at *path*; None for what may be a model, and where there is nothing."""
    if path.is_file():
        return kind_of([path.name])
    if not path.is_dir():
        return None
    names = {entry.name for entry in path.iterdir()}
    if "config.json" not in names:
        if "best" in names:
            return Kind("a training's output", f"its best model is {path / 'best'}")
        if checkpoints := sorted((int(match[1]), name) for name in names if (match := _CHECKPOINT.fullmatch(name))):
            return Kind("a training's output", f"name one of its models, such as {path / checkpoints[-1][1]}")
    return kind_of(names)


def refuse_pointer(path: Path, head: bytes) -> None:
    """Raises UsageError where *head*, the first bytes of *path*, are Git LFS's and not the file's own."""
    if head.startswith(LFS_POINTER):
        raise UsageError(f"{path} is a Git LFS pointer: the file itself was never fetched", LFS_REMEDY)
