import re
import subprocess
from dataclasses import replace
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from preprocess.features.stages import STAGES, WAITING
from preprocess.reporting.run_summary import (
    RunSummary,
    SplitSummary,
    limiting_stage,
    percent_error,
    scored,
    stage_shares,
)
from preprocess.reporting.summary_screen import render_summary

GB = 10**9
TRAIN = SplitSummary("train", 970_012, 4_240_800.0, {"too_long": 31, "undecodable": 12, "empty_transcript": 9})
TEST = SplitSummary("test", 9_801, 43_200.0, {"too_long": 1})
DONE = RunSummary(
    store="/data/cache/features/asr-german-mixed",
    splits=(TRAIN, TEST),
    num_shards=436,
    store_bytes=112 * GB,
    run_rows=979_866,
    run_audio_seconds=4_284_000.0,
    elapsed_seconds=3_840.0,
    peak_disk_bytes=113_200_000_000,
    peak_ram_bytes=1_400_000_000,
    actor_peak_ram_bytes=(182_000_000, 184_000_000, 179_000_000, 181_000_000, 180_000_000),
    stage_seconds=dict(zip(STAGES, (0, 800, 11_600, 0, 3_800, 900, 600, 300), strict=True)),
    actor_seconds=19_000.0,
    num_cores=6,
    actor_restarts=1,
    disk_budget_bytes=120 * GB,
    ram_limit_bytes=64 * GB,
    level_seconds={"normal": 3_763.0, "throttle": 65.0, "pause": 12.0},
    removed_bytes=3_000_000,
    forecast_store_bytes=110 * GB,
    forecast_seconds=4_100.0,
    next_command=("python", "-m", "preprocess.verify", "--store", "/data/cache/features/asr-german-mixed"),
)


def screen(summary=DONE, width=80):
    console = Console(file=StringIO(), width=width, height=24, record=True, force_terminal=True)
    console.print(render_summary(summary, width), crop=False)
    return console.export_text().splitlines()


def limit(stage_seconds, *, actor_seconds=100.0, num_actors=5, num_cores=6):
    return limiting_stage(stage_seconds, actor_seconds=actor_seconds, num_actors=num_actors, num_cores=num_cores)


@pytest.mark.parametrize("width", [80, 120])
def test_the_summary_fits_one_screen(width):
    lines = screen(width=width)
    assert len(lines) < 24
    assert max(map(cell_len, lines)) <= width


def test_the_largest_summary_fits_one_screen_too():
    many = [replace(TRAIN, name=f"split{n}", quarantined=dict.fromkeys("abcdefghij", 970_064)) for n in range(9)]
    command = (*DONE.next_command, "--some-other-option", "some other value", "--and-one-more", "x" * 30)
    lines = screen(replace(DONE, splits=many, next_command=command, store="/data/" + "x" * 100))
    assert len(lines) <= 24
    assert max(map(cell_len, lines)) <= 80


@pytest.mark.parametrize(
    "words",
    [
        "/data/cache/features/asr-german-mixed",
        "970,012",
        "1,178 h",
        "32 too_long, 12 undecodable, 9 empty_transcript",
        "112 GB, 436 shards",
        "94.1 MB per hour of audio",
        "1 h 04 min, 979,866 rows",
        "255 clips/s, 1,116 x real time",
        "113 GB of 120 GB allowed",
        "1.4 GB of 64.0 GB in use",
        "5, the largest 184 MB, 1 restart",
        "pause 12 s, throttle 1 min 05 s",
        "110 GB, 1.8 % too low",
        "1 h 08 min, 6.8 % too high",
        "decode took 61 % of actor time",
        "python -m preprocess.verify --store",
    ],
)
def test_the_summary_says_what_a_person_wants_to_know(words):
    assert words in "\n".join(screen())


def test_one_shard_and_one_row_are_not_several():
    text = "\n".join(screen(replace(DONE, num_shards=1, run_rows=1, splits=(replace(TRAIN, cancelled=1),))))
    assert re.findall(r"\b1 (?:shard|row)s?\b", text) == ["1 row", "1 shard", "1 row"]


def test_all_stages_and_the_time_that_none_accounts_for_are_shown():
    text = "\n".join(screen())
    assert all(re.search(rf"\b{name} .* \d+ %", text) for name in (*STAGES, WAITING))


@pytest.mark.parametrize(
    "folder",
    [
        "/data/features",
        "/data/Übung with 'spaces'/$HOME",
        "/" + "x" * 64,
        "/" + "z" * 200,
        *("/" + "y" * n for n in range(28, 46)),
    ],
)
def test_the_next_command_can_be_copied_to_a_shell_as_it_stands(folder):
    command = ("python", "-m", "preprocess.verify", "--store", folder, "--source", "flozi00/asr-german-mixed")
    text = "\n".join([*screen(replace(DONE, next_command=command)), ""])
    script = "set -- " + text.split("Next:")[1] + "printf '%s\\n' \"$@\""
    printed = subprocess.run(
        ["sh", "-euc", script], check=True, capture_output=True, text=True, encoding="utf-8"
    ).stdout
    assert tuple(printed.splitlines()) == command


def test_a_run_that_had_nothing_to_do_is_summarised_without_failing():
    nothing = replace(
        DONE,
        splits=(),
        store_bytes=0,
        run_rows=0,
        run_audio_seconds=0.0,
        elapsed_seconds=0.0,
        actor_peak_ram_bytes=(),
        stage_seconds={},
        actor_seconds=0.0,
        next_command=(),
    )
    text = "\n".join(screen(nothing))
    assert "this run made no shard" in text
    assert "quarantined: none" in text
    assert "Next:" not in text


def test_rows_that_were_mixed_to_near_silence_are_counted_over_all_splits():
    splits = [replace(TRAIN, cancelled=1_200), replace(TEST, cancelled=3)]
    assert "near silence: 1,203 rows" in " ".join(screen(replace(DONE, splits=splits)))
    assert "silence" not in " ".join(screen())


def test_a_run_without_a_forecast_says_nothing_of_one():
    assert "forecast" not in "\n".join(screen(replace(DONE, forecast_store_bytes=None, forecast_seconds=None)))


def test_a_forecast_that_came_true_is_called_right():
    assert "112 GB, right" in "\n".join(screen(replace(DONE, forecast_store_bytes=112 * GB)))


def test_rates_are_of_this_run_and_sizes_of_the_whole_store():
    resumed = replace(DONE, run_rows=7_680, run_audio_seconds=38_400.0)
    assert resumed.samples_per_second == 2.0
    assert resumed.audio_seconds_per_second == 10.0
    assert resumed.real_time_factor == 0.1
    assert resumed.bytes_per_audio_hour == DONE.bytes_per_audio_hour == pytest.approx(112 * GB / 1_190)


def test_quarantined_rows_are_counted_by_reason_over_all_splits():
    assert DONE.quarantined == {"too_long": 32, "undecodable": 12, "empty_transcript": 9}
    assert TRAIN.rows_quarantined == 52


def test_a_forecast_is_scored_against_the_outcome_positive_when_too_high():
    assert percent_error(110.0, 100.0) == pytest.approx(10.0)
    assert percent_error(90.0, 100.0) == pytest.approx(-10.0)
    assert percent_error(0.0, 0.0) == 0.0


@given(st.dictionaries(st.sampled_from(STAGES), st.floats(0, 1e6), min_size=1), st.floats(1, 1e7))
def test_shares_of_actor_time_are_fractions_that_sum_to_one(stage_seconds, actor_seconds):
    shares = stage_shares(stage_seconds, actor_seconds)
    assert all(0 <= share <= 1 for share in shares.values())
    assert sum(shares.values()) == pytest.approx(1.0)


def test_stages_are_shown_in_the_order_of_the_work_with_unknown_ones_after_them():
    assert list(stage_shares({"write": 1, "other": 1, "read": 1}, 4)) == ["read", "write", "other", "waiting"]


def test_a_stage_that_computes_asks_for_more_actors_while_cores_are_free():
    advice = "decode took 61 % of actor time: more actors would help (5 on 6 cores)"
    assert limit({"decode": 61.0, "read": 20.0}) == advice


def test_a_stage_that_computes_asks_for_more_cores_when_all_are_taken():
    advice = "log_mel took 80 % of actor time: more or faster cores would help (6 actors on 6)"
    assert limit({"log_mel": 80.0}, num_actors=6) == advice


@pytest.mark.parametrize(
    ("stage", "advice"), [("read", "source"), ("write", "faster disk"), ("commit", "syncs faster")]
)
def test_a_stage_that_waits_for_a_disk_asks_for_a_faster_one_instead_of_more_actors(stage, advice):
    assert advice in limit({stage: 70.0, "decode": 20.0})


def test_actors_that_mostly_waited_are_named_as_the_limit():
    assert limit({"decode": 20.0}).startswith("waiting took 80 % of actor time: fewer actors would do")


@pytest.mark.parametrize(
    ("forecast", "outcome", "words"),
    [
        (100.04, 100.0, "right"),
        (110.0, 100.0, "10.0 % too high"),
        (90.0, 100.0, "10.0 % too low"),
        (1.0, 0.0, "nothing came of it"),
    ],
)
def test_how_right_a_forecast_was_is_said_in_words(forecast, outcome, words):
    assert scored(forecast, outcome) == words


def test_a_store_that_was_complete_says_so_and_shows_no_zeros():
    text = "\n".join(screen(replace(DONE, run_rows=0, stage_seconds={}, actor_seconds=0.0)))
    assert text.startswith("Already complete")
    assert not any(word in text for word in ("speed", "peak", "forecast", "0 clips/s"))


def test_other_programs_that_took_the_cores_are_named_as_the_limit_and_excuse_the_forecast():
    busy = replace(DONE, others_share=0.6, forecast_seconds=DONE.elapsed_seconds / 2)
    assert busy.limited_by.startswith("other programs took 60 % of the cores")
    assert "50.0 % too low (busy)" in "\n".join(screen(busy))


def test_the_runs_own_memory_comes_before_the_machines():
    assert "900 MB own; " in "\n".join(screen(replace(DONE, peak_own_bytes=900_000_000)))


def test_a_narrow_terminal_has_the_stages_below_and_no_figure_cut():
    text = "\n".join(screen(width=60))
    for words in ("peak RAM", "governor", "forecast", "decode"):
        assert words in text
    assert "…" not in text
