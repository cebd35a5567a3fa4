"""Strangers' models on the Hub: what is loaded, and what is told of those that are none."""

import json
import os
import subprocess
import sys

import pytest
from safetensors.torch import load_file, save_file

from tests.support.hub import serve
from tests.support.training import ROOT, tiny_model

PROGRAM = """
import json, sys
from shared.errors import SpeechPrepError
from shared.models.model_files import model_facts
from trainer.model.files import ModelFiles
from trainer.model.loading import read_model

def attempt(name):
    said = []
    try:
        ModelFiles.read(name)
        model = read_model(name, said.append)
        return [sum(value.numel() for value in model.parameters()), *said]
    except SpeechPrepError as error:
        return [error.message, error.remedy]

print(json.dumps([attempt(name) for name in sys.argv[1:]]))
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What comes of every model of a made-up Hub, by its name."""
    folder = tiny_model(tmp_path_factory.mktemp("hub") / "model")
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    wrapped = folder / "wrapped.safetensors"
    save_file({f"module.{name}": value for name, value in load_file(folder / "model.safetensors").items()}, wrapped)
    half = {"model.safetensors": files["model.safetensors"][:5_000]}
    models = {
        "anna/ganz": files,
        "anna/verpackt": files | {"model.safetensors": wrapped.read_bytes()},
        "anna/lora": {"adapter_config.json": b"{}", "adapter_model.safetensors": b""},
        "anna/ct2": {"config.json": b'{"lang_ids": []}', "model.bin": b"", "tokenizer.json": files["tokenizer.json"]},
        "anna/halb": files | half,
        "anna/leer": {name: content for name, content in files.items() if not name.endswith(".safetensors")},
        "anna/fehlt": {},
    }
    with serve({}, models) as (_, endpoint):
        home = {"HF_ENDPOINT": endpoint, "HF_HOME": str(folder.parent / "home"), "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", PROGRAM, *models, "anna/ganz@main"]
        done = subprocess.run(command, env=os.environ | home, capture_output=True, text=True, check=True)
    return dict(zip([*models, "anna/ganz@main"], json.loads(done.stdout.splitlines()[-1]), strict=True))


@pytest.mark.parametrize("name", ["anna/ganz", "anna/ganz@main"])
def test_a_model_is_fetched_and_read(found, name):
    (count,) = found[name]
    assert count > 500_000


def test_names_that_a_wrapper_lengthened_are_read_without_it(found):
    assert "are read as" in found["anna/verpackt"][1]


@pytest.mark.parametrize(
    ("name", "message", "remedy"),
    [
        ("anna/lora", "a LoRA adapter", "merge_and_unload"),
        ("anna/ct2", "a CTranslate2 export", "made from"),
        ("anna/halb", "is cut off", "download it again"),
        ("anna/leer", "has no weights on the Hub", "save_pretrained"),
        ("anna/fehlt", "cannot read config.json", "HF_TOKEN"),
    ],
)
def test_what_is_no_model_has_its_own_line_and_remedy(found, name, message, remedy):
    assert message in found[name][0]
    assert remedy in found[name][1]
