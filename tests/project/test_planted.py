"""The planted faults are still about the code as it is, and the campaign tells a caught one from any other."""

from collections import Counter
from pathlib import Path

import pytest

from tests.fault.planted.copies import BROKEN, CAUGHT, REPOSITORY, SURVIVED, Copy
from tests.fault.planted.faults import FAULTS, PRODUCT, Fault
from tests.fault.planted.places import Places
from tests.fault.planted_campaign import obstacle, run

AREAS = (
    "durability commit accounting checksums offsets ledger admission estimate policy sensors watchdog cleanup locking"
)
AREAS += " processes tuning scheduler logs loop tally plan settings exits summary labels features audio sources"
AREAS += " sampler collate step training checkpoint budget model data scoring export tidying exchange optimiser"
AREAS += " evaluation index launch neighbours place provenance ranks repair rows strangers"
AREAS += " audit bar check duplicates environment leaks gate hub length loading packing parts sample storage text watch"


@pytest.fixture(scope="module")
def product():
    return Places(REPOSITORY, *PRODUCT)


@pytest.fixture(scope="module")
def tests():
    return Places(REPOSITORY, "tests")


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_can_be_planted_and_its_tests_exist(fault, product, tests):
    assert not obstacle(fault, product, tests)
    assert fault.changes
    assert fault.tests
    # It would start itself.
    assert not any(Path(__file__).name in test for test in fault.node_ids(tests))


def test_there_are_many_faults_of_every_kind_each_with_a_name_of_its_own():
    assert {name: count for name, count in Counter(fault.name for fault in FAULTS).items() if count > 1} == {}
    assert len({(fault.place, fault.changes) for fault in FAULTS}) == len(FAULTS)
    assert sorted({fault.area for fault in FAULTS}) == sorted(AREAS.split())
    assert len(FAULTS) >= 60


def test_the_campaign_tells_what_is_caught_from_what_survives_or_proves_nothing(capsys):
    def fault(new):
        change = ("state.memory.level is Level.STOP", new)
        return Fault("any/name", "Watchdog.beat", (change,), ("test_a_full_disk_kills_nobody",))

    faults = [fault("state.level is Level.STOP"), fault("state.memory.level == Level.STOP"), fault("unheard_of")]
    assert [verdict.outcome for verdict in run(faults, 1, 0)] == [CAUGHT, SURVIVED, BROKEN]
    assert capsys.readouterr().out.splitlines()[1] == "all pass"


def test_bytecode_of_one_fault_is_not_taken_for_anothers_and_the_file_is_as_before(tmp_path):
    path, text, seconds = tmp_path / "shared" / "answers.py", "def answer():\n    return 1\n", []
    path.parent.mkdir()
    path.write_text(text)
    before, copy = path.stat().st_mtime_ns, Copy(tmp_path, 0, 1.0)
    for new in "23":
        with copy.planted(Fault("any/name", "answer", (("1", new),), ())):
            seconds.append(int(path.stat().st_mtime))
            assert new in path.read_text()
    assert len({*seconds, before // 10**9}) == 3
    assert (path.read_text(), path.stat().st_mtime_ns) == (text, before)
