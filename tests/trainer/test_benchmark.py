"""docs/benchmark.md, rehearsed: its own commands, on made data in the layouts of the real sets, with the Hub played."""

import io
import json
import os
import re
import shlex
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from preprocess.demo.model import build_model
from tests.support.hub import serve
from tests.support.samples import AUDIO, wav

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs/benchmark.md").read_text(encoding="utf-8")
RUN = """
import os, sys
import pytest
from tests.support.inline_run import run_inline
os.environ["TRAINER_ROWS"], os.environ["TRAINER_SILENCE_CLIPS"] = "1", "0"
program, *arguments = sys.argv[1:]
if program == "preprocess.run":
    with pytest.MonkeyPatch.context() as patch:
        sys.exit(run_inline(patch, *arguments))
from shared.command.cli import run_command
from trainer.evaluate import main
sys.exit(run_command(main, arguments))
"""
"""A preprocessing without Ray, an evaluation of one row of each set."""
TEXTS = ("Guten Morgen, Köln!", "Die Straße ist lang.", "Ja.")
MLS_CARD = b"""---
configs:
- config_name: dutch
  data_files: [{split: test, path: dutch/test-*}]
- config_name: german
  data_files: [{split: dev, path: german/dev-*}, {split: test, path: german/test-*}]
---
"""


def table(text, **more):
    """Three clips in the Hub's layout, their transcripts in the column *text*."""
    audio = [{"bytes": wav(8_000 + 4_000 * number, seed=number), "path": f"{number}.wav"} for number in range(3)]
    return pa.table({"audio": pa.array(audio, AUDIO), text: list(TEXTS), **more})


def parquet(*arguments, **more):
    sink = pa.BufferOutputStream()
    pq.write_table(table(*arguments, **more), sink)
    return sink.getvalue().to_pybytes()


def arrow(rows):
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as stream:
        stream.write_table(rows)
    return sink.getvalue().to_pybytes()


def saved(rows):
    """The files of `Dataset.save_to_disk`."""
    state = {
        "_data_files": [{"filename": "data-00000-of-00001.arrow"}],
        "_fingerprint": "1",
        "_indices_data_files": None,
    }
    return {
        "data-00000-of-00001.arrow": arrow(rows),
        "state.json": json.dumps(state).encode(),
        "dataset_info.json": b"{}",
    }


def repositories():
    """What the sets are on the Hub, with what else lies beside them there."""
    mls = {"german/test-00000-of-00001.parquet": parquet("transcript", speaker_id=["1", "2", "3"])}
    mls |= {name: parquet("transcript") for name in ("german/dev-00000-of-00001.parquet", "dutch/test-0.parquet")}
    fleurs = {"de_de/test/0000.parquet": parquet("raw_transcription", transcription=["a", "b", "c"])}
    fleurs |= {"af_za/test/0000.parquet": b"not asked for", "de_de/train/0000.parquet": b"not asked for"}
    tuda = {f"splits/test/{name}": content for name, content in saved(table("sentence")).items()}
    return {
        "facebook/multilingual_librispeech": {"README.md": MLS_CARD, **mls},
        "google/fleurs": fleurs,
        "uhhlt/Tuda-De": {"splits/train/data-00000-of-00001.arrow": b"not asked for", **tuda},
    }


def release(path):
    """A Common Voice release as it is downloaded, with what a release has besides."""
    lines = ["client_id\tpath\tsentence\tlocale"] + [f"x\t{n}.wav\t{text}\tde" for n, text in enumerate(TEXTS)]
    files = {f"clips/{number}.wav": wav(8_000, seed=10 + number) for number in range(3)}
    files |= {"test.tsv": "\n".join(lines).encode(), "reported.tsv": b"sentence_id\tsentence\treason\n"}
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(f"cv-corpus-99.0/de/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def commands():
    blocks = re.findall(r"^```bash\n(.*?)^```", GUIDE, re.DOTALL | re.MULTILINE)
    return [line for block in blocks for line in block.splitlines() if line]


def typed(command):
    """*command* as it is given to a shell here: our programs warm, without Ray; others as they are."""
    words = shlex.split(command)
    if words[:2] != ["python", "-m"]:
        return ["bash", "-c", command]
    return [sys.executable, "-c", RUN, *words[2:]]


@pytest.mark.campaign
def test_the_guides_commands_make_four_stores_and_one_table(tmp_path):
    build_model(tmp_path / "model", num_mel_bins=128)
    files = {str(path.name): path.read_bytes() for path in (tmp_path / "model").iterdir()}
    models = {"openai/whisper-large-v3-turbo": files, "primeline/whisper-large-v3-turbo-german": files}
    (tmp_path / "turbo-german").mkdir()
    (tmp_path / "turbo-german" / "best").symlink_to(tmp_path / "model")
    (tmp_path / "sets" / "common-voice").mkdir(parents=True)
    release(tmp_path / "cv-corpus-de.tar.gz")
    revisions = set(re.findall(r"\b[0-9a-f]{40}\b", GUIDE)) | {"refs/convert/parquet"}
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "PREPROCESS_"))}
    with serve(repositories(), models, revisions) as (_, endpoint):
        environment |= {"HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path / "hf"), "NO_PROXY": "*"}
        environment |= {"PYTHONPATH": str(ROOT), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        for command in commands():
            done = subprocess.run(
                typed(command), cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    value = json.loads((tmp_path / "bench/result/metrics.json").read_text())
    assert [model["name"] for model in value["models"]] == [
        "turbo-german/best",
        "primeline/whisper-large-v3-turbo-german",
        "openai/whisper-large-v3-turbo",
    ]
    for model in value["models"]:
        assert model["by_set"].keys() == {"common-voice", "mls", "tuda", "fleurs"}
        assert set(model["overall"]) == {"raw", "basic", "basic+ss"}
    for name, texts in {"common-voice": TEXTS, "mls": TEXTS, "tuda": TEXTS, "fleurs": TEXTS}.items():
        shards = sorted((tmp_path / "bench" / name / "data").glob("test-*.parquet"))
        assert np.concatenate([pq.read_table(path)["transkription"].to_pylist() for path in shards]).tolist() == [
            *texts
        ]
