"""The trainer's benchmarks: at a small size, what is compared is the same work, and the figures agree."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from shared.schema import MAX_LABELS
from tests.support.synthetic import MINI
from trainer.checking.probes.random_model import random_whisper
from trainer.checking.speech import END, START, speech_seconds, speech_split
from trainer.model.whisper import positions, trained_parameters

ROOT = Path(__file__).parents[2]
CLIPS, BATCH = 12, 4
ARGUMENTS = {
    "training": ["--size", "mini", "--clips", str(CLIPS), "--batch", str(BATCH), "--rounds", "1"],
    "loader": ["--clips", "90", "--frames", "40", "17", "--rounds", "1", "--index-rows", "5000"],
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Runs a benchmark as a person would; its figures."""

    def benchmark(name):
        file = tmp_path_factory.mktemp(name) / "figures.json"
        command = [sys.executable, f"tests/benchmarks/{name}.py", *ARGUMENTS[name], "--json", str(file)]
        done = subprocess.run(
            command, cwd=ROOT, env=os.environ, capture_output=True, text=True, timeout=600, check=False
        )
        assert done.returncode == 0, done.stderr
        return json.loads(file.read_text())

    return benchmark


def test_contexts_are_compared_on_the_same_clips_with_a_peer_that_computes_the_same_loss(run):
    figures = run("training")
    assert figures["loss_difference"] <= 1e-6
    assert figures["trained"] == CLIPS
    assert set(figures["seconds"]) == {"own length", "15 % at 30 s", "all at 30 s", "Seq2SeqTrainer"}
    for times in figures["seconds"].values():
        assert len(times) == CLIPS // BATCH
        assert min(times) > 0
    flops = figures["flops"]
    assert flops["own length"] < flops["15 % at 30 s"] < flops["all at 30 s"] == flops["Seq2SeqTrainer"]


def test_the_loader_that_is_measured_gives_every_row_of_the_store(run):
    figures = run("loader")
    loaders = {"loader, 1 thread", "loader, 2 threads", "loader, 4 threads"}
    assert set(figures["lengths"]) == {"40", "17"}
    for frames, found in figures["lengths"].items():
        assert found["right"]
        # Whole steps of 48.
        assert found["rows"] == 96
        assert found["bytes"] == 96 * int(frames) * 128 * 2
        assert set(found["hot"]) == {"memcpy", "rows alone"} | loaders | {f"{loader}, packed" for loader in loaders}
        assert set(found["cold"]) == {"readinto"} | loaders
        assert set(found["checked"]) == {"crc32 alone"} | loaders | {f"{loader}, checked" for loader in loaders}
        for contender in (*found["hot"].values(), *found["cold"].values()):
            assert min(contender["seconds"]) > 0
    assert figures["opened"]["rows"] == 5_000
    assert set(figures["planned"]) == {"0.0", "0.2", "1.0"}
    assert min(figures["planned"].values()) > 0


@pytest.mark.parametrize(("count", "mean"), [(24, 4.25), (480, 4.5), (480, 8.7)])
def test_synthetic_clips_are_as_long_as_asked_for_in_the_mean(count, mean):
    seconds = speech_seconds(count, mean)
    assert seconds.mean() == pytest.approx(mean, rel=0.03)
    assert seconds.min() >= 0.5
    assert seconds.max() <= 30
    assert sorted(seconds) != list(seconds)


def test_a_synthetic_store_has_the_clips_that_were_asked_for(tmp_path):
    seconds = np.array([1.0, 43.0, 0.5])
    split = speech_split(tmp_path / "store", MINI, seconds, labels=MAX_LABELS)
    assert split.num_frames.tolist() == [100, 4_300, 50]
    assert split.num_labels.tolist() == [MAX_LABELS] * 3
    for row in range(3):
        labels, log_mel = split.labels(row), split.log_mel(row)
        assert (labels[0], labels[-1]) == (START, END)
        assert set(labels[1:-1].tolist()) <= set(range(2, MINI.vocab_size))
        assert np.isfinite(log_mel).all()
        assert log_mel.std() > 0.1


def test_a_random_model_is_the_same_each_time_and_takes_contexts_over_30_s():
    one, other = (random_whisper(MINI, torch.device("cpu")) for _ in range(2))
    for mine, theirs in zip(trained_parameters(one), trained_parameters(other), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=0)
    assert positions(one.model.encoder, 2_150).shape == (2_150, MINI.d_model)
