"""The planted faults are still about the code as it is, and the campaign tells a caught one from any other."""

import ast
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from tests.fault.planted import FAULTS
from tests.fault.planted_campaign import BROKEN, CAUGHT, REPOSITORY, SURVIVED, run
from tests.support.planted.fault import Fault

KILLED = "tests/unit/test_watchdog.py::test_a_full_disk_kills_nobody"
AREAS = (
    "durability commit accounting checksums offsets ledger admission estimate policy sensors watchdog cleanup locking"
)
AREAS += " processes tuning scheduler logs loop tally plan settings exits summary labels features audio sources"
AREAS += " sampler collate step training checkpoint budget model data scoring export tidying exchange optimiser"
AREAS += " evaluation"


@cache
def names_in(file: str) -> set[str]:
    tree = ast.parse((REPOSITORY / file).read_text())
    functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    # A state machine's test case is an assignment.
    targets = {target.id for node in tree.body if isinstance(node, ast.Assign) for target in node.targets
               if isinstance(target, ast.Name)}  # fmt: skip
    return functions | targets


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_can_be_planted_and_its_tests_exist(fault):
    before = (REPOSITORY / fault.file).read_text()
    after = fault.plant(before)
    assert after != before
    ast.parse(after)
    assert fault.tests
    for test in fault.tests:
        file, _, name = test.partition("::")
        assert name in names_in(file), test
        # It would start itself.
        assert Path(file).name != Path(__file__).name


def test_there_are_many_faults_of_every_kind_each_with_a_name_of_its_own():
    assert {name: count for name, count in Counter(fault.name for fault in FAULTS).items() if count > 1} == {}
    assert len({(fault.file, fault.old, fault.new) for fault in FAULTS}) == len(FAULTS)
    assert sorted({fault.area for fault in FAULTS}) == sorted(AREAS.split())
    assert len(FAULTS) >= 60


def test_the_campaign_tells_what_is_caught_from_what_survives_or_proves_nothing(capsys):
    def fault(new):
        return Fault("any/name", "preprocess/governor/watchdog.py", "state.memory.level is Level.STOP", new, (KILLED,))

    faults = [fault("state.level is Level.STOP"), fault("state.memory.level == Level.STOP"), fault("unheard_of")]
    assert [verdict.outcome for verdict in run(faults, 1, 0)] == [CAUGHT, SURVIVED, BROKEN]
    assert capsys.readouterr().out.splitlines()[1] == "all pass"
