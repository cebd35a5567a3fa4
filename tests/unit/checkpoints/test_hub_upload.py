"""What an upload needs is found out before the work, each want with its own remedy; and it goes to the full id."""

import huggingface_hub.constants
import pytest

from shared.errors import SpeechPrepError, UsageError
from tests.support.push_hub import push_hub
from trainer.checkpoints.hub_upload import claim, upload


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "best").mkdir()
    (tmp_path / "best" / "config.json").write_text("{}")
    (tmp_path / "best" / "training").mkdir()
    (tmp_path / "best" / "training" / "state.json").write_text("{}")
    return tmp_path / "best"


@pytest.mark.parametrize("asked", ["deutsch", "anna/deutsch", "klinik/deutsch"])
def test_an_upload_goes_to_the_full_id_that_the_hub_answers_with(monkeypatch, folder, asked):
    with push_hub(monkeypatch) as hub:
        full = claim(asked, print)
        assert full == (asked if "/" in asked else "anna/deutsch")
        assert hub.models == {full: {}}
        assert full in upload(folder, full, without="training/*")
        assert hub.models == {full: {"config.json": b"{}"}}


def test_what_lies_beside_it_in_a_users_folder_stays_here(monkeypatch, folder):
    (folder / "thesis.txt").write_text("years of work")
    with push_hub(monkeypatch) as hub:
        full = claim("deutsch", print)
        upload(folder, full, without=".*", only=["training/*"])
        assert hub.models == {full: {"training/state.json": b"{}"}}
        hub.failing = {f"/api/models/{full}/commit/main": 400}
        with pytest.raises(SpeechPrepError) as caught:
            upload(folder, full, without=".*", only=["training/*", "int8/*"])
    assert "--exclude '.*' --include 'training/*' --include 'int8/*'" in caught.value.remedy


def test_one_that_is_there_is_used(monkeypatch, folder):
    with push_hub(monkeypatch) as hub:
        hub.models["anna/deutsch"] = {"README.md": b"mine"}
        assert claim("deutsch", print) == "anna/deutsch"
        upload(folder, "anna/deutsch", without="training/*")
        assert hub.models["anna/deutsch"].keys() == {"README.md", "config.json"}


@pytest.mark.parametrize(
    ("token", "asked", "words", "remedy"),
    [
        ("", "anna/deutsch", "nobody is logged in", "hf auth login"),
        ("hf_old", "anna/deutsch", "does not know the token", "--force"),
        ("hf_read", "anna/deutsch", "'my token' of anna only reads", "may write"),
        ("hf_fine", "anna/deutsch", "may not write there with this token", "write access"),
        ("hf_write", "fremde/deutsch", "anna is not a member of fremde", "one of anna, klinik, verlag"),
        ("hf_write", "verlag/deutsch", "may only read in verlag", "ask an admin"),
        ("hf_write", "anna/deutsch/neu", "is not a name on the Hub", "user/name"),
        ("hf_write", "anna/größe", "is not a name on the Hub", "user/name"),
        ("hf_write", "", "is not a name on the Hub", "user/name"),
    ],
)
def test_what_is_missing_has_its_own_remedy(monkeypatch, token, asked, words, remedy):
    with push_hub(monkeypatch, token) as hub:
        with pytest.raises(UsageError, match=words) as caught:
            claim(asked, print)
        assert remedy in caught.value.remedy
        assert not hub.models


def test_one_that_is_there_but_may_not_be_written_to_is_told_before_the_work(monkeypatch):
    """huggingface_hub takes what is there for created, whatever one may do with it."""
    with push_hub(monkeypatch, "hf_fine") as hub:
        hub.models["anna/deutsch"] = {}
        with pytest.raises(UsageError, match="may not write there"):
            claim("anna/deutsch", print)


def test_offline_and_upload_exclude_each_other(monkeypatch):
    with push_hub(monkeypatch) as hub:
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
        with pytest.raises(UsageError, match="HF_HUB_OFFLINE") as caught:
            claim("anna/deutsch", print)
        assert "unset HF_HUB_OFFLINE" in caught.value.remedy
        assert not hub.asked


def test_a_data_set_of_that_name_is_told(monkeypatch):
    said = []
    with push_hub(monkeypatch) as hub:
        hub.datasets.add("anna/deutsch")
        assert claim("deutsch", said.append) == "anna/deutsch"
    assert "is a data set on the Hub as well" in said[0]


def test_a_hub_that_does_not_answer_is_told_before_and_after_the_work(monkeypatch, folder):
    with push_hub(monkeypatch) as hub:
        hub.failing["/api/repos/create"] = 500
        with pytest.raises(SpeechPrepError, match="does not take it") as caught:
            claim("anna/deutsch", print)
        assert "hf upload" in caught.value.remedy
        hub.failing = {"/api/models/anna/deutsch/commit/main": 400}
        full = claim("anna/deutsch", print)
        with pytest.raises(SpeechPrepError, match="could not be uploaded") as caught:
            upload(folder, full, without="training/*")
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
        with pytest.raises(SpeechPrepError, match="does not take it"):
            claim("anna/deutsch", print)
    assert f"hf upload anna/deutsch {folder} . --exclude 'training/*'" in caught.value.remedy
