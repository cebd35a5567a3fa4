"""The plan: the same input gives the same plan, and whatever decides a shard's bytes changes its digest."""

from dataclasses import replace

import numpy as np
import pytest

from preprocess.sources.base import Block, Columns, SplitLayout
from preprocess.units import FeatureSettings, Unit, plan_split
from shared.models.limits import ModelLimits
from shared.schema import FeatureSpec
from shared.selection import Selection

BLOCKS = (Block(40, 4_000), Block(40, 4_000), Block(20, 1_000))
LAYOUT = SplitLayout("train", BLOCKS, "fingerprint")
FEATURES = FeatureSettings(FeatureSpec(80, "float16"), "tokenizer", "de", 30.0)


def plan(name="train", layout=LAYOUT, features=FEATURES, rows=40, **options):
    return plan_split(name, layout, features, rows, **options)


def test_units_are_numbered_ranges_of_source_rows():
    assert plan().units == (Unit("train", 0, 0, 40, 40), Unit("train", 1, 40, 80, 40), Unit("train", 2, 80, 100, 20))


def test_the_record_holds_what_a_resumed_run_needs():
    record = plan(forecast_bytes=7).record
    assert (record.num_units, record.num_rows, record.rows_per_unit, record.forecast_bytes) == (3, 100, 40, 7)
    assert (record.source_split, record.source_fingerprint) == ("train", "fingerprint")


def test_the_same_input_gives_the_same_plan():
    assert plan() == plan()


CHANGES = {
    "another name": {"name": "test"},
    "another source": {"layout": replace(LAYOUT, fingerprint="other")},
    "another source split": {"layout": replace(LAYOUT, name="other")},
    "other ranges": {"rows": 20},
    "fewer mel bins": {"features": replace(FEATURES, spec=FeatureSpec(128, "float16"))},
    "another dtype": {"features": replace(FEATURES, spec=FeatureSpec(80, "uint8"))},
    "another tokenizer": {"features": replace(FEATURES, tokenizer="other")},
    "another language": {"features": replace(FEATURES, language="en")},
    "longer clips": {"features": replace(FEATURES, max_duration=31.0)},
    "another audio column": {"features": replace(FEATURES, columns=Columns(audio="sound"))},
    "another text column": {"features": replace(FEATURES, columns=Columns(text="text"))},
    "another source column": {"features": replace(FEATURES, columns=Columns(source="origin"))},
    "timestamps stripped": {"features": replace(FEATURES, strip_timestamps=True)},
    "a limit": {"limit": 80},
    "a test part": {"selection": Selection("test", 0.1)},
    "another test part": {"selection": Selection("test", 0.2)},
    "the train part": {"selection": Selection("train", 0.1)},
}


def test_whatever_decides_bytes_changes_the_digest():
    digests = {name: plan(**change).record.digest for name, change in CHANGES.items()}
    assert len({plan().record.digest, *digests.values()}) == len(CHANGES) + 1


def test_a_better_forecast_of_the_same_plan_does_not_change_the_digest():
    assert plan(forecast_bytes=1).record.digest == plan(forecast_bytes=2).record.digest


def test_a_split_without_rows_has_no_units():
    assert plan(layout=SplitLayout("train", (), "fingerprint")).units == ()
    assert plan(layout=SplitLayout("train", (Block(0, 0),), "fingerprint")).units == ()


def test_a_limit_takes_the_first_rows():
    limited = plan(limit=50)
    assert (limited.num_rows, limited.units[-1].stop) == (50, 50)
    assert plan(limit=1_000).num_rows == 100


@pytest.mark.parametrize("fraction", [0.01, 0.1, 0.5])
def test_the_test_part_has_about_its_fraction_of_the_rows(fraction):
    share = Selection("test", fraction).mask(0, 970_064).mean()
    # Five standard errors of a fair draw.
    assert abs(share - fraction) < 5 * np.sqrt(fraction * (1 - fraction) / 970_064)


def test_a_larger_fraction_keeps_the_rows_of_a_smaller_one():
    small, large = (Selection("test", fraction).mask(0, 10_000) for fraction in (0.02, 0.05))
    assert not (small & ~large).any()


def test_the_hash_split_is_the_same_on_every_machine_and_version():
    assert np.flatnonzero(Selection("test", 0.1).mask(0, 60)).tolist() == [2, 32, 33, 41, 42, 43, 53]


def test_parts_of_one_split_are_planned_over_the_same_ranges():
    train, test = (plan(part, selection=Selection(part, 0.3)) for part in ("train", "test"))
    assert [(unit.start, unit.stop) for unit in train.units] == [(unit.start, unit.stop) for unit in test.units]
    assert train.num_rows + test.num_rows == 100


def test_the_german_data_set_is_planned_whole():
    blocks = (Block(100, 14_000_000),) * 9_700 + (Block(64, 9_000_000),)
    found = plan(layout=SplitLayout("train", blocks, "fingerprint"), rows=2_600)
    assert found.num_rows == 970_064
    assert (found.units[0].start, found.units[-1].stop) == (0, 970_064)
    assert all(before.stop == after.start for before, after in zip(found.units, found.units[1:], strict=False))


def test_limits_of_a_models_own_are_another_plan_and_whispers_are_that_of_before():
    assert plan(features=replace(FEATURES, limits=ModelLimits(448, 3_000))) == plan()
    assert "max_labels" not in plan().record.settings
    own = plan(features=replace(FEATURES, limits=ModelLimits(100, 1_500)))
    assert own.record.digest != plan().record.digest
    assert (own.record.settings["max_labels"], own.record.settings["window_frames"]) == (100, 1_500)
