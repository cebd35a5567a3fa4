"""What counts in words says "1 row" and "2 rows": by one function, wherever a number stands before its noun."""

import ast
import re

import pytest

from shared.units import format_counted
from tests.project.test_remedies import PACKAGES, ROOT, told

NOUNS = (
    "actors|batches|cells|channels|clips|columns|cores|entries|fields|files|frames|gaps|GPUs|hypotheses|labels|lines|"
    "parts|processes|ranks|recordings|references|rows|shards|sources|splits|steps|supervisions|units|utterances|words"
)
COUNTED = re.compile(rf" (?:(?:alignment|audio|CPU|more|Parquet|quarantined|record|sampled) )?(?:{NOUNS})\b(?!/s)")
HAND_MADE = {"", "s"}
"""The two ends of a noun, of which an expression chooses one."""
LIKE_COUNTS = re.compile(r"\b(?:len|sum|format_count)\(|^(?:num_|units|rows|total|count|found|steps)|\.num_")
"""An expression that is a number of things, as far as a name can say so."""


def plurals(source):
    """Line and words of each number before a plural, and of each plural made by hand, in the f-strings of *source*."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.IfExp):
            ends = {end.value for end in (node.body, node.orelse) if isinstance(end, ast.Constant)}
            if ends == HAND_MADE:
                yield node.lineno, ast.unparse(node)
        if not isinstance(node, ast.JoinedStr):
            continue
        for number, text in zip(node.values, node.values[1:], strict=False):
            if isinstance(number, ast.FormattedValue) and isinstance(text, ast.Constant):
                value = ast.unparse(number.value)
                if COUNTED.match(text.value) and LIKE_COUNTS.search(value) and "format_counted" not in value:
                    yield number.lineno, f"{{{value}}}{text.value[:30]}"


def test_a_number_before_its_noun_is_counted_by_the_one_function():
    found = [
        f"{where}:{line}: {words}"
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        if (where := str(path.relative_to(ROOT))) != "shared/units.py"
        for line, words in plurals(path.read_text(encoding="utf-8"))
    ]
    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        'f"{len(rows)} rows were read"',
        'f"{total:,} lines"',
        'f"all of {format_count(found)} sampled rows"',
        "f\"{found} GPU{'' if found == 1 else 's'}\"",
        "words + ('s' if many > 1 else '')",
    ],
)
def test_a_plural_that_does_not_ask_for_the_number_is_found(source):
    assert len(list(plurals(source))) == 1


@pytest.mark.parametrize("source", ['f"{name} files"', 'f"{format_rate(found)} clips/s"', 'f"{len(rows)} of {of}"'])
def test_what_counts_nothing_is_let_be(source):
    assert list(plurals(source)) == []


def test_one_is_one_and_more_are_many():
    assert [format_counted(count, "row") for count in (0, 1, 2_000)] == ["0 rows", "1 row", "2,000 rows"]
    assert [format_counted(count, "entry", "entries") for count in (1, 2)] == ["1 entry", "2 entries"]


LOST_SPACE = re.compile(r"VALUE(?:is|are|was|were|has|have)\b|.VALUE[a-z]{2,}\b|`[^`\s]+`[a-z]|\)[a-z]{2,}")


def test_no_word_grows_onto_what_stands_before_it():
    found = [(where, text) for where, text in told() if " " in text and LOST_SPACE.search(text)]
    assert found == []


@pytest.mark.parametrize("text", ["VALUE is it", "in VALUEs", "VALUEthe model's", "`a` and `b`", "of f(x) before"])
def test_what_has_its_spaces_is_let_be(text):
    assert not LOST_SPACE.search(text)
