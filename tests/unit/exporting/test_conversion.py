"""A checkpoint becomes a whole CTranslate2 folder, and what is wrong with one is told by its files."""

import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from faster_whisper import WhisperModel

from shared.errors import ResourceLimitError, StoreBusyError, UsageError
from shared.models.assembled import for_old_readers
from shared.system.locks import hold
from tests.support.training import tiny_model
from trainer.exporting.conversion import PARTIAL, convert, export_folders, folder_bytes, require_room
from trainer.exporting.files import FILES, RECORD, Checkpoint
from trainer.exporting.problems import file_problems

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("conversion") / "model")


@pytest.fixture(scope="module")
def good(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("conversion") / "export"
    assert convert(Checkpoint.read(model), folder, "float16")
    return folder


@pytest.fixture
def copy(good, tmp_path):
    """A good export that a test may break."""
    return shutil.copytree(good, tmp_path / "copy")


def edited(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return path


def checkpoint_with(model, folder, name, **changes):
    """The model with *changes* in one of its files; a change to None takes the entry out."""
    shutil.copytree(model, folder)
    value = json.loads((folder / name).read_text()) | changes
    (folder / name).write_text(json.dumps({key: entry for key, entry in value.items() if entry is not None}))
    return Checkpoint.read(folder)


def test_an_export_is_what_faster_whisper_loads(good, model):
    assert sorted(path.name for path in good.iterdir()) == sorted([*FILES, RECORD])
    assert file_problems(good, Checkpoint.read(model)) == []
    loaded = WhisperModel(str(good), device="cpu", cpu_threads=1)
    assert loaded.model.n_mels == 80
    assert loaded.feature_extractor.mel_filters.shape[0] == 80


def test_its_configuration_is_the_checkpoints(good, model):
    generation = json.loads((model / "generation_config.json").read_text())
    config = json.loads((good / "config.json").read_text())
    assert config == {
        "alignment_heads": generation["alignment_heads"],
        "lang_ids": sorted(generation["lang_to_id"].values()),
        "suppress_ids": generation["suppress_tokens"],
        "suppress_ids_begin": generation["begin_suppress_tokens"],
    }
    assert (good / "tokenizer.json").read_text() == for_old_readers((model / "tokenizer.json").read_text())


def test_a_model_of_128_bins_is_loaded_with_128_bins_even_where_its_preprocessor_names_none(tmp_path):
    """faster-whisper takes 80 where nothing says otherwise."""
    tiny_model(tmp_path / "model", num_mel_bins=128)
    checkpoint = checkpoint_with(tmp_path / "model", tmp_path / "bare", "preprocessor_config.json", feature_size=None)
    convert(checkpoint, tmp_path / "export", "float16")
    loaded = WhisperModel(str(tmp_path / "export"), device="cpu", cpu_threads=1)
    assert loaded.model.n_mels == loaded.feature_extractor.mel_filters.shape[0] == 128
    silence = loaded.feature_extractor(np.zeros(16_000, np.float32))
    assert loaded.encode(np.pad(silence, [(0, 0), (0, 3_000 - silence.shape[1])])).shape == [1, 1_500, 64]


def test_without_alignment_heads_those_of_the_last_half_of_the_decoder_are_taken(model, tmp_path):
    checkpoint = checkpoint_with(model, tmp_path / "model", "generation_config.json", alignment_heads=None)
    assert not checkpoint.alignment.own
    convert(checkpoint, tmp_path / "export", "float16")
    assert json.loads((tmp_path / "export" / "config.json").read_text())["alignment_heads"] == [[1, 0], [1, 1]]


def test_without_a_table_of_languages_they_are_found_in_the_tokenizer(model, tmp_path):
    checkpoint = checkpoint_with(model, tmp_path / "model", "generation_config.json", lang_to_id=None)
    convert(checkpoint, tmp_path / "export", "float16")
    named = json.loads((model / "generation_config.json").read_text())["lang_to_id"]
    config = json.loads((tmp_path / "export" / "config.json").read_text())
    assert config["lang_ids"] == sorted(named.values())


def test_one_export_is_the_folder_itself_and_several_lie_below_it(tmp_path):
    assert export_folders(tmp_path, ["int8"]) == {"int8": tmp_path}
    assert export_folders(tmp_path, ["float16", "int8"]) == {
        "float16": tmp_path / "float16",
        "int8": tmp_path / "int8",
    }


def test_smaller_types_make_smaller_exports(good, model, tmp_path):
    checkpoint = Checkpoint.read(model)
    for name in ("float32", "int8_float16"):
        convert(checkpoint, tmp_path / name, name)
    assert folder_bytes(tmp_path / "int8_float16") < folder_bytes(good) < folder_bytes(tmp_path / "float32")


def test_an_export_of_the_same_checkpoint_is_left_as_it_is(copy, model):
    before = {path.name: path.stat().st_mtime_ns for path in copy.iterdir()}
    assert not convert(Checkpoint.read(model), copy, "float16")
    assert {path.name: path.stat().st_mtime_ns for path in copy.iterdir()} == before


def test_a_folder_with_anything_else_in_it_is_refused_and_left_alone(copy, model, tmp_path):
    checkpoint = Checkpoint.read(model)
    other = checkpoint_with(model, tmp_path / "other", "generation_config.json", suppress_tokens=[])
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="holds an export of this checkpoint as float16"):
        convert(checkpoint, copy, "int8")
    with pytest.raises(UsageError, match="holds an export of another checkpoint as float16"):
        convert(other, copy, "float16")
    with pytest.raises(UsageError, match="holds something else"):
        convert(checkpoint, tmp_path / "mine", "float16")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"


def test_a_conversion_that_fails_leaves_nothing_behind(model, tmp_path):
    shutil.copytree(model, tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(UsageError, match="is damaged"):
        convert(Checkpoint.read(tmp_path / "model"), tmp_path / "export", "float16")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model"]


def test_what_a_killed_conversion_left_is_replaced(model, tmp_path):
    left = tmp_path / f"{PARTIAL}export"
    left.mkdir()
    (left / "model.bin").write_bytes(b"half")
    convert(Checkpoint.read(model), tmp_path / "export", "int8")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["export"]


def test_a_second_export_to_the_same_folder_leaves_the_first_ones_work_alone(model, tmp_path):
    (tmp_path / f"{PARTIAL}export").mkdir()
    (tmp_path / f"{PARTIAL}export" / "model.bin").write_bytes(b"half")
    with hold(tmp_path / "export", "--output"), pytest.raises(StoreBusyError, match="another run"):
        convert(Checkpoint.read(model), tmp_path / "export", "int8")
    assert (tmp_path / f"{PARTIAL}export" / "model.bin").read_bytes() == b"half"


def test_an_export_that_has_no_room_is_not_begun(model, tmp_path):
    huge = {"vocab_size": 10**9, "d_model": 10**6}
    checkpoint = checkpoint_with(model, tmp_path / "model", "config.json", **huge)
    with pytest.raises(ResourceLimitError, match=r"takes .* PB"):
        require_room(checkpoint, {"float32": tmp_path / "export"})
    assert not (tmp_path / "export").exists()


def test_room_for_all_types_is_looked_for_before_the_first_is_made(model, good, tmp_path, monkeypatch):
    checkpoint, each = Checkpoint.read(model), 300 << 20
    free = SimpleNamespace(free=each)
    monkeypatch.setattr("shutil.disk_usage", lambda _: free)
    folders = {"float16": tmp_path / "a", "int8": tmp_path / "b", "float32": tmp_path / "c"}
    require_room(checkpoint, folders)
    free.free = 150 << 20
    with pytest.raises(ResourceLimitError, match="as float16, int8, float32 takes") as caught:
        require_room(checkpoint, folders)
    assert "fewer --quantization" in caught.value.remedy
    require_room(checkpoint, {"float16": tmp_path / "a"})
    assert not list(tmp_path.iterdir())
    free.free = 0
    require_room(checkpoint, {"float16": good})


def test_an_output_that_cannot_be_written_to_is_told_before_anything_is_converted(model, tmp_path):
    (tmp_path / "file").write_text("")
    for output in (tmp_path / "file" / "export", Path("/proc/export")):
        with pytest.raises(UsageError, match="cannot use") as caught:
            require_room(Checkpoint.read(model), {"float16": output})
        assert "another --output" in caught.value.remedy


def test_a_checkpoint_without_its_configuration_is_refused(model, tmp_path):
    shutil.copytree(model, tmp_path / "model")
    (tmp_path / "model" / "config.json").unlink()
    with pytest.raises(UsageError, match=r"config\.json"):
        Checkpoint.read(tmp_path / "model")


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("config.json", {"alignment_heads": [[2, 0]]}, r"heads \[\[2, 0\]\] are not in a decoder of 2 layers of 2"),
        ("config.json", {"alignment_heads": [[1, 0]]}, "1 alignment head .* the checkpoint has 2"),
        (
            "config.json",
            {"alignment_heads": [["1", 0], [1, None], [1.5, 0], [1]]},
            r"heads \[\['1', 0\], .* are not in",
        ),
        ("config.json", {"alignment_heads": None}, "not a list of layers and heads"),
        ("config.json", {"lang_ids": []}, r"lang_ids is \[\]"),
        ("config.json", {"suppress_ids": [1]}, r"suppress_ids is \[1\]"),
        ("preprocessor_config.json", {"feature_size": 128}, "feature_size is 128, the model takes 80"),
        ("preprocessor_config.json", {"chunk_length": 10}, "chunk_length is 10, the model takes 30"),
    ],
)
def test_a_wrong_entry_is_named(copy, model, name, changes, words):
    edited(copy / name, **changes)
    first, *rest = file_problems(copy, Checkpoint.read(model))
    assert rest == [f"{name}: its content is not what was exported"]
    assert re.search(words, first)


def test_a_missing_or_damaged_file_is_named(copy, model):
    (copy / "config.json").write_text("{")
    assert file_problems(copy, Checkpoint.read(model))[0] == "config.json: damaged"
    (copy / "vocabulary.json").unlink()
    assert file_problems(copy, Checkpoint.read(model)) == ["vocabulary.json: not there"]


@pytest.mark.parametrize("content", [b"\xff\xfe", b"[]", b'{"added_tokens": [], "model": {"vocab": []}}', b"{"])
def test_a_tokenizer_that_is_none_is_named(copy, model, content):
    (copy / "tokenizer.json").write_bytes(content)
    assert file_problems(copy, Checkpoint.read(model))[0] == "tokenizer.json: not the checkpoint's, and damaged"


def test_one_flipped_bit_of_the_weights_is_seen(copy, model):
    path = copy / "model.bin"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert file_problems(copy, Checkpoint.read(model)) == ["model.bin: its content is not what was exported"]


def test_another_vocabulary_is_seen(copy, model):
    tokens = json.loads((copy / "vocabulary.json").read_text())
    (copy / "vocabulary.json").write_text(json.dumps([tokens[1], tokens[0], *tokens[2:]]))
    assert "vocabulary.json: its tokens are not the checkpoint's" in file_problems(copy, Checkpoint.read(model))
