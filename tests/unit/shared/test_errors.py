"""Errors tell what to do, end a command with their own status, and survive the way through Ray."""

import pickle

import pytest

from shared import errors
from shared.errors import ExitCode, RowRejectedError, SpeechPrepError, first_line

ALL = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, SpeechPrepError)]


def test_the_remedy_follows_the_message():
    assert str(SpeechPrepError("no room", "free 2 GB")) == "no room\n  -> free 2 GB"
    assert str(SpeechPrepError("no room")) == "no room"


@pytest.mark.parametrize("kind", ALL)
def test_errors_survive_pickling(kind):
    error = kind("too_long", "message")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is kind
    assert (str(copy), vars(copy)) == (str(error), vars(error))


def test_a_rejected_row_keeps_reason_and_message():
    error = RowRejectedError("too_long", "43 s")
    assert (error.reason, error.message, str(error)) == ("too_long", "43 s", "43 s")


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("UsageError", 2),
        ("SourceError", 2),
        ("StoreMismatchError", 2),
        ("StoreError", 1),
        ("StoreBusyError", 1),
        ("ClusterError", 1),
        ("RayLostError", 1),
        ("ResourceLimitError", 3),
        ("InterruptedRunError", 130),
    ],
)
def test_every_error_has_the_documented_exit_status(name, status):
    assert getattr(errors, name).exit_code == status


def test_exit_codes_are_those_of_the_documentation():
    assert {code.name: int(code) for code in ExitCode} == {
        "DONE": 0,
        "FAILED": 1,
        "USAGE": 2,
        "RESOURCE_LIMIT": 3,
        "QUARANTINE_EXCEEDED": 4,
        "INTERRUPTED": 130,
    }


@pytest.mark.parametrize(("error", "said"), [(OSError("a\nb"), "a"), (ValueError(), "ValueError")])
def test_an_error_in_one_line_says_something_even_where_it_has_no_words(error, said):
    assert first_line(error) == said
