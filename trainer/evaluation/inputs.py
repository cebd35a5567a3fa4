"""What an evaluation starts from: rows with their references, and what each model made of them. Plain values."""

from collections.abc import Sequence
from dataclasses import dataclass

from shared.errors import UsageError
from shared.units import format_counted


@dataclass(frozen=True, slots=True)
class EvaluationRow:
    """One clip: *duration* is its audio in seconds, None where a ready table does not tell.

    *test_set* names the store that it is of, "" where there is but one.
    """

    row_id: int
    source: str
    reference: str
    duration: float | None = None
    test_set: str = ""


@dataclass(frozen=True, slots=True)
class SilenceCheck:
    """What a model wrote where nobody spoke: into how many of *clips*, how many *words*, and some of the texts."""

    clips: int
    clips_with_text: int
    words: int
    examples: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class ModelTranscripts:
    """One model's *hypotheses*, in the order of the rows.

    *real_time_factor* is the time for decoding by the length of the audio: 0.1 is ten times faster than listening.
    *decoding* says how it was asked, "" where nobody knows; *remarks* what is odd about it.
    """

    name: str
    hypotheses: Sequence[str]
    real_time_factor: float | None = None
    silence: SilenceCheck | None = None
    decoding: str = ""
    remarks: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class EvaluationFacts:
    """Rows and models to compare on them.

    *title* says which rows they are, *decoding* how the models were run ("greedy", "beam of 5"), "" where nobody knows.
    *baseline* names the model that the others are compared with. Raises UsageError for no rows, no models, a name given
    twice or a baseline that is none of them, ValueError for a model with more or fewer hypotheses than there are rows.
    """

    title: str
    rows: Sequence[EvaluationRow]
    models: Sequence[ModelTranscripts]
    decoding: str = ""
    baseline: str | None = None

    def __post_init__(self) -> None:
        names = [model.name for model in self.models]
        if not self.rows:
            raise UsageError(f"{self.title} has no rows to evaluate", "choose another split or file")
        if not names or len(set(names)) < len(names):
            message = f"models must be named, and once each: {', '.join(names) or 'none'}"
            raise UsageError(message, "name each --model, or --hypothesis-column, once")
        if self.baseline is not None and self.baseline not in names:
            raise UsageError(f"the baseline {self.baseline} is not among {', '.join(names)}", "check --baseline")
        for model in self.models:
            if len(model.hypotheses) != len(self.rows):
                heard = format_counted(len(model.hypotheses), "hypothesis", "hypotheses")
                raise ValueError(f"{model.name} has {heard} for {format_counted(len(self.rows), 'row')}")

    @property
    def audio_seconds(self) -> float | None:
        """The length of all clips together, None where it is not known of each."""
        durations = [row.duration for row in self.rows if row.duration is not None]
        return sum(durations) if len(durations) == len(self.rows) else None
