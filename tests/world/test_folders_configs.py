"""Configs of a data set's card give the files that the pinned `datasets` gives them, or are refused by name."""

import pytest

from preprocess.sources.base import Access, Columns
from preprocess.sources.open import open_source
from shared.errors import SourceError
from tests.support.strange_folders import NOTHING, card, metadata, ours, parquet, release, theirs

TWO = "configs:\n- config_name: a\n  data_dir: de\n- config_name: b\n  data_dir: en\n"
FILES = "configs:\n- config_name: a\n  data_files:"

LANGUAGES = "configs:\n- config_name: de\n  data_dir: de{}\n- config_name: en\n  data_dir: en\n"


@pytest.fixture(params=["parquet", "audio folder"])
def languages(request, tmp_path):
    """Two languages in folders of their own."""
    root = tmp_path / "korpus"
    for language in ("de", "en"):
        for split in ("train", "test"):
            if request.param == "parquet":
                parquet(root / language / f"{split}.parquet", [f"{language} {split}"])
            else:
                metadata(root / language / split, [f"{language}-{split}.wav"])
    return root


def test_two_languages_are_never_one_train_split(languages, tmp_path):
    card(languages, LANGUAGES.format(""))
    with pytest.raises(SourceError, match=r"several configs \(de, en\)") as caught:
        open_source(str(languages), Columns())
    assert "--config-name de" in caught.value.remedy
    for name in ("de", "en"):
        assert ours(languages, Access(name)) == theirs(languages, tmp_path, name)


def test_the_default_of_a_card_is_the_one_that_datasets_takes(languages, tmp_path):
    card(languages, LANGUAGES.format("\n  default: true"))
    assert ours(languages) == theirs(languages, tmp_path, "de")


@pytest.mark.parametrize(
    ("yaml", "names"),
    [
        ("configs:\n- config_name: a\n  data_dir: ./de/\n", ["a"]),
        ("configs:\n- config_name: default\n  data_dir: en\n- config_name: b\n  data_dir: de\n", [None, "b"]),
        ("configs:\n- config_name: a\n  data_dir: de\n  data_files:\n  - {split: train, path: '**/te*'}\n", [None]),
        ("configs:\n- config_name: a\n  data_files:\n  - {split: x, path: ['de/**', 'en/test*']}\n", [None]),
        (f"{TWO}dataset_info:\n  config_name: b\n", [None, "a"]),
        ("configs:\n- config_name: a\n  data_files: 'en/**'\n- config_name: b\n  data_files: 'de/**'\n", ["a", "b"]),
    ],
)  # fmt: skip
@pytest.mark.campaign
def test_a_config_has_the_files_that_datasets_gives_it(yaml, names, tmp_path):
    root = tmp_path / "korpus"
    for language in ("de", "en"):
        for split in ("train", "test"):
            parquet(root / language / f"{split}.parquet", [f"{language} {split}"])
    card(root, yaml)
    for name in names:
        assert ours(root, Access(name)) == theirs(root, tmp_path, name)


def test_a_card_of_its_own_goes_before_the_readme(languages, tmp_path):
    card(languages, "configs:\n- config_name: a\n  data_dir: de\n")
    (languages / ".huggingface.yaml").write_text("configs:\n- config_name: a\n  data_dir: en\n")
    assert ours(languages) == theirs(languages, tmp_path)


@pytest.mark.parametrize(
    ("yaml", "access", "message"),
    [
        ("configs:\n- config_name: a\n  data_dir: ../x\n", NOTHING, "outside the data set"),
        ("configs:\n- config_name: a\n  data_dir: /etc\n", NOTHING, "outside the data set"),
        ("configs:\n- config_name: a\n  data_dir: gone\n", NOTHING, "not there"),
        (f"configs:\n- config_name: a\n  data_dir: {'x' * 300}\n", NOTHING, "not there"),
        ("configs:\n- config_name: a\n  data_files: []\n", NOTHING, "`data_files` without any"),
        ("configs:\n- config_name: a\n  data_dir: de\n", Access("b"), "no config 'b'; it has: a"),
        ("configs:\n- config_name: a\n  filters: [[x, '>', 1]]\n", NOTHING, "has filters"),
        ("configs:\n- config_name: a\n  drop_metadata: true\n", NOTHING, "has drop_metadata"),
        ("configs: de\n", NOTHING, "not a list of configs"),
        (f"{FILES}\n  - {{split: t, path: de/**}}\n  - {{split: t, path: en/**}}\n", NOTHING, "names split 't' twice"),
        ("title: x\n", Access("de"), "describes configs"),
    ],
)  # fmt: skip
def test_what_a_card_says_and_is_not_read_is_refused_by_name(yaml, access, message, languages):
    card(languages, yaml)
    with pytest.raises(SourceError, match=message):
        open_source(str(languages), Columns(), access)


def test_a_kind_without_a_card_refuses_a_config(tmp_path):
    release(tmp_path)
    with pytest.raises(SourceError, match="has no configs"):
        open_source(str(tmp_path), Columns(), Access("de"))
