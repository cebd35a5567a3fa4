"""An audit of a store: figures that are the model's own, tables that a training takes, a page of the worst."""

import shlex
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torch.nn import functional

from shared.command.cli import parse_settings, run_command
from shared.store import open_split
from shared.text import open_tokenizer
from tests.support.browser import cut_tables, scroll_width
from tests.support.training import tiny_model, training_store
from trainer.audit import main
from trainer.auditing import listener as listening
from trainer.auditing.listener import Listener
from trainer.auditing.page import render_page
from trainer.data.exclusion import Exclusion
from trainer.model.whisper import load_model
from trainer.settings import TrainSettings


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("audit")
    training_store(folder / "store", tiny_model(folder / "model"), clips=12)
    return folder


@pytest.fixture
def listener(folder):
    tokenizer = open_tokenizer((folder / "model" / "tokenizer.json").read_text(), "model")
    whisper = load_model(str(folder / "model")).eval()
    return Listener(open_split(folder / "store", "train"), whisper, tokenizer, torch.device("cpu"), window=False)


@torch.no_grad()
def by_transformers(listener, row):
    """The loss of each target of *row*, as transformers' own forward computes it in the 30 s window."""
    split = listener.split
    frames = np.full((1, 3_000, 80), split.floor[row], np.float32)
    frames[0, : split.num_frames[row]] = split.log_mel(row)
    labels = torch.tensor(split.labels(row).astype(np.int64))
    found = listener.model(input_features=torch.from_numpy(frames.transpose(0, 2, 1)), decoder_input_ids=labels[None])
    return found.logits[0, :-1], labels[1:]


def test_losses_and_languages_are_those_of_transformers_own_forward_in_the_window(listener):
    listener.window = True
    rows = [3, 0, 7]
    heard = listener.hear(rows)
    for place, row in enumerate(rows):
        logits, targets = by_transformers(listener, row)
        losses = functional.cross_entropy(logits, targets, reduction="none").numpy()
        assert heard.loss[place] == pytest.approx(losses[3:-1].mean(), rel=1e-4)
        assert heard.end[place] == pytest.approx(losses[-1], rel=1e-4)
        vocabulary = listener.tokenizer.get_vocab()
        languages = [vocabulary[token] for token in vocabulary if listening._LANGUAGE.fullmatch(token)]
        among = logits[0, languages].softmax(0)[languages.index(vocabulary["<|de|>"])]
        assert heard.language[place] == pytest.approx(float(among), rel=1e-4)
        assert heard.peak[place] == pytest.approx(float(listener.split.log_mel(row).max()))


def test_every_row_has_its_own_figures_however_they_are_batched(listener, monkeypatch):
    rows = list(range(12))
    together = listener.hear(rows)
    monkeypatch.setattr(listening, "_BATCH_FRAMES", 1)
    alone = listener.hear(rows[::-1])
    # Alone a clip's context is a little shorter than beside a longer one.
    assert np.corrcoef(together.loss, alone.loss[::-1])[0, 1] > 0.99
    assert np.array_equal(together.peak, alone.peak[::-1])


def test_a_batch_that_memory_has_no_room_for_is_halved(listener, monkeypatch):
    whole, plain = listener.hear([0, 1, 2, 3]), Listener._losses

    def tight(self, clips):
        if len(clips) > 1:
            raise torch.OutOfMemoryError
        return plain(self, clips)

    monkeypatch.setattr(Listener, "_losses", tight)
    assert np.allclose(listener.hear([0, 1, 2, 3]).peak, whole.peak)


def test_the_tables_hold_every_row_once_and_a_training_takes_the_suspects(folder, tmp_path, capsys):
    options = ["--store", str(folder / "store"), "--model", str(folder / "model"), "--padding", "own"]
    assert run_command(main, [*options, "--output", str(tmp_path / "out"), "--share", "0.2", "--shown", "2"]) == 0
    said = capsys.readouterr().out
    rows, suspects = (pq.read_table(tmp_path / "out" / name) for name in ("rows.parquet", "suspects.parquet"))
    assert sorted(rows["row_id"].to_pylist()) == list(range(12))
    assert rows["score"].to_pylist() == sorted(rows["score"].to_pylist(), reverse=True)
    assert suspects.equals(rows.slice(0, 3))
    assert [text is not None for text in rows["hypothesis"].to_pylist()] == [True] * 2 + [False] * 10
    split = open_split(folder / "store", "train")
    (out,) = Exclusion.read(tmp_path / "out" / "suspects.parquet").left_out([split])
    assert sorted(np.flatnonzero(out)) == sorted(suspects["row_id"].to_pylist())
    assert f"--exclude-rows {tmp_path / 'out' / 'suspects.parquet'}" in said.replace("\n", " ")
    page = (tmp_path / "out" / "audit.html").read_text()
    assert page.count('<div class="row">') == 2
    assert "<script" not in page
    assert "default-src 'none'" in page


def test_the_command_that_is_told_is_about_the_split_that_was_looked_through(folder, tmp_path, capsys):
    options = ["--store", str(folder / "store"), "--model", str(folder / "model"), "--padding", "own"]
    assert run_command(main, [*options, "--output", str(tmp_path), "--split", "test", "--shown", "1"]) == 0
    (command,) = (line for line in capsys.readouterr().out.splitlines() if "trainer.train" in line)
    told = parse_settings(TrainSettings, shlex.split(command)[3:], prog="", about="")
    (split,) = (open_split(store, told.split) for store in told.store_folders)
    assert np.count_nonzero(Exclusion.read(told.exclude_rows).left_out([split])) == 1


def page_of(title, **texts):
    losses = ("score", "duration", "loss", "head_loss", "tail_loss", "end_loss", "peak")
    figures = {name: [0.5] for name in (*losses, "language_probability", "no_speech_probability")}
    columns = {**figures, **{name: [text] for name, text in texts.items()}}
    table = pa.table({**columns, "row_id": [0], "piece": [0], "suspicion": ["mislabelled"]})
    return render_page(title, table, 1, {"mislabelled": 1}, shown=5)


def test_a_strangers_transcript_is_text_on_the_page():
    page = page_of("<u>", reference="<b>\x1b[31m\u202eso", hypothesis="<script>1</script>", source="<i>")
    for part in ("<b>", "<script>", "<i>", "<u>", "\x1b", "\u202e"):
        assert part not in page


def test_on_a_phone_the_page_has_nothing_out_of_sight(tmp_path):
    long = "Donaudampfschifffahrtsgesellschaftskapitaenswitwe" * 3
    page = page_of(f"/data/{long}", reference=long, hypothesis=long, source=long)
    assert scroll_width(page, tmp_path, 390) <= 390
    assert cut_tables(page, tmp_path, 390) == ""


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "no store, model or output was named"),
        (("--store", "STORE", "--model", "MODEL", "--split", "dev"), "has no split 'dev'"),
        (("--store", "STORE", "--model", "WIDE"), "the store has 80 mel bins, the model takes 128"),
        (("--store", "STORE", "--model", "EXPORT"), "which gives no losses"),
    ],
)
def test_what_does_not_fit_is_said_before_anything_is_heard(folder, tmp_path, capsys, options, said):
    export = tmp_path / "export"
    export.mkdir()
    (export / "model.bin").write_bytes(b"")
    names = {"STORE": folder / "store", "MODEL": folder / "model", "EXPORT": export}
    if "WIDE" in options:
        names["WIDE"] = tiny_model(tmp_path / "wide", num_mel_bins=128)
    named = [str(names.get(option, option)) for option in options]
    assert run_command(main, [*named, *(["--output", str(tmp_path / "out")] if options else [])]) == 2
    assert said in " ".join(capsys.readouterr().err.split())
    assert not list(Path(tmp_path).glob("out/*"))


def test_in_float16_as_on_a_gpu_the_figures_are_those_of_float32(listener, monkeypatch):
    single = listener.hear([0, 1])
    monkeypatch.setattr(listening, "half_on_gpu", lambda _device: torch.autocast("cpu", torch.float16))
    half = listener.hear([0, 1])
    assert np.allclose(half.loss, single.loss, rtol=1e-2)
    assert np.array_equal(half.peak, single.peak)
