"""A power cut at a system call of a run: nothing acknowledged is lost, nothing torn is visible, the run goes on.

The run is killed at the call and the disk is stopped at once, before the kernel writes anything of its own accord.
"""

import json
import shutil
from fnmatch import fnmatch

import pytest

from shared.layout import StoreLayout, read_record
from shared.reading.verification import verify_shard
from tests.fault.conftest import CALLS
from tests.fault.faults import acknowledgements, points, publications, repeated, torn
from tests.support.ext4 import Cut, Ext4Disk
from tests.support.stores import contents

DISK_BYTES = 96 << 20
COMMITTED = ("data/", "quarantine/", "index/", "COMPLETE")


@pytest.fixture(scope="module")
def disk(tmp_path_factory):
    with Ext4Disk(tmp_path_factory.mktemp("power"), DISK_BYTES) as disk:
        yield disk


@pytest.fixture
def cut_at(stage, disk):
    """Cuts the power at *point* of a run (None: at its end) with *faults*; returns what is wrong with its store."""

    def cut_power(cut, point, *faults):
        shutil.rmtree(disk.folder / "store", ignore_errors=True)
        disk.sync()
        killers = [f"{point.name}:signal=SIGKILL:when={point.number}"] if point else []
        outcome = stage.rehearsals.run(disk.folder / "store", CALLS, *faults, *killers)
        assert outcome.status in {0, -9}, outcome.stderr
        disk.power_cut(cut)
        disk.remount()
        return [f"{cut.name} at {point}: {problem}" for problem in problems(stage, disk.folder / "store", outcome)]

    return cut_power


@pytest.fixture
def survived(stage, disk, cut_at):
    """As `cut_at`, and what is wrong after the same command, too."""

    def cut_and_repeat(cut, point):
        wrong = cut_at(cut, point)
        return wrong + [f"{cut.name} at {point}: {problem}" for problem in repeated(stage, disk.folder / "store")]

    return cut_and_repeat


def problems(stage, store, outcome):
    """What the cut took of *store* that *outcome* had promised, or left in a state that nobody may see."""
    try:
        found = contents(store)
        # The one file that no other run need have alike.
        json.loads((store / "settings.json").read_text() if (store / "settings.json").exists() else "0")
    except json.JSONDecodeError as error:
        yield f"torn record: {error}"
        return
    promised = stage.expected if outcome.status == 0 or "COMPLETE" in found else acknowledged(stage, outcome)
    yield from (f"lost {name}" for name in promised if name not in found)
    yield from (f"torn {name}" for name in torn(stage, store))
    if "store.json" in found:
        yield from damaged(store)
    else:
        yield from (f"{name} without store.json" for name in found if name.startswith(COMMITTED))


def acknowledged(stage, outcome):
    """The shards whose `process` had returned, with their quarantine files."""
    names = [f"{folder}/{name}" for folder in ("data", "quarantine") for name in outcome.acknowledged]
    return [name for name in names if name in stage.expected]


def damaged(store):
    layout = StoreLayout(store)
    record = read_record(layout)
    for split, planned in record.splits.items():
        for unit in layout.committed(split, planned.num_units):
            yield from verify_shard(layout, split, unit, record).problems


def folders_to_sync(stage):
    """Points where a name is made and its folder's fsync comes next."""
    return [point for point in publications(stage.undisturbed) if point.name == "fsync"]


def test_a_power_cut_after_an_acknowledgement_or_the_end_takes_nothing_of_it(stage, survived):
    assert stage.undisturbed.acknowledged == ["train-00000-of-00002.parquet", "train-00001-of-00002.parquet"]
    moments = [*acknowledgements(stage.undisturbed), None]
    assert [wrong for point in moments for wrong in survived(Cut.NOTHING, point)] == []


@pytest.mark.parametrize("cut", Cut)
def test_a_power_cut_between_a_name_and_its_durability_shows_a_whole_file_or_none(stage, survived, cut):
    assert [wrong for point in folders_to_sync(stage) for wrong in survived(cut, point)] == []


@pytest.mark.parametrize(
    ("file", "cut", "damage"),
    [
        ("*/.partial/store.json", Cut.NAMES_FIRST, "torn record"),
        ("*/.partial/quarantine-*", Cut.NAMES_FIRST, "torn quarantine/train-00000"),
        ("*/.partial/train-*", Cut.NAMES_FIRST, "torn data/train-00001"),
        ("*/data", Cut.NOTHING, "lost data/train-00001"),
        ("*/.partial/index-*", Cut.NAMES_FIRST, "torn index/train"),
        ("*/.partial/COMPLETE", Cut.NAMES_FIRST, "torn COMPLETE"),
        ("*/undisturbed", Cut.NOTHING, "lost COMPLETE"),
    ],
)
def test_a_missing_fsync_would_be_noticed(stage, cut_at, file, cut, damage):
    """With one fsync left out, a cut at the next acknowledgement (or the end) does the damage that it prevents."""
    made, moments = points(stage.undisturbed), acknowledgements(stage.undisturbed)
    skipped = [point for point in made if point.name == "fsync" and fnmatch(point.call.path, file)][-1]
    after = [point for point in made[made.index(skipped) :] if point in moments]
    wrong = cut_at(cut, after[0] if after else None, f"fsync:retval=0:when={skipped.number}")
    assert any(damage in problem for problem in wrong), wrong


@pytest.mark.campaign
@pytest.mark.parametrize("cut", Cut)
def test_a_power_cut_at_any_system_call_loses_nothing_acknowledged_and_the_same_command_goes_on(stage, survived, cut):
    assert [wrong for point in points(stage.undisturbed) for wrong in survived(cut, point)] == []
