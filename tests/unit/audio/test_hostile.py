"""Damaged, lying and oversized files: `decode` returns finite samples within its limits, or rejects the row."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preprocess.audio.decode import DecodeLimits, decode
from shared.errors import RowRejectedError
from shared.schema import QuarantineReason
from tests.support import decode_alone
from tests.support.damage import DETAILS, damaged
from tests.support.encoded import VALID
from tests.support.hostile import hand_made
from tests.support.hostile_input import EITHER, WRITTEN

LIMITS = DecodeLimits(max_seconds=5.0)
SHARE = st.floats(0, 1, exclude_max=True)
DAMAGE = st.one_of(
    st.tuples(st.just(kind), SHARE, st.sampled_from(details)) for kind, details in DETAILS.items()
)  # fmt: skip
MOST_BYTES = 64 << 20
"""29 s of 192 kHz are 22 MB as mono; they are joined from blocks, so twice that is held."""


def outcome(encoded):
    """What `decode` returns, or the row's rejection; anything else fails the test."""
    try:
        return decode(encoded, LIMITS)
    except RowRejectedError as error:
        return error


def check(encoded):
    """The promise: finite float32 within the limits, or a row that is rejected for a known reason, in words."""
    result = outcome(encoded)
    if isinstance(result, RowRejectedError):
        assert result.reason in set(QuarantineReason)
        assert result.message
    else:
        assert result.dtype == np.float32
        assert 0 < len(result) <= LIMITS.max_seconds * 16_000
        assert np.isfinite(result).all()


@pytest.mark.parametrize("name", sorted(VALID))
@settings(max_examples=80, deadline=None)
@given(damages=st.lists(DAMAGE, min_size=1, max_size=4))
def test_a_damaged_file_decodes_within_the_limits_or_is_rejected(name, damages):
    encoded = VALID[name]
    for damage in damages:
        encoded = damaged(encoded, *damage)
    check(encoded)


@settings(max_examples=200, deadline=None)
@given(magic=st.sampled_from(sorted(VALID)), tail=st.binary(max_size=2_000), kept=st.integers(0, 64))
def test_random_bytes_after_a_true_magic_number_decode_within_the_limits_or_are_rejected(magic, tail, kept):
    check(VALID[magic][:kept] + tail)


@pytest.fixture(scope="module")
def decoded(tmp_path_factory):
    """What became of each hand-made input in a process that strace watches, and the files and sockets it opened."""
    folder = tmp_path_factory.mktemp("hostile")
    inputs = hand_made()
    warm = [
        written(folder / f"warm{number}", VALID[name]) for number, name in enumerate(["m4a", "webm", "mp3", "flac"])
    ]
    files = [written(folder / str(number), item.encoded) for number, item in enumerate(inputs.values())]
    log = folder / "calls"
    strace = ["strace", "-f", "--seccomp-bpf", "-o", log, "--trace=open,openat,openat2,access,faccessat2,%network"]
    command = [*strace, sys.executable, decode_alone.__file__, *warm, "--", *files]
    done = subprocess.run(command, capture_output=True, check=True, timeout=120)
    _, _, calls = log.read_text().partition(decode_alone.MARKER)
    return dict(zip(inputs, json.loads(done.stdout), strict=True)), calls.splitlines()[1:]


def written(path: Path, encoded):
    path.write_bytes(encoded)
    return str(path)


def test_every_hostile_input_has_the_outcome_that_is_certain(decoded):
    inputs, (results, _) = hand_made(), decoded
    found = {name: WRITTEN if isinstance(result, int) else result for name, (result, _, _) in results.items()}
    certain = {name: item.outcome for name, item in inputs.items() if item.outcome != EITHER}
    assert {name: found[name] for name in certain} == certain


def test_no_hostile_input_takes_much_memory(decoded):
    grown = {name: num_bytes for name, (_, num_bytes, _) in decoded[0].items()}
    assert {name: num_bytes for name, num_bytes in grown.items() if num_bytes > MOST_BYTES} == {}


OPENED = (
    # Ours, to weigh.
    "/proc/self/status",
    "/proc/self/clear_refs",
    # libsndfile's last guess is Sound Designer II, whose header lies beside the file: names that no input chooses.
    '"/..namedfork/rsrc"',
    '"._"',
    '".AppleDouble/"',
)


def test_no_hostile_input_opens_a_file_or_a_socket(decoded):
    opened = [call for call in decoded[1] if "(" in call and not any(name in call for name in OPENED)]
    assert opened == []
