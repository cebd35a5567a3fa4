"""No index of the compiled FLAC decoder leads out of an array, whatever the file: numba looks after each of them."""

import os
import random
import subprocess
import sys

import pytest

from preprocess.audio import decode, flac
from tests.support.encoded import encode
from tests.unit.audio.test_plain import LIMITS, outcome, passages

FILES = 60_000


def damaged(encoded, chance):
    """*encoded* with one to five bytes changed, left out or put in; every second one near the beginning."""
    data = bytearray(encoded)
    for _ in range(chance.choice([1, 1, 2, 5])):
        at = chance.randrange(min(len(data), chance.choice([300, 1 << 20])))
        match chance.randrange(4):
            case 0:
                data[at] ^= 1 << chance.randrange(8)
            case 1:
                data[at] = chance.choice([0, 127, 128, 255])
            case 2:
                del data[at : at + chance.randrange(1, 40)]
            case _:
                data[at:at] = chance.randbytes(chance.randrange(1, 20))
    return bytes(data)


def main():
    chance, taken = random.Random(1), 0
    whole = [encode(passages(channels), 16_000, "FLAC", bits) for channels in (1, 2) for bits in ("PCM_16", "PCM_24")]
    for _ in range(FILES):
        encoded = damaged(chance.choice(whole), chance)
        clip = flac.read(encoded, LIMITS)
        if clip is not None:
            taken += 1
            assert outcome(lambda *_, clip=clip: clip, b"") == outcome(decode._any_clip, encoded)
    assert taken


@pytest.mark.campaign
def test_no_index_leads_out_of_an_array(tmp_path):
    checked = os.environ | {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(tmp_path)}
    program = "from tests.fault.test_flac_bounds import main; main()"
    done = subprocess.run([sys.executable, "-c", program], env=checked, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 0, done.stderr
