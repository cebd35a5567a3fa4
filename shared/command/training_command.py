"""The command after a verified store: its training, with nothing left to fill in."""

from pathlib import Path

from shared.command.cli import python_command
from shared.layout import StoreLayout, StoreRecord, read_record
from shared.system.foreign_files import read_json

_GPUS = Path("/proc/driver/nvidia/gpus")
_MODELS = {80: "openai/whisper-small", 128: "openai/whisper-large-v3-turbo"}
"""A model of the Hub by the number of mel bins that it hears, where nobody named one."""


def training_command(store: Path) -> list[str]:
    """Trains on *store* with one process for each GPU. Raises StoreError where there is no store."""
    layout = StoreLayout(store)
    model = _model(layout, read_record(layout))
    gpus = len(list(_GPUS.glob("*")))
    processes = ["--nproc-per-node", str(gpus)] if gpus > 1 else []
    output = f"{store.resolve().name}-training"
    named = ["--store", str(store), "--model", model, "--output", output]
    return [python_command(), "-m", "trainer.train", *processes, *named]


def _model(layout: StoreLayout, record: StoreRecord) -> str:
    """The model that the store was made for; of a demo's, which lies beside its corpus."""
    bins = record.features.num_mel_bins
    beside = Path(record.source).parent / f"model-{bins}"
    try:
        settings = read_json(layout.root / "settings.json")
    except (OSError, ValueError):
        settings = {}
    named = settings.get("model") if isinstance(settings, dict) else None
    return str(named or (beside if beside.is_dir() else _MODELS.get(bins, _MODELS[128])))
