"""The log of a run: lines with its id, as text or JSON, in files that stay small."""

import io
import json
from datetime import datetime

import pytest

from preprocess.monitoring.event_log import BACKUPS, FILE_NAME, MAX_BYTES, EventLog
from preprocess.monitoring.snapshot import Snapshot


def lines(folder):
    return (folder / FILE_NAME).read_text().splitlines()


def test_a_json_line_is_an_object_with_time_run_and_event(tmp_path):
    with EventLog(tmp_path / "logs", "run-1", "json") as log:
        log.event("größer\nals \x1b[31m", shards=3)
    found = json.loads(lines(tmp_path / "logs")[0])
    assert datetime.fromisoformat(found.pop("time")).tzinfo is not None
    assert found == {"run_id": "run-1", "event": "größer\nals \x1b[31m", "shards": 3}


def test_a_text_line_is_one_line_and_harmless_to_a_terminal(tmp_path):
    with EventLog(tmp_path, "run-1", "text") as log:
        log.event("two\nlines \x1b[31m", shards=3)
    (line,) = lines(tmp_path)
    assert line.split(" ", 2)[1:] == ["run-1", "two lines \N{REPLACEMENT CHARACTER}[31m shards=3"]


def test_a_later_run_appends(tmp_path):
    for run in ("run-1", "run-2"):
        with EventLog(tmp_path, run, "text") as log:
            log.event("started")
    assert [line.split()[1] for line in lines(tmp_path)] == ["run-1", "run-2"]


def test_files_rotate_and_stay_within_their_bound(tmp_path):
    with EventLog(tmp_path, "run-1", "json") as log:
        for _ in range(4_000):
            log.event("x" * 1_000)
    sizes = [path.stat().st_size for path in tmp_path.iterdir()]
    assert len(sizes) == 1 + BACKUPS
    assert max(sizes) <= MAX_BYTES


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_full_disk_under_the_log_ends_nothing(tmp_path, log_format, capfd):
    (tmp_path / FILE_NAME).symlink_to("/dev/full")
    with EventLog(tmp_path, "run-1", log_format) as log:
        log.event("lost")
    assert capfd.readouterr().err == ""


def test_progress_is_told_every_half_minute_with_rows_bytes_rate_and_level(tmp_path):
    run = {"rows_total": 900, "rows_done": 7, "disk_used_bytes": 5, "rows_per_second": 12.345, "level": "pause"}
    with EventLog(tmp_path, "run-1", "json") as log:
        for second in (0.0, 10.0, 29.9, 30.0, 45.0):
            log.progress(Snapshot(elapsed_seconds=second, eta_seconds=second, **run))
    found = [json.loads(line) for line in lines(tmp_path)]
    wanted = {"event": "progress", "rows": 7, "rows_total": 900, "quarantined": 0, "bytes": 5, "level": "pause"}
    assert [line["eta_seconds"] for line in found] == [0, 30]
    assert wanted.items() <= found[0].items()
    assert found[0]["clips_per_second"] == 12.3


def test_figures_that_are_not_known_are_null_not_words_that_json_has_not(tmp_path):
    with EventLog(tmp_path, "run-1", "json") as log:
        log.progress(Snapshot(elapsed_seconds=0.0, rows_total=0, rows_per_second=float("nan"), eta_seconds=None))
    (line,) = lines(tmp_path)
    found = json.loads(line, parse_constant=pytest.fail)
    assert (found["clips_per_second"], found["eta_seconds"]) == (None, None)


def test_the_same_lines_go_to_a_stream_where_one_is_given(tmp_path):
    stream = io.StringIO()
    with EventLog(tmp_path, "run-1", "json", stream=stream) as log:
        log.event("größer", shards=3)
    assert stream.getvalue().splitlines() == lines(tmp_path)
    with EventLog(None, "run-1", "json", stream=stream) as log:
        log.event("without a folder")
    assert json.loads(stream.getvalue().splitlines()[-1])["event"] == "without a folder"
