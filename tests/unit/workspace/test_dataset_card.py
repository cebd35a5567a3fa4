"""The store's README: `datasets` finds the splits in it, and a person what the columns mean."""

from dataclasses import replace

import yaml

from preprocess.workspace.dataset_card import dataset_card
from shared.layout import SplitRecord
from shared.schema import FeatureSpec
from tests.support.samples import feature_row, quarantined_row, store_record

RECORD = store_record({"train": [[feature_row(0), feature_row(1)], [quarantined_row(2)]], "test": [[feature_row(3)]]})


def front_matter(card):
    return yaml.safe_load(card.split("---\n")[1])


def test_every_split_has_its_files():
    assert front_matter(dataset_card(RECORD)) == {
        "configs": [
            {
                "config_name": "default",
                "data_files": [
                    {"split": "test", "path": "data/test-*.parquet"},
                    {"split": "train", "path": "data/train-*.parquet"},
                ],
            }
        ]
    }


def test_a_split_without_shards_is_not_offered_but_told_of():
    record = replace(RECORD, splits={**RECORD.splits, "empty": SplitRecord("d", 0, 0, 1, "empty", "f")})
    card = dataset_card(record)
    assert "empty" not in str(front_matter(card))
    assert "- `empty`: 0 source rows" in card


def test_rows_source_and_features_are_told():
    card = dataset_card(replace(RECORD, source="flozi00/asr-german-mixed@abc", features=FeatureSpec(128, "uint8")))
    assert "- `train`: 3 source rows" in card
    assert "`flozi00/asr-german-mixed@abc`" in card
    assert '"uint8").reshape(row["num_frames"], 128)' in card


def test_the_same_record_gives_the_same_card_in_any_order_of_splits():
    turned = replace(RECORD, splits=dict(reversed(RECORD.splits.items())))
    assert dataset_card(turned) == dataset_card(RECORD)
