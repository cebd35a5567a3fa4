"""The model card: what it says of an export, and what it leaves to be filled in."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from shared.layout import SplitRecord, StoreRecord
from shared.schema import FeatureSpec
from trainer.evaluation.scoring import Normaliser, score_all
from trainer.exporting.model_card import (
    CARD,
    CardFacts,
    render_card,
    training_evaluation,
    training_settings,
    training_stores,
    write_card,
)
from trainer.gate.judge import judge
from trainer.gate.verdict import Checked, Comparison, Decoding, GateRun, Pair
from trainer.model.alignment import choose
from trainer.model.shape import PUBLISHED

TURBO = PUBLISHED["openai/whisper-large-v3-turbo"]
STORE = StoreRecord(
    uuid="0123456789abcdef",
    features=FeatureSpec(128, "float16"),
    tokenizer="f00d",
    language="de",
    source="flozi00/asr-german-mixed",
    splits={
        "test": SplitRecord("digest", 4, 9_800, 2_450, "test", "fingerprint"),
        "train": SplitRecord("digest", 431, 970_064, 2_251, "train", "fingerprint"),
    },
)
EVALUATION = {
    "step": 1_500,
    "rows": 512,
    "padding": "window",
    "overall": {
        name: {"wer": found.wer, "cer": found.cer}
        for name, found in score_all(["eins zwei drei vier"], ["eins Zwei drei"]).items()
    },
}


def comparison(number, heard="eins zwei"):
    pairs = {decoding: Pair("eins zwei", heard, 1.0) for decoding in Decoding}
    return Comparison(number, "eins zwei", pairs, 2e-4, 1e-6, 10, 10)


def facts(folder=Path("/models/fw"), stored="float16", computed="float16", rows=2, files=(), **others):
    verdict = judge(stored, computed, list(files), [comparison(number) for number in range(rows)])
    export = Checked(folder, stored, computed, verdict, 120.0 if rows else None)
    run = GateRun("test", rows, 12.0, "cuda", 40.0 if rows else None, [export])
    made = CardFacts(
        name="turbo-deutsch",
        export=export,
        run=run,
        num_bytes=1_620_000_000,
        language="de",
        alignment=choose([[2, 4], [3, 14]], TURBO),
        versions={"ctranslate2": "4.8.5", "faster-whisper": "1.2.1"},
        store=STORE,
        training={"model": "openai/whisper-large-v3-turbo", "learning_rate": 1e-5},
        evaluation=EVALUATION,
    )
    return replace(made, **others)


def test_it_says_what_the_model_was_made_from():
    card = render_card(facts())
    assert 'base_model: "openai/whisper-large-v3-turbo"' in card
    assert "`flozi00/asr-german-mixed`, language `de`" in card
    assert "| `train` | 970,064 |" in card
    assert "| `learning_rate` | `1e-05` |" in card
    assert "1.6 GB" in card
    assert "ctranslate2 4.8.5, faster-whisper 1.2.1." in card


def test_it_shows_how_faster_whisper_and_realtimestt_load_it():
    card = render_card(facts())
    assert 'WhisperModel("fw")' in card
    assert 'AudioToTextRecorder(model="fw", language="de")' in card


def test_no_error_rate_stands_without_its_normaliser():
    card = render_card(facts())
    tables = [line for line in card.splitlines() if line.startswith("|") and "%" in line]
    assert len(tables) == len(Normaliser) * (1 + len(Decoding))
    for line in tables:
        assert re.search(r"\| `(raw|basic|basic\+ss)` \|", line), line


def test_it_says_whether_the_trainings_rates_are_of_the_window_that_faster_whisper_uses():
    assert "on 512 clips padded to 30 s" in render_card(facts())
    own = facts(evaluation=EVALUATION | {"padding": "own"})
    assert "at their own length (faster-whisper pads every clip to 30 s" in render_card(own)


def test_speeds_and_figures_stand_in_it():
    card = render_card(facts())
    assert "120 seconds of audio a second, the original 40 in float32" in card
    assert "0.0002 of its size" in card
    assert "same in\n100.00 %" in card


@pytest.mark.parametrize(("computed", "said"), [("float32", True), ("float16", False)])
def test_it_says_where_the_device_lacked_the_type(computed, said):
    assert ("as this device lacks `float16`" in render_card(facts(computed=computed))) is said


def test_licence_fields_are_left_to_be_filled_in():
    card = render_card(facts())
    assert card.count("TO FILL") >= 4
    assert re.search(r"^license: other # TO FILL", card, re.MULTILINE)


def test_a_failed_check_stands_first():
    card = render_card(facts(files=["config.json: damaged"]))
    assert card.index("Do not use it") < card.index("```python")
    assert "- config.json: damaged" in card


def test_what_was_not_checked_is_said_to_be_unchecked():
    card = render_card(facts(rows=0, computed=""))
    assert "not checked against the original" in card
    assert "WER" not in card.split("## Check")[1]


def test_what_is_not_known_is_said_to_be_unknown():
    card = render_card(facts(store=None, training=None, evaluation=None, alignment=choose(None, TURBO)))
    assert card.count("Not known") == 2
    assert "base_model:" not in card
    assert "those of openai/whisper-large-v3-turbo, whose shape the model has; the checkpoint names none" in card


def test_what_comes_from_outside_stays_text():
    hostile = replace(STORE, source="a`b|c\n# Mine\n<script>")
    card = render_card(facts(store=hostile, name="<script>x</script>\n# Mine"))
    assert "\n# Mine" not in card
    assert "`a'b\\|c # Mine <script>`" in card
    assert "# &lt;script>x&lt;/script> # Mine" in card


def test_writing_it_again_replaces_it(tmp_path):
    write_card(facts(tmp_path, files=["model.bin: damaged"]))
    assert write_card(facts(tmp_path)) == tmp_path / CARD
    assert "Do not use it" not in (tmp_path / CARD).read_text()
    assert [path.name for path in tmp_path.iterdir()] == [CARD]


def test_the_trainings_own_record_of_the_step_is_found_beside_the_checkpoint(tmp_path):
    checkpoint = tmp_path / "checkpoint-00001500"
    checkpoint.mkdir()
    best = tmp_path / "best"
    best.symlink_to(checkpoint.name)
    assert training_settings(best) is None
    assert training_evaluation(best) is None
    (tmp_path / "settings.json").write_text(json.dumps({"model": "m"}))
    (tmp_path / "metrics.json").write_text(json.dumps({"steps": [], "evaluations": [{"step": 1_000}, EVALUATION]}))
    assert training_settings(best) == {"model": "m"}
    assert training_evaluation(best) == EVALUATION


def test_a_trainings_stores_are_read_from_its_settings_of_any_version():
    assert training_stores({"store": "features"}) == [Path("features")]
    assert training_stores({"store": ["a", "~/b"]}) == [Path("a"), Path("~/b").expanduser()]
    assert training_stores({}) == training_stores({"store": None}) == []
