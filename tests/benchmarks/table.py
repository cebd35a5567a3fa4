"""What the figures say: ratios against the targets, a table for people and a fragment for the README."""

from outcome import Outcome
from rich.console import Console
from rich.table import Table

from shared.units import format_bytes

MAX_ABS_ERROR = 1e-4
MIB = 1 << 20
NAMES = {
    "datasets_map": "`datasets.map` + WhisperFeatureExtractor",
    "ours": "`preprocess.run`, Ray included",
    "bare_loop": "a bare 40-line loop",
    "decode": "decoding alone (ours)",
    "soundfile": "decoding alone (soundfile)",
}
HEADINGS = ("", "clips/s", "with start", "x", "CPU ms / sample, with start", "peak disk / sample", "peak memory")


def checks(found: dict[str, Outcome], actors: int, error: float) -> dict[str, dict]:
    """Each target with the figure that was measured and whether it was met."""
    ours, theirs = found["ours"], found["datasets_map"]
    bare = max(found["decode"].rate, found["soundfile"].rate)
    scratch = ours.peak_disk_bytes - 1.03 * ours.final_disk_bytes
    figures = {
        "features equal": (error, MAX_ABS_ERROR),
        "datasets.map x at least": (-ours.rate / theirs.rate, -12),
        "actor time / decode time": (bare / ours.rate, 2),
        "peak disk / store": (ours.peak_disk_bytes / ours.final_disk_bytes, 1.03),
        "scratch over 1.03 stores, MiB per actor": (scratch / actors / MIB, 256),
        "actor memory over idle, MB": (ours.actor_peak_over_idle_bytes / 1e6, 150),
        "actor memory growth, MB": (ours.actor_growth_bytes / 1e6, 30),
    }
    return {
        name: {"measured": abs(value) if limit < 0 else value, "target": abs(limit), "ok": value <= limit}
        for name, (value, limit) in figures.items()
    }


def print_tables(report: dict[str, dict]) -> None:
    """The comparison and the targets of every variant."""
    console = Console(highlight=False)
    for variant, measured in report.items():
        table = Table(*HEADINGS, title=variant, title_justify="left")
        for row in _rows(measured):
            table.add_row(*row)
        targets = Table("target", "measured", "wanted", "")
        for name, check in measured["checks"].items():
            verdict = "met" if check["ok"] else "missed"
            targets.add_row(name, f"{check['measured']:.3g}", f"{check['target']:g}", verdict)
        console.print(table, targets)


def markdown(report: dict[str, dict], actors: int) -> str:
    """One table for the README."""
    lines = ["| clips | " + " | ".join(("contender", *HEADINGS[1:])) + " |", "|---" * (len(HEADINGS) + 1) + "|"]
    for variant, measured in report.items():
        lines += ["| " + " | ".join((variant, *row)) + " |" for row in _rows(measured)]
    lines += ["", f"{actors} processes each, one thread a library; `python tests/benchmarks/pipeline.py`."]
    return "\n".join(lines) + "\n"


def _rows(measured: dict) -> list[tuple[str, ...]]:
    outcomes = {name: Outcome(**values) for name, values in measured["contenders"].items()}
    unit = outcomes["datasets_map"].rate
    return [_row(NAMES[name], outcomes[name], unit) for name in NAMES]


def _row(name: str, outcome: Outcome, unit: float) -> tuple[str, ...]:
    disk = format_bytes(round(outcome.peak_disk_bytes / outcome.rows)) if outcome.peak_disk_bytes > MIB else "-"
    return (
        name,
        f"{outcome.rate:,.0f}",
        f"{outcome.whole_rate:,.0f}",
        f"{outcome.rate / unit:.1f}",
        f"{outcome.cpu_seconds / outcome.rows * 1e3:.2f}",
        disk,
        format_bytes(round(outcome.peak_uss_bytes)),
    )
