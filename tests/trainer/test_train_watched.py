"""A training that is asked for its pages while it works."""

import socket
from urllib.request import urlopen

import pytest

from tests.support.scraper import samples
from tests.support.training import tiny_model, training_store
from trainer.train import main
from trainer.watch.watch import Watch


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    folder = tmp_path_factory.mktemp("watched")
    model = tiny_model(folder / "model")
    store = training_store(folder / "store", model)
    return (
        *("--store", str(store), "--model", str(model), "--max-steps", "4", "--global-batch-size", "8"),
        *(
            "--logging-steps",
            "2",
            "--save-steps",
            "2",
            "--eval-steps",
            "4",
            "--eval-rows",
            "4",
            "--eval-padding",
            "own",
        ),
        *("--full-context-share", "0", "--report-to", "none"),
    )


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_a_training_answers_while_it_works_and_leaves_its_last_metrics(options, tmp_path, monkeypatch, capsys):
    url, seen, progress = f"http://127.0.0.1:{free_port()}", {}, Watch.progress

    def ask(watch, step):
        progress(watch, step)
        if step == 3:
            for path in ("/metrics", "/healthz", "/readyz", "/"):
                with urlopen(url + path) as answer:
                    seen[path] = answer.read().decode()

    monkeypatch.setattr(Watch, "progress", ask)
    where = ("--metrics-port", url.rpartition(":")[2], "--metrics-file", str(tmp_path / "last.prom"))
    assert main(["--output", str(tmp_path / "out"), *options, *where]) == 0
    now, last = samples(seen["/metrics"]), samples((tmp_path / "last.prom").read_text())
    assert (now["speech_trainer_step",], now["speech_trainer_steps_planned",]) == (3, 4)
    assert now["speech_trainer_loss",] > 0
    assert now["speech_trainer_complete",] == 0
    assert seen["/healthz"] == seen["/readyz"] == "ok\n"
    assert "3 of 4" in seen["/"]
    assert "<figcaption>loss</figcaption>" in seen["/"]
    assert (last["speech_trainer_step",], last["speech_trainer_complete",]) == (4, 1)
    assert last["speech_trainer_wer_ratio", ("normaliser", "raw"), ("padding", "own")] >= 0
    assert last["speech_trainer_checkpoint_step",] == 4
    assert last["speech_trainer_checkpoint_bytes",] > 10_000
    said = capsys.readouterr().err
    assert f"status page and metrics at {url}/" in said
    assert "evaluating 4 clips" in said
    assert "12,000 frames (2 min 00 s, 4 clips of 30 s)" in said


def test_a_port_that_is_taken_and_no_pages_at_all_leave_a_training_as_it_is(options, tmp_path, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert main(["--output", str(tmp_path / "a"), *options, "--max-steps", "1", "--metrics-port", port]) == 0
    assert f"no metrics: 127.0.0.1:{port} is in use" in capsys.readouterr().err
    assert main(["--output", str(tmp_path / "b"), *options, "--max-steps", "1", "--no-metrics"]) == 0
    assert "metrics at" not in (said := capsys.readouterr().err)
    assert "no metrics" not in said
