"""The log of a run: lines with its id, as text or JSON, in files that stay small."""

import json
from datetime import datetime

import pytest

from preprocess.monitoring.event_log import BACKUPS, FILE_NAME, MAX_BYTES, EventLog


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
