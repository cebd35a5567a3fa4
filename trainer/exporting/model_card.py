"""The README.md of an export: what it is, what it was made from, how well it does, and what is left to fill in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jinja2 import Environment

from shared.layout import StoreRecord
from shared.pages.templates import Filters, markdown_templates
from shared.system.durable import write_durably
from shared.system.home import expand_home
from shared.system.locks import remove_unheld
from shared.text import one_line
from shared.units import format_bytes, format_count, format_counted, format_rate, format_share
from trainer.evaluation.metrics_file import NORMALISERS
from trainer.evaluation.reporting.formatting import UNKNOWN
from trainer.exporting.files import read_json
from trainer.gate.verdict import Checked, GateRun
from trainer.model.alignment import Alignment

CARD = "README.md"
_PACKAGES = ("ctranslate2", "faster-whisper", "transformers")
SETTINGS = (
    "model",
    "split",
    "learning_rate",
    "warmup_steps",
    "max_steps",
    "num_epochs",
    "global_batch_size",
    "weight_decay",
    "optim",
    "precision",
    "freeze_encoder",
    "full_context_share",
    "spec_augment",
    "seed",
)
"""Settings of the training that decide what the model became."""
_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True, slots=True)
class CardFacts:
    """What a card says. *training* are the training's settings, *evaluation* its record of the exported step."""

    name: str
    export: Checked
    run: GateRun
    num_bytes: int
    language: str
    alignment: Alignment
    remarks: Sequence[str] = ()
    store: StoreRecord | None = None
    training: Mapping[str, Any] | None = None
    evaluation: Mapping[str, Any] | None = None
    versions: Mapping[str, str] | None = None

    @property
    def base_model(self) -> str | None:
        """What the training began with; None where nobody says."""
        return str(self.training["model"]) if self.training and self.training.get("model") else None


def training_settings(checkpoint: Path) -> dict[str, Any] | None:
    """The settings of the training that *checkpoint* lies in the output folder of; None where there are none."""
    value = read_json(checkpoint.resolve().parent / "settings.json")
    return value if isinstance(value, dict) else None


def training_stores(training: Mapping[str, Any]) -> list[Path]:
    """The stores that *training*, its settings, names; earlier versions wrote one name, not a list."""
    named = training.get("store") or []
    return [expand_home(store) for store in ([named] if isinstance(named, str) else named)]


def training_evaluation(checkpoint: Path) -> dict[str, Any] | None:
    """The training's own evaluation of *checkpoint*; None where it was not evaluated."""
    folder = checkpoint.resolve()
    value = read_json(folder.parent / "metrics.json")
    if not isinstance(value, dict):
        return None
    found = [record for record in value.get("evaluations", []) if f"checkpoint-{record['step']:08d}" == folder.name]
    return found[-1] if found else None


def installed_versions() -> dict[str, str]:
    """The packages that an export depends on."""
    return {name: version(name) for name in _PACKAGES}


def write_card(facts: CardFacts) -> Path:
    """Writes the card into the export, in place of one that is there; its path."""
    path = facts.export.folder / CARD
    partial = path.with_name(f".{CARD}.partial")
    remove_unheld(partial)
    write_durably(path, render_card(facts).encode("utf-8", "backslashreplace"), partial)
    return path


def render_card(facts: CardFacts) -> str:
    """The card as Markdown. Pure but for reading its template."""
    return _environment().get_template("model_card.md.j2").render(facts=facts, normalisers=NORMALISERS)


def _environment() -> Environment:
    # What comes from outside goes through `line` or `code`.
    filters: Filters = {
        "bytes": format_bytes,
        "code": _code,
        "count": format_count,
        "counted": format_counted,
        "line": _line,
        "share": format_share,
        "speed": _speed,
    }
    return markdown_templates([_TEMPLATES], filters)


def _line(text: str) -> str:
    """*text* on one line that starts no tag and no table cell."""
    return one_line(text).replace("<", "&lt;").replace("|", "\\|")


def _code(text: str) -> str:
    """*text* as code, whatever is in it."""
    plain = one_line(text).replace("`", "'").replace("|", "\\|")
    return f"`{plain}`" if plain else UNKNOWN


def _speed(rate: float | None) -> str:
    return UNKNOWN if rate is None else format_rate(rate)
