"""Whatever is wrong with a stranger's JSON, it is an error like any other."""

import re

import pytest

from shared.errors import SpeechPrepError, UsageError
from shared.index import read_complete
from shared.layout import StoreLayout, read_record
from shared.models.model_files import model_config
from shared.system import foreign_files as foreign
from shared.system.foreign_files import parse_json, read_json, read_text
from shared.text import Labeller, open_tokenizer
from trainer.checkpoints.checkpoint import TrainState
from trainer.exporting import files

DEEP = "[" * 100_000
DEEP_OBJECT = '{"a":' * 100_000


@pytest.mark.parametrize("text", [DEEP, DEEP_OBJECT, DEEP + "]" * 100_000, '{"a": ' + "1" * 5_000 + "}", b"\xff"])
def test_what_is_wrong_with_json_is_a_value_error(text):
    with pytest.raises(ValueError, match=r"."):
        parse_json(text)


def test_a_file_larger_than_any_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(foreign, "MAX_BYTES", 10)
    (tmp_path / "a").write_text('"12345678"')
    assert read_json(tmp_path / "a") == "12345678"
    (tmp_path / "a").write_text('"123456789"')
    with pytest.raises(ValueError, match="no such file needs"):
        read_text(tmp_path / "a")


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("store.json", lambda folder: read_record(StoreLayout(folder))),
        ("COMPLETE", lambda folder: read_complete(StoreLayout(folder))),
        ("config.json", lambda folder: model_config(str(folder))),
        ("state.json", lambda folder: TrainState.read(folder / "state.json")),
    ],
)
@pytest.mark.parametrize("content", [DEEP, DEEP_OBJECT])
def test_files_nested_without_end_are_named_with_a_remedy(tmp_path, name, read, content):
    (tmp_path / name).write_text(content)
    with pytest.raises(SpeechPrepError, match=re.escape(name)) as caught:
        read(tmp_path)
    assert caught.value.remedy


def test_a_tokenizer_nested_without_end_is_no_tokenizer():
    with pytest.raises(SpeechPrepError, match="the tokenizer cannot be read"):
        Labeller('{"added_tokens": [], "a": ' + DEEP)


@pytest.mark.parametrize("content", ["", "{}", DEEP, '{"added_tokens": 3}'])
def test_a_tokenizer_that_is_none_is_named_with_its_model(content):
    with pytest.raises(UsageError, match=r"tokenizer\.json of a/model") as caught:
        open_tokenizer(content, "a/model")
    assert caught.value.remedy


def test_an_exports_files_nested_without_end_count_as_damaged(tmp_path):
    (tmp_path / "config.json").write_text(DEEP)
    assert files.read_json(tmp_path / "config.json") is None
