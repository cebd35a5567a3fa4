"""The status page of a training: bars, figures, curves and what happened. Pure but for its argument *now*."""

from collections.abc import Callable, Sequence
from math import isfinite

from shared.pages.page_html import bar, events, figures, page
from shared.pages.svg_plots import PLOT_CSS, count_ticks, line_chart
from shared.units import format_bytes, format_count, format_counted, format_seconds, format_share
from trainer.telemetry.record_lines import step_figures, wer_words
from trainer.telemetry.records import Phase
from trainer.watch.curves import WER, Points
from trainer.watch.moment import Moment, RunFacts

REFRESH_SECONDS = 5
EVENTS_SHOWN = 20
_NONE = "-"
_STYLE = f"""{PLOT_CSS}
.curves{{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,19rem),1fr));gap:1rem}}
figure{{margin:0;min-width:0}}figcaption{{font-size:.9rem;color:var(--dim)}}
"""
_CURVES: dict[str, tuple[str, Callable[[float], str]]] = {
    "loss": ("loss", lambda value: f"{value:.3g}"),
    WER: ("raw WER", lambda value: f"{100 * value:.3g} %"),
    "learning_rate": ("learning rate", lambda value: f"{value:.2g}"),
    "samples_per_second": ("clips/s", lambda value: f"{value:,.3g}"),
    "data_wait_share": ("waiting for data", lambda value: f"{100 * value:.3g} %"),
    "mfu": ("MFU", lambda value: f"{100 * value:.3g} %"),
    "gpu_utilisation": ("GPU utilisation", lambda value: f"{100 * value:.3g} %"),
    "vram_bytes": ("VRAM", lambda value: format_bytes(round(value))),
    "loss_scale": ("loss scale", lambda value: f"{value:,.6g}"),
    "grad_norm": ("gradient norm", lambda value: f"{value:.3g}"),
}
"""Name and words of each curve, in their order on the page."""


def status_page(
    facts: RunFacts,
    moment: Moment,
    curves: dict[str, Points],
    said: Sequence[tuple[float, str]],
    now: float,
) -> str:
    """*moment* at *now* with its *curves* and the last of what was *said*, each with its Unix time."""
    lines = [(format_seconds(max(0.0, at - facts.started_at)), words) for at, words in reversed(said[-EVENTS_SHOWN:])]
    body = (
        f"{_bars(moment)}{figures(_figures(facts, moment, now))}"
        f'<div class="curves">{_curves(curves)}</div><h2>Events</h2>{events(lines)}'
    )
    percent = 100 * moment.step / moment.max_steps if moment.max_steps else 0.0
    heading = f"{facts.model} on {facts.store} -> {facts.output}"
    title = f"{percent:.1f} % - speech-trainer"
    return page(body, title=title, heading=heading, refresh_seconds=REFRESH_SECONDS, style=_STYLE)


def _bars(moment: Moment) -> str:
    step, most = moment.step, moment.max_steps
    words = f"{format_count(step)} of {format_count(most)}"
    done = moment.phase is Phase.DONE
    shown = bar("Steps", step, most, words, "done" if done else "normal")
    if moment.total:
        words = f"{moment.phase}: {format_count(moment.done)} of {format_counted(moment.total, 'clip')}"
        shown += bar("Clips", moment.done, moment.total, words, "normal")
    return shown


def _figures(facts: RunFacts, moment: Moment, now: float) -> list[tuple[str, str]]:
    left = moment.seconds_left
    best, step = moment.best_wer, moment.best_step
    shown = [
        ("phase", str(moment.phase)),
        ("time left", _NONE if left is None else format_seconds(left)),
        ("elapsed", format_seconds(max(0.0, now - facts.started_at))),
        ("last step", _ago(moment.last_step_at, now)),
        *(step_figures(moment.record).items() if moment.record is not None else ()),
        ("skipped steps", format_count(moment.skipped)),
        *((f"last, step {format_count(e.step)}", wer_words(e.overall)) for e in moment.evaluations.values()),
        ("best raw WER", _NONE if best is None else f"{format_share(best)}, step {format_count(step or 0)}"),
    ]
    last = moment.checkpoint
    if last is None:
        return [*shown, ("checkpoint", _NONE), ("checkpoints failed", format_count(moment.failures))]
    written = f"step {format_count(last.step)}, {format_bytes(last.num_bytes)}, {_ago(last.written_at, now)}"
    return [*shown, ("checkpoint", written), ("checkpoints failed", format_count(moment.failures))]


def _ago(at: float | None, now: float) -> str:
    return _NONE if at is None else f"{format_seconds(max(0.0, now - at))} ago"


def _curves(curves: dict[str, Points]) -> str:
    """A plot of each curve that has anything to show."""
    shown = []
    for name, (title, unit) in _CURVES.items():
        points = curves.get(name, [])
        if any(isfinite(value) for _, value in points):
            steps, values = [step for step, _ in points], [value for _, value in points]
            plot = line_chart(steps, values, title=title, unit=unit, ticks=count_ticks)
            shown.append(f"<figure><figcaption>{title}</figcaption>{plot}</figure>")
    return "".join(shown)
