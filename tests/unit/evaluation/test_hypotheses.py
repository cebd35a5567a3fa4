"""A ready table in any of its formats gives the same facts; what is missing is named, with what is there."""

import csv
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shared.errors import UsageError
from trainer.evaluation.hypotheses import read_hypotheses

COLUMNS = ["sentence", "tiny", "base", "corpus", "seconds"]
# A quote at the start, a number and a date that stay text, an empty hypothesis, a name that a CSV reader may take for
# a gap.
ROWS = [
    ('"Ja", sagte er, gut', "ja sagte er gut", "", "mls", 2.5),
    ("2024-01-01", "2024-01-01", "2024-01-02", "cv", 4.0),
    ("17", "017", "siebzehn", "cv", 1.25),
    ("NA", "null", "na", "mls", 30.0),
]


def write(path, rows=ROWS, columns=COLUMNS):
    records = [dict(zip(columns, row, strict=True)) for row in rows]
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(records), path)
    elif path.suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([columns, *rows])
    elif path.suffix == ".tsv":
        path.write_text("".join("\t".join(map(str, row)) + "\n" for row in [columns, *rows]), encoding="utf-8")
    else:
        path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def read(path, hypotheses=("tiny", "base"), **more):
    return read_hypotheses(path, reference_column="sentence", hypothesis_columns=hypotheses, **more)


@pytest.fixture(params=["csv", "tsv", "jsonl", "ndjson", "json", "parquet"])
def path(request, tmp_path):
    return tmp_path / f"table.{request.param}"


def test_every_format_gives_the_rows_as_they_were_written(path):
    facts = read(write(path), source_column="corpus", duration_column="seconds", baseline="tiny")
    assert [(row.reference, row.source, row.duration) for row in facts.rows] == [(row[0], *row[3:]) for row in ROWS]
    assert [row.row_id for row in facts.rows] == [0, 1, 2, 3]
    assert [(model.name, list(model.hypotheses)) for model in facts.models] == [
        ("tiny", [row[1] for row in ROWS]),
        ("base", [row[2] for row in ROWS]),
    ]
    assert (facts.title, facts.baseline) == (str(path), "tiny")


def test_sources_and_durations_need_not_be_told(path):
    facts = read(write(path))
    assert {(row.source, row.duration) for row in facts.rows} == {("", None)}
    assert facts.audio_seconds is None


@pytest.mark.parametrize("missing", ["reference_column", "source_column", "duration_column", "hypothesis_columns"])
def test_a_missing_column_is_named_with_the_columns_there_are(path, missing):
    named = {"reference_column": "sentence", "hypothesis_columns": ["tiny"]}
    named[missing] = ["text"] if missing == "hypothesis_columns" else "text"
    with pytest.raises(UsageError, match="has no column 'text'") as caught:
        read_hypotheses(write(path), **named)
    assert all(repr(column) in caught.value.remedy for column in COLUMNS)


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
@pytest.mark.parametrize("gaps", [[1], [0, 1, 2, 3]])
def test_transcripts_with_gaps_are_refused_and_their_rows_named(tmp_path, suffix, gaps):
    rows = [(*row[:2], *((None,) if place in gaps else row[2:3]), *row[3:]) for place, row in enumerate(ROWS)]
    if suffix == "parquet":
        table = pa.table(dict(zip(COLUMNS, map(list, zip(*rows, strict=True)), strict=True)))
        path = tmp_path / "table.parquet"
        base = table.schema.get_field_index("base")
        pq.write_table(table.set_column(base, "base", table.column("base").cast(pa.string())), path)
    else:
        path = write(tmp_path / f"table.{suffix}", rows)
    places = ", ".join(map(str, gaps))
    with pytest.raises(UsageError, match=rf"column 'base' is null in {len(gaps)} of 4 rows \({places}\)"):
        read(path)


def test_a_gap_in_source_or_duration_is_one_that_is_not_known(tmp_path):
    rows = [ROWS[0], (*ROWS[1][:3], None, None)]
    facts = read(write(tmp_path / "table.jsonl", rows), source_column="corpus", duration_column="seconds")
    assert [(row.source, row.duration) for row in facts.rows] == [("mls", 2.5), ("", None)]


def test_line_breaks_within_quotes_belong_to_a_csv_transcript(tmp_path):
    facts = read(write(tmp_path / "table.csv", [("zwei\nZeilen", "a", "b", "x", 1.0)]))
    assert facts.rows[0].reference == "zwei\nZeilen"


def test_a_dictionary_of_texts_is_text(tmp_path):
    path = tmp_path / "table.parquet"
    pq.write_table(pa.table({"sentence": pa.array(["a", "a"]).dictionary_encode(), "tiny": ["a", "b"]}), path)
    assert [row.reference for row in read(path, ["tiny"]).rows] == ["a", "a"]


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_numbers_are_no_transcripts(tmp_path, suffix):
    path = write(tmp_path / f"table.{suffix}", [(17, "a", "b", "c", 1.0)])
    with pytest.raises(UsageError, match="table"):
        read(path)


def test_a_duration_that_is_no_number_is_refused(tmp_path):
    path = write(tmp_path / "table.csv", [("a", "b", "c", "d", "long")])
    with pytest.raises(UsageError, match="cannot be read"):
        read(path, duration_column="seconds")


def test_a_column_that_is_there_twice_is_refused(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("sentence,tiny,tiny\na,b,c\n")
    with pytest.raises(UsageError, match="more than one column 'tiny'"):
        read(path, ["tiny"])


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_a_file_that_is_not_what_its_ending_says_or_is_not_there_is_refused(tmp_path, suffix):
    path = tmp_path / f"table.{suffix}"
    with pytest.raises(UsageError, match="cannot be read"):
        read(path)
    path.write_bytes(b"")
    with pytest.raises(UsageError, match="cannot be read"):
        read(path)


def test_an_unknown_ending_is_refused_with_the_known_ones(tmp_path):
    with pytest.raises(UsageError, match="not a table of a known kind") as caught:
        read(tmp_path / "table.xlsx")
    assert ".csv, .tsv, .jsonl" in caught.value.remedy


def test_a_table_without_rows_is_refused(tmp_path):
    with pytest.raises(UsageError, match="has no rows"):
        read(write(tmp_path / "table.csv", []))


def test_a_baseline_that_is_no_hypothesis_column_is_refused(path):
    with pytest.raises(UsageError, match="the baseline large is not among tiny, base"):
        read(write(path), baseline="large")


def test_one_column_twice_is_refused(path):
    with pytest.raises(UsageError, match="once each"):
        read(write(path), ["tiny", "tiny"])
