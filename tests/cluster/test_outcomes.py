"""Exit codes that a person's script relies on."""

import shutil

import pyarrow.parquet as pq

from tests.support.stores import differences


def test_a_wrong_column_is_2_and_nothing_is_written(start, demo_corpus, tmp_path):
    for file in demo_corpus.glob("data/*.parquet"):
        table = pq.read_table(file)
        names = ["text" if name == "transkription" else name for name in table.column_names]
        (tmp_path / "renamed" / "data").mkdir(parents=True, exist_ok=True)
        pq.write_table(table.rename_columns(names), tmp_path / "renamed" / "data" / file.name)
    run = start("--source", str(tmp_path / "renamed"))
    assert run.wait() == 2
    assert "--text-column text" in run.messages()
    assert "Traceback" not in run.messages()
    assert not run.store.exists()


def test_more_quarantined_rows_than_allowed_is_4_and_the_store_is_complete(start, straight, tmp_path):
    shutil.copytree(straight.store, tmp_path / "store")
    run = start("--max-quarantine", "0")
    assert run.wait() == 4
    assert "2 quarantined rows" in run.messages()
    assert differences(run.store, straight.expected) == []


def test_a_job_that_cannot_fit_is_3_and_nothing_is_written(start, small_disk):
    small_disk.fill(leave_bytes=10 << 20)
    run = start(prefix=small_disk.enter)
    assert run.wait() == 3
    assert "are needed" in run.messages()
    assert list((small_disk.seen / "store").iterdir()) == []


def test_a_disk_that_fills_up_during_the_run_is_3_and_the_same_command_goes_on_once_there_is_room(
    start, straight, small_disk
):
    store = small_disk.seen / "store"
    # Where no write meets the full disk, the run waits for room and then ends.
    run = start("--stall-timeout", "5", prefix=small_disk.enter)
    assert run.until(lambda: list(store.glob("data/*")))
    with run.held():
        small_disk.fill(leave_bytes=0)
    assert run.wait() == 3
    assert "Traceback" not in run.messages()
    assert not list(store.glob(".partial/*"))
    small_disk.free()
    again = start(prefix=small_disk.enter)
    assert again.wait() == 0, again.messages()
    assert differences(store, straight.expected) == []
