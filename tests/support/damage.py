"""Damages to encoded audio: plain values, drawn by Hypothesis in a property test and from a seed in the campaign."""

import random

from tests.support.encoded import RARE, VALID

WORDS = [b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\1", b"\1\0\0\0", b"\0\0\xc0\x7f"]
DETAILS = {
    "flip": range(1, 256),
    "flip in header": range(1, 256),
    "word in header": WORDS,
    "cut off": [None],
    "cut out": range(1, 2_001),
    "zeros": range(1, 501),
    "splice": sorted(VALID),
}
"""Kinds of damage, with what each may be drawn with."""
HEADER_BYTES = 400
RANDOM_SHARE = 0.1
"""Inputs of the campaign that are random bytes behind a true beginning."""


def damaged(data, kind, share, detail):
    """*data* with one damage of *kind*, *share* (0 to 1) of its way in; *detail* is one of `DETAILS[kind]`."""
    header = min(len(data), HEADER_BYTES)
    at = int(share * (header if "header" in kind else len(data)))
    if kind.startswith("flip"):
        return data[:at] + bytes([data[at] ^ detail]) + data[at + 1 :] if data else data
    if kind == "word in header":
        return data[:at] + detail + data[at + 4 :]
    if kind == "cut off":
        return data[:at]
    if kind == "cut out":
        return data[:at] + data[at + detail :]
    if kind == "zeros":
        return data[:at] + bytes(detail) + data[at + detail :]
    return data[:at] + VALID[detail][int(share * len(VALID[detail])) :] + data[at:]


def mutated(seed, number):
    """Input *number* of the campaign with *seed*: a valid clip with up to four damages, or little of it and noise."""
    rng = random.Random(f"{seed}-{number}")
    # Half are the formats of speech, half the rare ones.
    clips = rng.choice([VALID, RARE])
    data = clips[rng.choice(sorted(clips))]
    if rng.random() < RANDOM_SHARE:
        return data[: rng.randrange(65)] + rng.randbytes(rng.randrange(2_001))
    for _ in range(rng.randint(1, 4)):
        kind = rng.choice(list(DETAILS))
        data = damaged(data, kind, rng.random(), rng.choice(DETAILS[kind]))
    return data
