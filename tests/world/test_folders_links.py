"""What lies behind links and elsewhere is read in the Hub's own layout, or where an option says so."""

import shutil

import pytest

from preprocess.sources.base import Access, Columns
from preprocess.sources.open import open_source
from shared.errors import SourceError
from tests.support.strange_folders import clip, metadata, ours, theirs


def snapshot(tmp_path):
    """An audio folder as `huggingface_hub` keeps it: a snapshot of links to blobs."""
    repository = tmp_path / "hub/datasets--anna--korpus"
    (repository / "blobs").mkdir(parents=True)
    root = repository / "snapshots/0123abc"
    for number, (folder, name) in enumerate([("train", "a.wav"), ("test", "b.wav")]):
        metadata(tmp_path / "plain" / folder, [name])
        for path in sorted((tmp_path / "plain" / folder).iterdir()):
            blob = repository / "blobs" / f"{number}{path.suffix[1:]}"
            shutil.copy(path, blob)
            (root / folder).mkdir(parents=True, exist_ok=True)
            (root / folder / path.name).symlink_to(f"../../../blobs/{blob.name}")
    return root


def test_a_snapshot_of_the_hub_is_read_through_its_own_links(tmp_path):
    root = snapshot(tmp_path)
    assert ours(root) == theirs(tmp_path / "plain", tmp_path)
    assert list(open_source(str(root), Columns()).notes) == []


def test_a_snapshots_link_to_anywhere_else_is_not_followed(tmp_path):
    root = snapshot(tmp_path)
    clip(tmp_path / "geheim.wav")
    (root / "train/a.wav").unlink()
    (root / "train/a.wav").symlink_to(tmp_path / "geheim.wav")
    source = open_source(str(root), Columns())
    with pytest.raises(SourceError) as caught:
        _ = source.splits["train"]
    assert "--follow-links" in caught.value.remedy


def test_links_to_another_disk_are_followed_when_asked_and_the_message_says_how(tmp_path):
    metadata(tmp_path / "korpus", ["a.wav", "b.wav"])
    clip(tmp_path / "disk/b.wav")
    (tmp_path / "korpus/b.wav").unlink()
    (tmp_path / "korpus/b.wav").symlink_to(tmp_path / "disk/b.wav")
    source = open_source(str(tmp_path / "korpus"), Columns())
    row = list(source.reader("train", 0, 2).rows())[1]
    assert (row.problem, "--follow-links" in row.problem_message) == ("outside_source", True)
    assert "--follow-links" in "\n".join(source.notes)
    assert ours(tmp_path / "korpus", Access(follow_links=True)) == theirs(tmp_path / "korpus", tmp_path)


@pytest.mark.parametrize("linked", ["train", "train/clips"])
def test_a_folder_that_is_a_link_is_entered_when_asked(linked, tmp_path):
    metadata(tmp_path / "plain/train", ["clips/a.wav"])
    shutil.copytree(tmp_path / "plain", tmp_path / "korpus")
    (tmp_path / "disk").mkdir()
    shutil.move(tmp_path / "korpus" / linked, tmp_path / "disk/moved")
    (tmp_path / "korpus" / linked).symlink_to(tmp_path / "disk/moved")
    with pytest.raises(SourceError) as caught:
        _ = open_source(str(tmp_path / "korpus"), Columns()).splits["train"]
    assert "--follow-links" in caught.value.remedy
    assert ours(tmp_path / "korpus", Access(follow_links=True)) == theirs(tmp_path / "plain", tmp_path)


def test_links_in_a_circle_end(tmp_path):
    metadata(tmp_path / "train", ["a.wav"])
    (tmp_path / "train/again").symlink_to(tmp_path)
    source = open_source(str(tmp_path), Columns(), Access(follow_links=True))
    assert source.splits["train"].num_rows == 1


@pytest.mark.parametrize("name", ["{root}/disk/a.wav", "../disk/a.wav", "a.wav"])
def test_names_that_leave_the_folder_are_read_under_the_audio_root_alone(name, tmp_path):
    clip(tmp_path / "disk/a.wav")
    clip(tmp_path / "geheim.wav")
    (tmp_path / "korpus").mkdir()
    names = [name.format(root=tmp_path), "../geheim.wav", str(tmp_path / "geheim.wav")]
    rows = "".join(f"{name},Satz\n" for name in names)
    (tmp_path / "korpus/metadata.csv").write_text(f"file_name,transkription\n{rows}")
    with pytest.raises(SourceError) as caught:
        _ = open_source(str(tmp_path / "korpus"), Columns()).splits["train"]
    assert "--audio-root" in caught.value.remedy
    source = open_source(
        str(tmp_path / "korpus"), Columns(), Access(audio_root=str(tmp_path / "disk"), follow_links=True)
    )
    assert [row.problem for row in source.reader("train", 0, 3).rows()] == ["", "outside_source", "outside_source"]
