"""Names that strangers chose (of folders, columns, options) go through every screen as text."""

import pyarrow.parquet as pq
import pytest

from preprocess import clean, inspect, plan, verify
from shared.command.cli import run_command
from shared.errors import ExitCode
from tests.support.samples import feature_row, make_store, wav, write_source
from tests.unit.command.test_terminal import harmless

NAME = "[/red]\x1b[2J\u202e[bold]\n"


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture
def command(capfd):
    """The exit status of a command, after a look at what it printed."""

    def run(main, *words):
        status = run_command(main, [*map(str, words)])
        said = capfd.readouterr()
        assert harmless(said.out + said.err)
        assert "[/red]" in said.out + said.err
        return status

    return run


@pytest.fixture
def store(tmp_path):
    return make_store(tmp_path / NAME, {"train": [[feature_row(0, source=NAME, path=NAME)]]}).root


@pytest.fixture
def source(tmp_path):
    path = write_source(tmp_path / NAME / "train.parquet", [(wav(), NAME, f"Satz {NAME}")] * 3)
    table = pq.read_table(path)
    pq.write_table(table.append_column(NAME, table["source"]), path)
    return path.parent


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_of_a_store(command, store, form):
    assert command(inspect.main, "--store", store, "--row", 0, *form) == ExitCode.DONE


@pytest.mark.parametrize("main", [verify.main, clean.main])
def test_of_a_split_in_a_record_that_no_store_has(command, store, main):
    record = store / "store.json"
    record.write_text(record.read_text().replace('"train": {', '"train[bold]\\u001b[2J": {'))
    assert command(main, store) == ExitCode.FAILED


def test_of_a_store_that_is_checked_and_cleaned(command, store):
    assert command(verify.main, store) == ExitCode.DONE
    assert command(clean.main, store) == ExitCode.DONE
    next((store / "data").iterdir()).write_bytes(b"damaged")
    assert command(verify.main, store) == ExitCode.FAILED


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_of_a_source(command, source, form):
    assert command(inspect.main, source, "--row", 0, "--png", source, *form) == ExitCode.DONE
    assert command(inspect.main, source, "--audio-column", NAME, *form) == ExitCode.USAGE


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_of_a_plan(command, source, demo_model, form):
    options = ["--source", source, "--model", demo_model, "--store", f"{NAME}.store"]
    assert command(plan.main, *options, *form) == ExitCode.DONE


def test_of_options(command):
    with pytest.raises(SystemExit):
        run_command(plan.main, [f"--{NAME}"])
    assert command(plan.main, "--source", NAME, "--view", "plain") == ExitCode.USAGE
