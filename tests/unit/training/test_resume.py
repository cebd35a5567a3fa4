"""Whether a checkpoint is of the same run: the same content of the store, too, not its name alone."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from shared.errors import UsageError
from shared.store import open_split
from trainer.checkpoints.checkpoint import TrainState
from trainer.data.micro_batches import Budget
from trainer.data.rows import JoinedRows
from trainer.distributed.ranks import Ranks
from trainer.settings import TrainSettings
from trainer.training import resume
from trainer.training.components import Data, Setup

STORE = Path(__file__).parents[2] / "fixtures/store-v1"
SETTINGS = TrainSettings(store=STORE, output="out", global_batch_size=1, _env_file=None)


def opened(store):
    return Data(*(JoinedRows.of([open_split(store, name)]) for name in ("train", "test")), "", None)


@pytest.fixture
def other(tmp_path):
    """The same store by its uuid, made anew with other content."""
    store = shutil.copytree(STORE, tmp_path / "store")
    complete = json.loads((store / "COMPLETE").read_text())
    for totals in complete["splits"].values():
        totals["content_digest"] = totals["content_digest"][::-1]
    (store / "COMPLETE").write_text(json.dumps(complete))
    return store


@pytest.fixture
def find(monkeypatch):
    """`find_checkpoint` of a run on the store, where one with the identity *before* was saved."""

    def found(before, store=STORE, settings=SETTINGS):
        monkeypatch.setattr(resume, "latest", lambda _: Path("checkpoint-3"))
        monkeypatch.setattr(resume, "load_training", lambda _: (TrainState(3, before, 0, 0), {}))
        return resume.find_checkpoint(settings, resume.identity(settings, opened(store)))

    return found


def test_the_same_content_is_gone_on_with(find):
    path, state, _ = find(resume.identity(SETTINGS, opened(STORE)))
    assert (path.name, state.step) == ("checkpoint-3", 3)
    assert not resume.content_unknown(state)


def test_other_content_of_the_same_store_is_not_gone_on_with(find, other):
    before = resume.identity(SETTINGS, opened(STORE))
    with pytest.raises(
        UsageError, match=r"content '801add.*' before, 'd09eed.*' now[\s\S]*restore the store as it was"
    ):
        find(before, other)


@pytest.mark.parametrize("content", [{}, {"content": None}])
def test_a_checkpoint_of_earlier_code_goes_on_and_does_not_know_its_content(find, content):
    before = resume.identity(SETTINGS, opened(STORE))
    del before["content"]
    _, state, _ = find(before | content)
    assert resume.content_unknown(state)
    with pytest.raises(UsageError, match="seed 1 before, 42 now"):
        find(before | content | {"seed": 1})


def test_a_checkpoint_of_code_that_packed_nothing_goes_on_and_only_without_packing(find):
    before = resume.identity(SETTINGS, opened(STORE))
    shares = {"pack_share", "previous_text_share", "timestamp_share"}
    assert {before.pop(name) for name in shares} == {None}
    _, state, _ = find(before)
    assert state.step == 3
    for share, value in (("pack_share", 0.2), ("timestamp_share", 0.5)):
        with pytest.raises(UsageError, match=f"{share} None before, {value} now"):
            find(before, settings=SETTINGS.model_copy(update={share: value}))


def test_rates_on_other_content_are_not_compared_and_those_of_earlier_code_are(other):
    setup = Setup.of(SETTINGS, Ranks(0, 1, torch.device("cpu")))

    def best(before, store=STORE):
        state = TrainState(3, before, 0, 0, best_wer=0.5, best_step=2)
        return resume.run_state(state, setup, opened(store), Budget(1, 1, 1.0)).best_wer

    before = resume.run_state(None, setup, opened(STORE), Budget(1, 1, 1.0)).identity
    assert before["evaluation"][-1] is not None
    assert best(before) == 0.5
    assert best(before, other) is None
    assert best(before | {"evaluation": before["evaluation"][:3]}) == 0.5
    assert best(before | {"evaluation": ["train", *before["evaluation"][1:]]}) is None
