"""The real RealtimeSTT, from PyPI, on an export: both of its lanes say what faster-whisper says of such a sound."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
from faster_whisper import WhisperModel

from tests.support.training import ROOT, tiny_model, training_store
from trainer.exporting.conversion import convert
from trainer.exporting.files import Checkpoint
from trainer.train import main as train

PACKAGES = (
    "RealtimeSTT==1.1.2",
    "webrtcvad-wheels==2.0.14.post1",
    "halo==0.0.31",
    "colorama==0.4.6",
    "websockets==17.4",
    "websocket-client==1.9.2",
    "log_symbols==0.0.14",
    "spinners==0.0.24",
    "termcolor==3.3.0",
    "six==1.17.0",
    "silero-vad==6.2.3",
)
"""What it needs of what is not installed here, but PyAudio, which only a microphone takes, and torchaudio, whose wheel
on PyPI wants CUDA and which nothing calls."""
LISTENER = Path(__file__).with_name("realtimestt_listener.py")


def installed(folder):
    """RealtimeSTT in *folder*, beside this environment's own packages, with a PyAudio that has no devices."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile", "--target", str(folder)]
    subprocess.run([*pip, *PACKAGES], check=True)
    (folder / "pyaudio.py").write_text("")
    return folder


def trained(folder):
    """A tiny model that has learned to come to an end, exported."""
    model = tiny_model(folder / "model")
    training_store(folder / "store", model)
    options = ["--store", str(folder / "store"), "--model", str(model), "--output", str(folder / "out"), "--no-metrics"]
    steps = ["--max-steps", "30", "--global-batch-size", "4", "--learning-rate", "1e-2", "--warmup-steps", "5"]
    assert train([*options, *steps, "--eval-rows", "2", "--full-context-share", "0", "--report-to", "none"]) == 0
    convert(Checkpoint.read(folder / "out" / "best"), folder / "export", "float32")
    return folder / "export"


@pytest.mark.campaign
def test_realtimestt_hears_an_export_in_both_of_its_lanes(tmp_path, demo_corpus):
    export, sound, output = trained(tmp_path), tmp_path / "sound.wav", tmp_path / "found.json"
    row = pq.read_table(next(demo_corpus.rglob("test*.parquet"))).slice(0, 1).to_pylist()[0]
    samples, rate = soundfile.read(io.BytesIO(row["audio"]["bytes"]), dtype="float32", always_2d=True)
    soundfile.write(sound, samples.mean(axis=1), rate)
    paths = [str(installed(tmp_path / "packages")), str(ROOT)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "HF_HUB_OFFLINE": "1"}
    subprocess.run(
        [sys.executable, str(LISTENER), str(export), str(sound), str(output)], env=environment, check=True, timeout=300
    )
    found = json.loads(output.read_text(encoding="utf-8"))
    assert found["text"]
    assert found["realtime"]
    assert found["seconds"] == pytest.approx(len(samples) / rate, abs=2.5)
    heard = np.array(found["audio"], np.float32)
    model = WhisperModel(str(export), device="cpu", cpu_threads=1)
    segments, _ = model.transcribe(heard, language="en", without_timestamps=True, vad_filter=True, temperature=0.0)
    assert found["text"] == " ".join(segment.text.strip() for segment in segments)
