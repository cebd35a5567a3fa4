"""A published directory appears complete or not at all, and is not made twice."""

import threading

import pytest

from preprocess.demo.publish import marker, publish, published_fingerprint
from shared.errors import UsageError


def builder(fingerprint, content="hello"):
    def build(aside):
        (aside / "file.txt").write_text(content)
        (aside / "README.md").write_text(f"---\n{marker(fingerprint)}\n---\n")

    return build


def entries(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_finished_build_appears_under_its_name(tmp_path):
    assert publish(tmp_path / "a" / "demo", "f1", builder("f1"))
    assert entries(tmp_path / "a") == ["demo"]
    assert published_fingerprint(tmp_path / "a" / "demo") == "f1"


def test_a_failed_build_leaves_nothing(tmp_path):
    def build(aside):
        (aside / "half.parquet").write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        publish(tmp_path / "demo", "f1", build)
    assert entries(tmp_path) == []


def test_the_name_does_not_exist_while_the_build_goes_on(tmp_path):
    def build(aside):
        assert not (tmp_path / "demo").exists()
        builder("f1")(aside)

    assert publish(tmp_path / "demo", "f1", build)


def test_the_same_fingerprint_is_not_built_again(tmp_path):
    publish(tmp_path / "demo", "f1", builder("f1"))
    assert not publish(tmp_path / "demo", "f1", builder("f1", "other"))
    assert (tmp_path / "demo" / "file.txt").read_text() == "hello"


def test_another_fingerprint_replaces_the_demo(tmp_path):
    publish(tmp_path / "demo", "f1", builder("f1"))
    assert publish(tmp_path / "demo", "f2", builder("f2", "new"))
    assert (tmp_path / "demo" / "file.txt").read_text() == "new"
    assert entries(tmp_path) == ["demo"]


def test_what_a_killed_build_left_is_not_published(tmp_path):
    left = tmp_path / ".demo.partial"
    (left / "data").mkdir(parents=True)
    (left / "data" / "half.parquet").write_text("half")
    publish(tmp_path / "demo", "f1", builder("f1"))
    assert entries(tmp_path) == ["demo"]
    assert entries(tmp_path / "demo") == ["README.md", "file.txt"]


def test_an_empty_directory_is_filled(tmp_path):
    (tmp_path / "demo").mkdir()
    assert publish(tmp_path / "demo", "f1", builder("f1"))


def test_a_directory_with_other_things_is_refused_and_untouched(tmp_path):
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "thesis.tex").write_text("years of work")
    with pytest.raises(UsageError, match="is not a demo of ours"):
        publish(tmp_path / "demo", "f1", builder("f1"))
    assert entries(tmp_path / "demo") == ["thesis.tex"]


def test_of_two_builders_at_once_one_builds(tmp_path):
    started, results = threading.Barrier(2), []

    def run():
        started.wait()
        results.append(publish(tmp_path / "demo", "f1", builder("f1")))

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [False, True]
    assert entries(tmp_path) == ["demo"]
