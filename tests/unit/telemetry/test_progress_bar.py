"""The screen while a model is trained: a bar on a terminal, a line for each record elsewhere."""

import re
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import BytesIO, StringIO, TextIOWrapper

import pytest
from rich.console import Console

from trainer.telemetry.health import HealthWarning, Trouble
from trainer.telemetry.progress_bar import Pace, ProgressBar
from trainer.telemetry.records import EvaluationRecord, Phase, StepRecord, WordErrors

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
RECORD = StepRecord(
    step=11_975,
    loss=0.31249,
    learning_rate=1e-5,
    grad_norm=1.25,
    loss_scale=65_536.0,
    seconds_per_step=2.0,
    samples_per_second=24.0,
    audio_seconds_per_second=100.0,
    data_wait_share=0.012,
    padding_waste=0.034,
)
RATES = {"raw": WordErrors(0.127, 0.05, 900), "basic": WordErrors(0.113, 0.04, 900)}
EVALUATION = EvaluationRecord(12_000, 512, "own", RATES, {}, 33.0)
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Time:
    """A clock that goes when it is told to."""

    def __init__(self):
        self.now = BEGIN

    def __call__(self):
        return self.now

    def pass_by(self, seconds):
        self.now += timedelta(seconds=seconds)


def shown(*, terminal, width=80, environ=None, resumed_step=0):
    """What a short training leaves in a stream."""
    stream, clock = StringIO(), Time()
    console = Console(file=stream, force_terminal=terminal, width=width, _environ=environ or {"TERM": "xterm"})
    with closing(ProgressBar(console, 60_000, clock, resumed_step)) as bar:
        bar.event("worst micro-batch: 11.2 GiB [of 16]")
        bar.step(RECORD)
        clock.pass_by(100)
        bar.evaluated(EVALUATION, best=True)
        bar.step(replace(RECORD, step=12_000))
        bar.warn(HealthWarning(Trouble.DATA_WAIT, "training waits", "raise --loader-threads"))
    return stream.getvalue()


def live(tell, width=80):
    """What a terminal shows at the end of what *tell* has a bar do."""
    stream, clock = StringIO(), Time()
    console = Console(file=stream, force_terminal=True, width=width, _environ={"TERM": "xterm"})
    with closing(ProgressBar(console, 1_000, clock)) as bar:
        tell(bar, clock)
    return stream.getvalue()


def last_lines(output, count):
    lines = _CONTROL.sub("", output).replace("\r", "\n").rstrip("\n").split("\n")
    return [line.strip() for line in lines[-count:]]


@pytest.mark.parametrize("width", [80, 120])
def test_the_bar_has_steps_rate_eta_loss_and_the_last_wer_with_its_normalisers(width):
    bar, wer = last_lines(shown(terminal=True, width=width), 2)
    assert bar.startswith("step 12,000/60,000 ━")
    assert "24 clips/s, ETA 2 d 05 h, loss 0.312" in bar
    assert wer == "WER 12.70 % raw, 11.30 % basic (step 12,000)"


@pytest.mark.parametrize("width", [60, 72])
def test_a_narrow_terminal_has_the_figures_below_the_bar_and_cuts_none(width):
    bar, figures, wer = last_lines(shown(terminal=True, width=width), 3)
    assert bar.startswith("step 12,000/60,000 ━")
    assert figures == "24 clips/s, ETA 2 d 05 h, loss 0.312"
    assert wer == "WER 12.70 % raw, 11.30 % basic (step 12,000)"


def test_the_bar_moves_with_every_step_and_tells_the_time_left_before_there_is_a_record():
    def tell(bar, clock):
        for step in (1, 2, 3):
            bar.progress(step)
            clock.pass_by(2)

    (line,) = last_lines(live(tell), 1)
    assert line.startswith("step 3/1,000 ")
    assert "ETA 33 min 14 s" in line


def test_a_step_between_records_keeps_their_figures():
    def tell(bar, _clock):
        bar.step(replace(RECORD, step=25))
        bar.progress(26)

    (line,) = last_lines(live(tell, 120), 1)
    assert line.startswith("step 26/1,000 ")
    assert "24 clips/s" in line
    assert "loss 0.312" in line


def test_an_evaluation_has_a_bar_of_its_own_that_moves_and_goes():
    def evaluate(bar, _clock):
        bar.phase(Phase.EVALUATING)
        bar.phase(Phase.EVALUATING, 0, 512)
        bar.phase(Phase.EVALUATING, 128, 512)

    steps, clips = last_lines(live(evaluate), 2)
    assert steps.startswith("step 0/1,000 ")
    assert clips.startswith("evaluating 128/512 ")

    def go_on(bar, clock):
        evaluate(bar, clock)
        bar.phase(Phase.SAVING)
        bar.phase(Phase.TRAINING)

    assert last_lines(live(go_on), 1)[0].startswith("step 0/1,000 ")


def test_without_a_terminal_the_beginning_of_an_evaluation_is_one_line():
    stream = StringIO()
    with closing(ProgressBar(Console(file=stream, width=80), 60_000, Time())) as bar:
        bar.phase(Phase.EVALUATING)
        for done in (0, 128, 512):
            bar.phase(Phase.EVALUATING, done, 512)
            bar.progress(12)
    assert stream.getvalue() == "evaluating 512 clips\n"


def test_the_cursor_is_visible_while_the_bar_is_live():
    output = shown(terminal=True)
    assert output.index("\x1b[?25h") < output.index("worst micro-batch")


def test_events_and_warnings_stand_above_the_bar():
    output = _CONTROL.sub("", shown(terminal=True))
    assert output.index("of 16]") < output.index("-> raise --loader-threads") < output.rindex("12,000/60,000")


def test_a_resumed_bar_begins_where_the_training_does():
    stream = StringIO()
    console = Console(file=stream, force_terminal=True, width=80, _environ={"TERM": "xterm"})
    ProgressBar(console, 60_000, Time(), resumed_step=30_000).close()
    assert "step 30,000/60,000" in stream.getvalue()


def test_without_a_terminal_each_record_and_event_is_one_plain_line():
    lines = shown(terminal=False).splitlines()
    figures = "loss 0.3125, learning rate 1e-05, gradient norm 1.25, 24 clips/s, 100 x real time, 2.0 s/step"
    shares = "data wait 1.2%, padding 3.4%, loss scale 65536"
    rates = "WER 12.70 % raw, 11.30 % basic; CER 5.00 % raw, 4.00 % basic"
    assert lines == [
        "worst micro-batch: 11.2 GiB [of 16]",
        f"step 11,975/60,000, {figures}, {shares}, ETA 1 d 03 h",
        f"evaluation at step 12,000: {rates}; 512 clips in 33 s, the best so far",
        f"step 12,000/60,000, {figures}, {shares}, ETA 2 d 05 h, WER 12.70 % raw, 11.30 % basic (step 12,000)",
        "warning: training waits",
        "  -> raise --loader-threads",
    ]


def test_a_terminal_that_cannot_move_its_cursor_gets_lines():
    output = shown(terminal=True, environ={"TERM": "dumb"})
    assert "━" not in output
    assert "\nstep 12,000/60,000, loss" in output


def test_a_screen_in_an_old_encoding_is_written_to_without_an_error():
    screen = TextIOWrapper(BytesIO(), encoding="ascii")
    with closing(ProgressBar(Console(file=screen), 10, Time())) as bar:
        bar.event("/modelle/größe")
    screen.flush()
    assert screen.buffer.getvalue() == b"/modelle/gr\\xf6\\xdfe\n"


def test_a_wer_at_30_s_says_so():
    stream = StringIO()
    with closing(ProgressBar(Console(file=stream, width=80), 60_000, Time())) as bar:
        bar.evaluated(replace(EVALUATION, padding="window"), best=False)
        bar.step(RECORD)
    assert "WER 12.70 % raw, 11.30 % basic at 30 s (step 12,000)" in stream.getvalue()


def test_time_left_counts_what_lies_between_the_records_too():
    pace = Pace(1_000)
    assert pace.seconds_left(replace(RECORD, step=100), BEGIN) == 900 * 2.0
    later = BEGIN + timedelta(seconds=500)
    assert pace.seconds_left(replace(RECORD, step=200), later) == 800 * 5.0
    assert pace.seconds_left(replace(RECORD, step=1_000), later) == 0


def test_time_left_is_never_negative():
    pace = Pace(10)
    pace.seconds_left(replace(RECORD, step=8), BEGIN)
    assert pace.seconds_left(replace(RECORD, step=9), BEGIN - timedelta(seconds=5)) == 0
    assert pace.seconds_left(replace(RECORD, step=12), BEGIN + timedelta(seconds=5)) == 0
