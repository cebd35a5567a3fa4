"""The command after an evaluation: the export of the best of its models, where one can be exported."""

from shared.command.cli import python_command
from shared.system.home import expand_home
from trainer.evaluation.results import EvaluationResult, ModelResult
from trainer.evaluation.scoring import Normaliser
from trainer.evaluation.settings import EvaluateSettings

_PARTS_OF_A_TRAINING = ("best", "checkpoint-")


def export_command(result: EvaluationResult, settings: EvaluateSettings) -> list[str]:
    """Exports the model with fewest errors; [] where none of *result* is a folder with a model of our own kind."""
    models = [model for model in result.models if model.name != settings.baseline and _can_be_exported(model.name)]
    if not models:
        return []
    name = min(models, key=_wer).name
    split = ["--split", settings.split] if settings.split != "test" else []
    store = ["--store", str(settings.store[0]), *split]
    return [python_command(), "-m", "trainer.export", "--checkpoint", name, "--output", _export_of(name), *store]


def _wer(model: ModelResult) -> float:
    return model.overall[Normaliser.RAW].errors.wer


def _can_be_exported(name: str) -> bool:
    """Whether *name* is a folder of transformers, not a Hub id, nor an export itself."""
    folder = expand_home(name)
    return (folder / "config.json").is_file() and not (folder / "model.bin").is_file()


def _export_of(name: str) -> str:
    """A folder here, named after the model, or after the training that it is a part of."""
    folder = expand_home(name).absolute()
    named = folder.parent if folder.name.startswith(_PARTS_OF_A_TRAINING) else folder
    return f"{named.name}-ct2"
