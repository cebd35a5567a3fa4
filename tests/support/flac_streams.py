"""FLAC as RFC 9639 allows it, drawn at random: what no encoder at hand writes, as odd blocks and raw residuals."""

import numpy as np

SIZES = {192: 1, 576: 2, 256: 8}
RATES = {8_000: 4, 16_000: 5, 22_050: 6, 44_100: 9, 96_000: 11}
FIXED = ([], [1], [2, -1], [3, -3, 1], [4, -6, 4, -1])
MOST_ZEROS = 5_000
"""Of one number in Rice's code."""


class Bits:
    """Numbers, each in so many bits, one behind the other."""

    def __init__(self):
        self.text = ""

    def put(self, *pairs):
        for value, width in pairs:
            self.text += format(value & (1 << width) - 1, f"0{width}b") if width else ""

    def to_bytes(self):
        text = self.text + "0" * (-len(self.text) % 8)
        return int(text, 2).to_bytes(len(text) // 8)


def crc(data, polynomial, width):
    found = 0
    for byte in data:
        found ^= byte << (width - 8)
        for _ in range(8):
            found = (found << 1 ^ (polynomial if found >> (width - 1) else 0)) & (1 << width) - 1
    return found.to_bytes(width // 8)


def stream(chance, channels, bits):
    """A whole file of some blocks, of any sound."""
    rate, block = chance.choice([*RATES, 11_025, 12_000, 37_000]), chance.choice([16, 17, 64, 192, 256])
    count = chance.choice([chance.randint(1, block), 2 * block, block + chance.randint(1, block)])
    sound = _sound(chance, count, channels, (1 << (bits - 1)) - 1)
    packed = rate << 44 | (channels - 1) << 41 | (bits - 1) << 36 | count
    header = b"fLaC\x80\0\0\x22" + 2 * block.to_bytes(2) + bytes(6) + packed.to_bytes(8) + bytes(16)
    starts = range(0, count, block)
    return header + b"".join(
        _frame(chance, number, sound[start : start + block], rate, bits) for number, start in enumerate(starts)
    )


def _sound(chance, count, channels, full):
    time = np.arange(count)[:, None] * (1 + np.arange(channels))
    sounds = {
        "tone": 0.9 * full * np.sin(0.03 * time),
        "square": np.where(time // 5 % 2, full, -full - 1),
        "constant": np.full(time.shape, chance.choice([0, 1, -full - 1, 4_096])),
        "noise": [[chance.randint(-full - 1, full) for _ in range(channels)] for _ in range(count)],
        "coarse": [[chance.randint(-100, 100) << 7 for _ in range(channels)] for _ in range(count)],
    }
    return np.array(sounds[chance.choice([*sounds])]).astype(np.int64)


def _frame(chance, number, sound, rate, bits):
    count, channels = sound.shape
    kind = chance.choice([1, 8, 9, 10]) if channels > 1 else 0
    rate_code = chance.choice([0, RATES.get(rate, 12 if rate % 1_000 == 0 else 13)])
    size_code = SIZES.get(count, chance.choice([6, 7]))
    head = Bits()
    head.put(
        (0x7FFC, 15), (0, 1), (size_code, 4), (rate_code, 4), (kind, 4), (chance.choice([0, bits // 4]), 3), (0, 1)
    )
    head.put((number, 8), (count - 1, {6: 8, 7: 16}.get(size_code, 0)))
    head.put((rate // 1_000 if rate_code == 12 else rate, {12: 8, 13: 16}.get(rate_code, 0)))
    body, parts = Bits(), [(part, bits) for part in sound.T.tolist()]
    if kind >= 8:
        left, right = sound.T
        side = ((left - right).tolist(), bits + 1)
        middle = ((left + right >> 1).tolist(), bits)
        parts = {8: [parts[0], side], 9: [side, parts[1]], 10: [middle, side]}[kind]
    for part, width in parts:
        body.text += _subframe(chance, part, width)
    frame = head.to_bytes()
    frame += crc(frame, 0x07, 8) + body.to_bytes()
    return frame + crc(frame, 0x8005, 16)


def _subframe(chance, part, bits):
    """Its bits as text; drawn anew until it can be written in few."""
    while True:
        body, wasted = Bits(), 0
        while any(part) and wasted < 8 and all(value >> wasted & 1 == 0 for value in part) and chance.random() < 0.8:
            wasted += 1
        values, width = [value >> wasted for value in part], bits - wasted
        order = chance.randint(0, min(32, len(part)))
        kind = chance.choice(["constant", "raw", "fixed", "linear"])
        flags = (wasted > 0, 1), (1, wasted)
        if kind == "constant" and len(set(part)) == 1:
            body.put((0, 7), *flags, (values[0], width))
        elif kind == "raw":
            body.put((1, 7), *flags, *((value, width) for value in values))
        elif kind == "fixed" and order < len(FIXED):
            body.put((8 + order, 7), *flags, *((value, width) for value in values[:order]))
            if not _residual(chance, body, values, FIXED[order], 0):
                continue
        elif kind == "linear" and order:
            precision, shift = chance.randint(2, 15), chance.randint(0, 15)
            most = 1 << (precision - 1)
            factors = [chance.randint(-most, most - 1) if chance.random() < 0.3 else 0 for _ in range(order)]
            body.put((31 + order, 7), *flags, *((value, width) for value in values[:order]))
            body.put((precision - 1, 4), (shift, 5), *((factor, precision) for factor in factors))
            if not _residual(chance, body, values, factors, shift):
                continue
        else:
            continue
        return body.text


def _residual(chance, body, values, factors, shift):
    """Whether it could be written."""
    order, count = len(factors), len(values)
    guesses = (sum(f * values[at - 1 - j] for j, f in enumerate(factors)) >> shift for at in range(order, count))
    left = [value - guess for value, guess in zip(values[order:], guesses, strict=True)]
    splits = [split for split in range(5) if count % (1 << split) == 0 and count >> split >= order]
    method, split = chance.choice([0, 1]), chance.choice(splits)
    body.put((method, 2), (split, 4))
    for number in range(1 << split):
        size = (count >> split) - (0 if number else order)
        part, left = left[:size], left[size:]
        need = max(((value if value >= 0 else ~value).bit_length() + 1 for value in part if value), default=0)
        if need > 31:
            return False
        none = (1 << (4 + method)) - 1
        if chance.random() < 0.3:
            body.put((none, 4 + method), (need, 5), *((value, need) for value in part))
            continue
        width = min(max(0, need - chance.choice([1, 2, 4])), none - 1)
        folded = [value << 1 if value >= 0 else ~value << 1 | 1 for value in part]
        if max(folded, default=0) >> width > MOST_ZEROS:
            return False
        body.put((width, 4 + method))
        for value in folded:
            body.put((0, value >> width), (1, 1), (value, width))
    return True
