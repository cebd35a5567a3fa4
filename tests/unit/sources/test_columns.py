"""Wrong column names are found before anything is written, and the message says what to type."""

import pyarrow as pa
import pytest

from preprocess.sources.base import Columns
from preprocess.sources.columns import check_embedded_columns, check_names
from shared.errors import ExitCode, SourceError

AUDIO = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def schema(**columns):
    return pa.schema(list(columns.items()))


def refusal(given, columns=None):
    with pytest.raises(SourceError) as caught:
        check_embedded_columns(given, columns or Columns(), "train.parquet")
    assert caught.value.exit_code == ExitCode.USAGE
    assert "train.parquet" in caught.value.message
    return caught.value


def test_the_german_columns_pass():
    check_embedded_columns(
        schema(audio=AUDIO, transkription=pa.string(), source=pa.string()), Columns(), "train.parquet"
    )


@pytest.mark.parametrize("name", ["text", "transcription", "sentence", "Transkription"])
def test_another_transcript_column_in_its_place_is_named_with_its_remedy(name):
    error = refusal(schema(audio=AUDIO, **{name: pa.string()}))
    assert f"audio, {name}" in error.message
    assert error.remedy == f"pass --text-column {name}"


def test_without_any_likely_transcript_the_columns_found_are_listed():
    error = refusal(schema(audio=AUDIO, speaker=pa.string()))
    assert "audio, speaker" in error.message
    assert "--text-column" in error.remedy


def test_an_audio_struct_of_another_name_is_suggested():
    error = refusal(schema(clip=AUDIO, transkription=pa.string()))
    assert error.remedy == "pass --audio-column clip"


@pytest.mark.parametrize(
    "kind",
    [
        pa.string(),
        pa.binary(),
        pa.list_(pa.float32()),
        pa.struct([("array", pa.list_(pa.float32()))]),
        pa.struct([("bytes", pa.string()), ("path", pa.string())]),
    ],
)
def test_audio_that_is_no_struct_of_bytes_and_path_is_refused_with_the_cast_that_makes_it_one(kind):
    error = refusal(schema(audio=kind, transkription=pa.string()))
    assert "cast_column('audio', datasets.Audio())" in error.remedy


def test_a_transcript_that_is_not_text_is_refused():
    assert "int64, not text" in refusal(schema(audio=AUDIO, transkription=pa.int64())).message


def test_large_dictionary_and_view_strings_are_text():
    for kind in (pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())):
        check_embedded_columns(schema(audio=AUDIO, transkription=kind), Columns(), "train.parquet")


def test_a_missing_source_column_is_tolerated_only_under_its_default_name():
    check_names(["audio", "transkription"], Columns(), "train.parquet")
    with pytest.raises(SourceError, match="no column 'korpus'"):
        check_names(["audio", "transkription", "source"], Columns(source="korpus"), "train.parquet")
