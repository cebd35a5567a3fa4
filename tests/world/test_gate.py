"""What a checkpoint says of itself and is not so, and what an export does as RealtimeSTT calls it."""

import json

import numpy as np
import pytest
from faster_whisper import WhisperModel

from tests.support.training import tiny_model, training_store
from trainer.checkpoints.output_folder import small_files
from trainer.exporting.conversion import convert
from trainer.exporting.files import Checkpoint
from trainer.exporting.problems import file_problems
from trainer.exporting.remarks import remarks
from trainer.settings import TrainSettings
from trainer.training.components import open_data

pytestmark = pytest.mark.usefixtures("one_thread")
SOUND = np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32)


@pytest.fixture
def folder(tmp_path):
    return tiny_model(tmp_path / "model")


def edited(folder, name, **entries):
    path = folder / name
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))
    return folder


@pytest.mark.parametrize("named", [[[25, 6]], [[-1, 0]], [[1, 99]], "[[1, 0]]", [[1, 0], [2, 2]]])
def test_heads_that_the_model_has_not_are_told_and_word_timestamps_come_all_the_same(folder, tmp_path, named):
    checkpoint = Checkpoint.read(edited(folder, "generation_config.json", alignment_heads=named))
    (note,) = remarks(checkpoint)
    assert "are not all in a decoder of 2 layers of 2 heads" in note
    convert(checkpoint, tmp_path / "export", "float32")
    assert json.loads((tmp_path / "export" / "config.json").read_text())["alignment_heads"] == [[1, 0], [1, 1]]
    assert file_problems(tmp_path / "export", checkpoint) == []
    model = WhisperModel(str(tmp_path / "export"), device="cpu", cpu_threads=1)
    segments, _ = model.transcribe(SOUND, language="en", temperature=0.0, word_timestamps=True, max_new_tokens=8)
    assert all(word.start <= word.end for segment in segments for word in segment.words)


def test_a_token_that_is_none_is_not_suppressed_beside_ctranslate2s_memory(folder, tmp_path):
    """A negative one ends faster-whisper with a segmentation fault at its first call."""
    wrong = {"begin_suppress_tokens": [220, -5], "suppress_tokens": [-1, 10**7]}
    checkpoint = Checkpoint.read(edited(folder, "generation_config.json", **wrong))
    assert len(remarks(checkpoint)) == 2
    convert(checkpoint, tmp_path / "export", "float32")
    config = json.loads((tmp_path / "export" / "config.json").read_text())
    assert (config["suppress_ids_begin"], config["suppress_ids"]) == ([220], [])
    model = WhisperModel(str(tmp_path / "export"), device="cpu", cpu_threads=1)
    list(model.transcribe(SOUND, language="en", temperature=0.0, max_new_tokens=8)[0])


def test_it_is_told_when_a_training_starts_and_its_checkpoints_are_without_it(folder, tmp_path):
    store = training_store(tmp_path / "store", folder, clips=8, test_clips=2)
    edited(folder, "generation_config.json", alignment_heads=[[25, 6]])
    said = []
    open_data(TrainSettings(store=(store,), model=str(folder), global_batch_size=2), said.append)
    assert any("alignment_heads [[25, 6]]" in text for text in said)
    written = json.loads(small_files(str(folder))["generation_config.json"])
    assert "alignment_heads" not in written
    assert written["begin_suppress_tokens"]
