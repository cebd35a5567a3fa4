"""What is learnt from a model: mel bins and tokenizer, from a folder or from files named one by one."""

import json
import shutil

import huggingface_hub
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from shared.errors import UsageError
from shared.models.model_files import model_config, model_facts, model_file, model_path, optional_json


@pytest.fixture
def model(demo_model, tmp_path):
    """A copy without weights: facts come from small files."""
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("config.json", "tokenizer.json"):
        shutil.copy(demo_model / name, folder)
    return folder


def test_a_model_folder_tells_both(model):
    facts = model_facts(str(model), None, None)
    assert facts.num_mel_bins == 80
    assert facts.tokenizer_json == (model / "tokenizer.json").read_text()


@pytest.mark.parametrize("name", ["", "tokenizer.json"])
def test_a_tokenizer_alone_comes_with_mel_bins(model, name):
    facts = model_facts(None, 80, str(model / name))
    assert (facts.num_mel_bins, facts.tokenizer_json) == (80, (model / "tokenizer.json").read_text())
    assert model_facts(None, None, str(model / name)).num_mel_bins == 128


def test_a_tokenizer_beside_a_model_wins_over_the_models(model, tmp_path):
    (tmp_path / "other.json").write_text("{}")
    facts = model_facts(str(model), None, str(tmp_path / "other.json"))
    assert (facts.num_mel_bins, facts.tokenizer_json) == (80, "{}")


def test_the_same_mel_bins_twice_are_fine(model):
    assert model_facts(str(model), 80, None).num_mel_bins == 80


def test_mel_bins_that_contradict_the_model_are_refused(model):
    with pytest.raises(UsageError, match=r"--num-mel-bins 128, but .* takes 80"):
        model_facts(str(model), 128, None)


def test_without_a_tokenizer_there_are_no_labels():
    with pytest.raises(UsageError, match="--model"):
        model_facts(None, 80, None)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
def test_a_folder_without_a_file_is_refused_with_its_name(model, name):
    (model / name).unlink()
    with pytest.raises(UsageError, match=name):
        model_facts(str(model), None, None)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"num_mel_bins": "many"}', "null"])
def test_a_config_that_is_no_whisper_models_is_refused(model, content):
    (model / "config.json").write_text(content)
    with pytest.raises(UsageError, match=r"config\.json"):
        model_facts(str(model), None, None)


def test_a_config_with_impossible_mel_bins_is_refused(model):
    for bins in (0, -80):
        (model / "config.json").write_text(json.dumps({"num_mel_bins": bins}))
        with pytest.raises(UsageError, match=r"config\.json"):
            model_facts(str(model), None, None)


@pytest.mark.parametrize("name", ["/nowhere/model", "./model", "~/model", "a/b/c", "openai whisper"])
def test_a_name_that_is_neither_folder_nor_repository_is_refused(name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(UsageError, match="--model"):
        model_facts(name, None, None)


def test_a_binary_file_is_no_tokenizer(tmp_path):
    (tmp_path / "t.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="--tokenizer"):
        model_facts(None, 80, str(tmp_path / "t.json"))


@pytest.mark.parametrize("name", ["config.json", "generation_config.json", "tokenizer.json"])
def test_a_file_that_an_editor_saved_with_a_mark_is_read_and_one_in_utf_16_is_told_with_what_to_do(model, name):
    if not (model / name).exists():
        (model / name).write_text("{}")
    plain = (model / name).read_text()
    facts = model_facts(str(model), None, None)
    (model / name).write_text(plain, encoding="utf-8-sig")
    assert model_facts(str(model), None, None) == facts
    (model / name).write_text(plain, encoding="utf-16")
    with pytest.raises(UsageError, match=rf"{name}.* it is not text in UTF-8: invalid start byte at byte 0") as told:
        model_facts(str(model), None, None)
    assert told.value.remedy == "save that file as UTF-8, or download the model again"


def test_a_folder_that_is_no_whisper_model_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"cannot read config\.json"):
        model_config(str(tmp_path))
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(UsageError, match="not a Whisper model"):
        model_config(str(tmp_path))
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(UsageError, match="is damaged"):
        model_config(str(tmp_path))


def test_a_models_files_are_read_from_its_folder(demo_model):
    assert json.loads(model_file(str(demo_model), "config.json"))["model_type"] == "whisper"


def unreachable(*_, **__):
    raise LocalEntryNotFoundError("no connection")


def test_a_file_that_nobody_could_ask_the_hub_for_is_not_taken_for_one_that_is_not_there(monkeypatch, tmp_path):
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", unreachable)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    with pytest.raises(UsageError, match=r"cannot ask the Hub for generation_config\.json") as told:
        optional_json("anna/modell", "generation_config.json")
    assert "HF_HUB_OFFLINE=1" in told.value.remedy
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert optional_json("anna/modell", "generation_config.json") == {}


def test_what_the_hub_once_said_it_has_not_needs_no_asking(monkeypatch, tmp_path):
    commit = "0" * 40
    repository = tmp_path / "models--anna--modell"
    for name, text in {"refs/main": commit, f".no_exist/{commit}/processor_config.json": ""}.items():
        (repository / name).parent.mkdir(parents=True)
        (repository / name).write_text(text)
    (repository / "snapshots" / commit).mkdir(parents=True)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", unreachable)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    assert model_path("anna/modell", "processor_config.json") is None
