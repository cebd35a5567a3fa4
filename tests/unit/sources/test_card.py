"""What a stranger's card may cost is bounded, and what an honest one says is read."""

import time

import pytest

from preprocess.sources.card import MAX_BYTES, front_matter
from preprocess.sources.parquet_files import find_parquet
from shared.errors import SourceError
from tests.support.samples import wav, write_source

LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9)
)
MERGES = "a0: &a0 {x: 1}\n" + "".join(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}\n" for n in range(1, 9))


@pytest.fixture
def card(tmp_path):
    def write(yaml):
        (tmp_path / "README.md").write_text(f"---\n{yaml}\n---\n# A data set\n")
        return tmp_path / "README.md"

    return write


@pytest.fixture
def data_set(tmp_path, card):
    """The folder of files of these names, whose card has these patterns for its split."""

    def make(names, *patterns):
        for name in names:
            write_source(tmp_path / name, [(wav(160), "a.wav", "a")])
        card(f"configs: [{{data_files: [{{split: train, path: {list(patterns)}}}]}}]")
        return tmp_path

    return make


@pytest.fixture
def soon():
    begin = time.process_time()
    yield
    assert time.process_time() - begin < 2


@pytest.mark.parametrize(
    "yaml",
    [
        LAUGHS,
        MERGES,
        "a: &a [*a]",
        "[" * 100_000,
        "{a: " * 1_000 + "1" + "}" * 1_000,
        "- " * 30_000,
        f"a: {'1' * 5_000}",
        "a: 2024-99-99",
        "a: !!timestamp x",
        "a: !!int x",
        "? [a]\n: b",
        "a: &a x\nb: [" + "*a, " * 100_001 + "]",
        "a: " + "x" * MAX_BYTES,
    ],
)
@pytest.mark.usefixtures("soon")
def test_a_card_that_costs_more_than_any_needs_or_is_damaged_is_refused_at_once(card, yaml):
    readme = card(yaml)
    with pytest.raises(SourceError, match=r"the YAML at the top of .*README\.md cannot be read: .") as caught:
        front_matter(readme)
    assert "glob" in caught.value.remedy


def test_a_card_as_people_write_them_is_read(card):
    yaml = "default: &files [a.parquet]\nconfigs:\n- config_name: x\n  data_files: *files\n  <<: {default: true}"
    assert front_matter(card(yaml))["configs"] == [{"config_name": "x", "data_files": ["a.parquet"], "default": True}]
    assert front_matter(card("")) == {}
    readme = card("a: b")
    readme.write_text("no YAML\n---\n" + "x" * (2 * MAX_BYTES))
    assert front_matter(readme) == {}


FILES = ("a/b/c/one.parquet", "a/two.parquet", "three.parquet")


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("**/*.parquet", FILES),
        ("**", FILES),
        ("a/**", FILES[:2]),
        ("a/**/*.parquet", FILES[:2]),
        ("a/**/c/*", FILES[:1]),
        ("**/b/**/o*", FILES[:1]),
        ("**/[a-b]/*/*/**/*", FILES[:1]),
        ("a/*.parquet", FILES[1:2]),
        ("*/**/t*", FILES[1:2]),
        ("**/" * 300 + "*.parquet", FILES),
        ("three.parquet", FILES[2:]),
    ],
)
@pytest.mark.usefixtures("soon")
def test_patterns_find_what_glob_finds(data_set, pattern, expected):
    assert find_parquet(str(data_set(FILES, pattern))).splits == {"train": sorted(expected)}


@pytest.mark.usefixtures("soon")
def test_folders_that_are_links_to_each_other_are_gone_through_once(data_set):
    root = data_set(["data/a.parquet"], "**/*.parquet")
    for name in ("x", "y", "z"):
        (root / name).symlink_to(root)
    assert len(find_parquet(str(root)).splits["train"]) == 1


@pytest.mark.usefixtures("soon")
def test_a_long_way_through_deep_folders_ends(data_set):
    root = data_set([f"{'a/' * 200}b.parquet"], "/".join(["**/a"] * 100) + "/*.parquet")
    assert len(find_parquet(str(root)).splits["train"]) == 1


@pytest.mark.usefixtures("soon")
def test_a_pattern_longer_than_any_is_refused(data_set):
    with pytest.raises(SourceError, match="README"):
        find_parquet(str(data_set(["a.parquet"], "[" * 100_000)))
