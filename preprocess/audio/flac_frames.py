"""FLAC's frames to samples (RFC 9639, whose codes stand here as numbers), compiled: well-formed files', no others.

Whatever is unusual ends it, and libsndfile decodes the file: nothing is guessed, skipped or repaired. A file is a row
of big-endian words with `SPARE_WORDS` of zeros behind it. *bit* is a place in bits; every function that is given one
compares it with the end. Below 0 is an error, also as a place. `tests/fault/test_flac_bounds.py` checks every index.
"""

from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from preprocess.compiled import PLACE, compiled, kept

_Words = NDArray[np.uint32]
_Integers = NDArray[np.int32]
_Longs = NDArray[np.int64]

SPARE_WORDS = 4
HISTORY = 32
"""Zeros before a block's samples, for predictors; none looks back further."""
_MAX_RESIDUAL_BITS = 28
"""A residual of 16 or 24 bits has no more, unless its predictor is of no use."""
_RATES = np.array(
    [0, 88_200, 176_400, 192_000, 8_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000], np.int64
)
_FIXED = np.array([[0, 0, 0, 0], [1, 0, 0, 0], [2, -1, 0, 0], [3, -3, 1, 0], [4, -6, 4, -1]], np.int64)
"""Coefficients of the fixed predictors by their order, newest sample first."""


def _crc_table(polynomial: int, width: int) -> _Longs:
    rows = np.arange(256) << (width - 8)
    for _ in range(8):
        rows = np.where(rows >> (width - 1) & 1, rows << 1 ^ polynomial, rows << 1) & ((1 << width) - 1)
    return rows


def _crc16_words() -> _Longs:
    """What each byte of two words comes to in the CRC behind them, first byte first."""
    rows = [_CRC16]
    for _ in range(7):
        rows.append((rows[-1] << 8 & 0xFFFF) ^ _CRC16[rows[-1] >> 8])
    return np.stack(rows[::-1])


_CRC8, _CRC16 = _crc_table(0x07, 8), _crc_table(0x8005, 16)
_CRC16_WORDS = _crc16_words()


def _build_leading_zeros(_context: Any, _value: Any) -> Any:
    """Zeros before the first 1 of a uint64, 64 where there is none."""

    def build(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.ctlz(arguments[0], _context.get_constant(types.boolean, 0))

    return types.uint64(types.uint64), build


_leading_zeros: Any = intrinsic(_build_leading_zeros)


@compiled
def _bits(words: _Words, bit: int, count: int) -> int:
    """The *count* bits, 32 at most, at *bit*."""
    if bit < 0 or bit + count > (len(words) - SPARE_WORDS) * 32:
        return -1
    both = np.uint64(words[bit >> 5]) << np.uint64(32) | np.uint64(words[(bit >> 5) + 1])
    # Two shifts: one of all 64 bits has no meaning.
    # As a signed number by numpy's name: to numba, int() of an unsigned one stays unsigned.
    return np.int64((both << np.uint64(bit & 31)) >> np.uint64(1) >> np.uint64(63 - count))  # type: ignore[return-value]


@compiled
def _signed_bits(words: _Words, bit: int, count: int) -> int:
    """As `_bits`, a signed number, for a place that is known to lie before the end."""
    value = _bits(words, bit, count)
    return value - (1 << count) if count and value >> (count - 1) else value


@compiled
def _unary(words: _Words, bit: int) -> int:
    """How many zeros stand at *bit* before the next 1."""
    for count in range((len(words) - SPARE_WORDS) * 32 - bit):
        if _bits(words, bit + count, 1):
            return count
    return -1


@compiled
def _rice(words: _Words, bit: int, width: int, out: _Integers) -> int:
    """Residuals in Rice's code of *width* bits into *out*; the place behind them."""
    place, last = bit >> 5, len(words) - SPARE_WORDS
    if place >= last or width > _MAX_RESIDUAL_BITS:
        return -1
    # The next bits, `have` of them from the top on; all others are 0.
    have, seen = 32 - (bit & 31), np.uint64(0)
    window = np.uint64(words[place & PLACE]) << np.uint64(32 + (bit & 31))
    place += 1
    for i in range(len(out)):
        if have < 32:
            if place >= last + 2:  # the spare words are zeros; whoever reads on sees that the end was passed
                return -1
            window |= np.uint64(words[place & PLACE]) << np.uint64(32 - have)
            place += 1
            have += 32
        zeros: Any = np.int64(_leading_zeros(window))
        need = zeros + 1 + width
        if need > have:
            at = place * 32 - have
            zeros = _unary(words, at)
            low = _bits(words, at + zeros + 1, width)
            if zeros < 0 or low < 0 or zeros >> (_MAX_RESIDUAL_BITS - width):
                return -1
            value = np.uint64(zeros << width | low)
            at += zeros + 1 + width
            place, have = (at >> 5) + 1, 32 - (at & 31)
            window = np.uint64(words[at >> 5]) << np.uint64(32 + (at & 31))
        else:
            window <<= np.uint64(zeros + 1)
            value = np.uint64(zeros) << np.uint64(width) | window >> np.uint64(1) >> np.uint64(63 - width)
            window <<= np.uint64(width)
            have -= need
        seen |= value
        out[i & PLACE] = np.int32(np.int64(value >> np.uint64(1)) ^ -np.int64(value & np.uint64(1)))
    if seen >> np.uint64(_MAX_RESIDUAL_BITS):
        return -1
    return place * 32 - have


@compiled
def _raw(words: _Words, bit: int, width: int, out: _Integers) -> int:
    """Signed numbers of *width* bits, 32 at most, into *out*; the place behind them."""
    if bit < 0 or bit + len(out) * width > (len(words) - SPARE_WORDS) * 32:
        return -1
    for i in range(len(out)):
        out[i] = _signed_bits(words, bit + i * width, width)
    return bit + len(out) * width


@compiled
def _residual(words: _Words, bit: int, order: int, out: _Integers) -> int:
    """The residual of a block of len(*out*) samples, the first *order* left out, into *out*; the place behind it."""
    method, exponent = _bits(words, bit, 2), _bits(words, bit + 2, 4)
    if exponent < 0 or method > 1 or len(out) & ((1 << exponent) - 1) or len(out) >> exponent < order:
        return -1
    bit, size, parameter_bits = bit + 6, len(out) >> exponent, 4 + method
    for partition in range(1 << exponent):
        width = _bits(words, bit, parameter_bits)
        bit += parameter_bits
        part = out[order if partition == 0 else partition * size : (partition + 1) * size]
        if width == (1 << parameter_bits) - 1:
            width = _bits(words, bit, 5)
            bit = -1 if width < 0 or width > _MAX_RESIDUAL_BITS else _raw(words, bit + 5, width, part)
        elif len(part):
            bit = -1 if width < 0 else _rice(words, bit, width, part)
        if bit < 0:
            return -1
    return bit


@compiled
def _predict(samples: _Integers, first: int, order: int, c: _Longs, shift: int) -> int:
    """Residuals in *samples* from place *first* on to samples, each predicted from *order* ones before it.

    Returns 0, or -1 where a sample does not fit.
    """
    c1, c2, c3, c4, c5, c6, c7, c8 = c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7]
    # In names, so in registers: read back from memory, the newest sample would come ten cycles late.
    p, q, r, s = samples[first - 1] + 0, samples[first - 2] + 0, samples[first - 3] + 0, samples[first - 4] + 0
    t, u, v, w = samples[first - 5] + 0, samples[first - 6] + 0, samples[first - 7] + 0, samples[first - 8] + 0
    wild = np.int64(0)
    if order <= 8:
        for i in range(first, len(samples)):
            older = c2 * q + c3 * r + c4 * s + c5 * t + c6 * u + c7 * v + c8 * w
            w, v, u, t, s, r, q = v, u, t, s, r, q, p
            p = samples[i & PLACE] + ((older + c1 * p) >> shift)
            wild |= p + (1 << 31)
            samples[i & PLACE] = p
    else:
        for i in range(first, len(samples)):
            older = c2 * q + c3 * r + c4 * s + c5 * t + c6 * u + c7 * v + c8 * w
            for j in range(8, order):
                older += c[j & PLACE] * samples[i - 1 - j & PLACE]
            w, v, u, t, s, r, q = v, u, t, s, r, q, p
            p = samples[i & PLACE] + ((older + c1 * p) >> shift)
            wild |= p + (1 << 31)
            samples[i & PLACE] = p
    return -1 if wild >> 32 else 0


@compiled
def _coefficients(words: _Words, bit: int, order: int, out: _Longs) -> int:
    """The linear predictor's coefficients into *out*, its shift behind them; the place behind it."""
    precision, shift = _bits(words, bit, 4) + 1, _bits(words, bit + 4, 5)
    bit += 9
    if precision < 1 or precision > 15 or not 0 <= shift < 16 or _bits(words, bit + order * precision, 1) < 0:
        return -1
    for i in range(order):
        out[i] = _signed_bits(words, bit + i * precision, precision)
    out[HISTORY] = shift
    return bit + order * precision


@compiled
def _predicted(words: _Words, bit: int, kind: int, bits: int, samples: _Integers, c: _Longs) -> int:  # noqa: PLR0917 - compiled: it has no keywords
    """A subframe of *kind* with a fixed or linear predictor, as `_subframe` does."""
    out, is_fixed = samples[HISTORY:], 8 <= kind <= 12
    order = kind - 8 if is_fixed else kind - 31
    if not (is_fixed or 32 <= kind < 64) or order >= len(out):  # a block that is all warm-up is no FLAC to libFLAC
        return -1
    for j in range(len(c)):
        c[j] = 0
    bit = _raw(words, bit, bits, out[:order])
    if is_fixed:
        for j in range(4):
            c[j] = _FIXED[order, j]
    else:
        bit = _coefficients(words, bit, order, c)
    bit = _residual(words, bit, order, out)
    if bit < 0 or (order and _predict(samples, HISTORY + order, order, c, c[HISTORY]) < 0):
        return -1
    return bit


@compiled
def _subframe(words: _Words, bit: int, bits: int, samples: _Integers, c: _Longs) -> int:
    """A channel's block of samples of *bits* into *samples* behind its `HISTORY`; the place behind. *c* is scratch."""
    kind, out = _bits(words, bit, 7), samples[HISTORY:]
    wasted, bit = _bits(words, bit + 7, 1), bit + 8
    if wasted > 0:
        wasted = _unary(words, bit) + 1
        bit = bit + wasted if wasted else -1
        bits -= wasted
    if bit < 0 or kind < 0 or wasted < 0 or bits < 1:
        return -1
    if kind < 2:
        bit = _raw(words, bit, bits, out if kind else out[:1])
        for i in range(1, len(out) if kind == 0 else 0):
            out[i] = out[0]
    else:
        bit = _predicted(words, bit, kind, bits, samples, c)
    least, most = 0, 0
    for i in range(len(out)):
        least, most = out[i] if out[i] < least else least, out[i] if out[i] > most else most
    if bit < 0 or most >> (bits - 1) or least >> (bits - 1) < -1:
        return -1
    for i in range(len(out) if wasted else 0):
        out[i] <<= wasted
    return bit


@compiled
def _behind_number(words: _Words, bit: int, number: int) -> int:
    """The place behind *number*, which is written as UTF-8 writes characters; -1 where it is another."""
    value = _bits(words, bit, 8)
    ones: Any = np.int64(_leading_zeros(np.uint64(~value & 0xFF))) - 56
    if ones == 1 or ones > 6:
        return -1
    found = value & ((0x80 >> ones) - 1)
    for _ in range(1, ones):
        bit += 8
        value = _bits(words, bit, 8)
        if value >> 6 != 2:
            return -1
        found = found << 6 | value & 0x3F
    return bit + 8 if found == number else -1


@compiled
def _frame_header(words: _Words, bit: int, number: int, size: int, about: _Longs) -> tuple[int, int]:
    """Behind the header of frame *number*, which has *size* samples of what the file is *about*; its channels' kind."""
    head, rate, channels, bits = _bits(words, bit, 32), about[0], about[1], about[2]
    size_code, rate_code, kind, bits_code = head >> 12 & 15, head >> 8 & 15, head >> 4 & 15, head >> 1 & 7
    end = _behind_number(words, bit + 32, number)
    # Fourteen bits of sync, one reserved, one that says that blocks have one size; and one reserved at the end.
    if end < 0 or head >> 16 != 0xFFF8 or head & 1 or (bits_code and bits_code != bits // 4):
        return -1, 0
    if channels != (2 if 8 <= kind <= 10 else kind + 1):
        return -1, 0
    stated = 192 if size_code == 1 else 576 << (size_code - 2) if size_code < 6 else 256 << (size_code - 8)
    if 6 <= size_code < 8:
        width = 8 * (size_code - 5)
        stated, end = _bits(words, end, width) + 1, end + width
    hertz = rate if rate_code == 0 else _RATES[rate_code] if rate_code < len(_RATES) else -1
    if 12 <= rate_code <= 14:
        width = 8 if rate_code == 12 else 16
        hertz, end = (
            _bits(words, end, width) * (1_000 if rate_code == 12 else 10 if rate_code == 14 else 1),
            end + width,
        )
    crc = 0
    for at in range(bit, end + 8, 8):
        crc = _CRC8[(crc ^ _bits(words, at, 8)) & 0xFF]
    return (-1 if crc or not size_code or stated != size or hertz != rate else end + 8), kind


@compiled
def _crc16(words: _Words, bit: int, end: int) -> int:
    """The checksum of the bytes from *bit* to *end*."""
    crc = 0
    while bit < end:
        if bit & 31 or end - bit < 64:
            crc = (crc << 8 & 0xFFFF) ^ _CRC16[(crc >> 8 ^ _bits(words, bit, 8)) & 0xFF]
            bit += 8
        else:
            one, two = np.int64(words[bit >> 5 & PLACE]), np.int64(words[(bit >> 5) + 1 & PLACE])
            one ^= crc << 16
            crc = _CRC16_WORDS[4, two >> 24] ^ _CRC16_WORDS[5, two >> 16 & 0xFF]
            crc ^= _CRC16_WORDS[6, two >> 8 & 0xFF] ^ _CRC16_WORDS[7, two & 0xFF]
            crc ^= _CRC16_WORDS[2, one >> 8 & 0xFF] ^ _CRC16_WORDS[3, one & 0xFF]
            crc ^= _CRC16_WORDS[0, one >> 24 & 0xFF] ^ _CRC16_WORDS[1, one >> 16 & 0xFF]
            bit += 64
    return crc


@compiled
def _write(first: _Integers, second: _Integers, kind: int, scale: np.float32, out: NDArray[np.float32]) -> None:
    """A block's channels, of which one may be kept as the difference, into *out* as [samples, channels]."""
    for i in range(len(out)):
        a, b = first[i], second[i]
        if kind == 8:  # left, side
            b = a - b
        elif kind == 9:  # side, right
            a += b
        elif kind == 10:  # mid, side
            middle = a << 1 | b & 1
            a, b = middle + b >> 1, middle - b >> 1
        out[i, 0] = a * scale
        if out.shape[1] > 1:
            out[i, 1] = b * scale


@kept("i8(u4[::1], i8, i8[::1], i4[:, ::1], i8[::1], f4[:, ::1])")
def decode_frames(  # noqa: PLR0917 - compiled: it has no keywords
    words: _Words, bit: int, about: _Longs, samples: _Integers, scratch: _Longs, out: NDArray[np.float32]
) -> int:
    """All frames from *bit* on into *out* [samples, channels]; the place behind the last.

    *about* is rate, channels, bits of a sample, samples of all blocks but the last. *samples* are zeros, two rows of
    `HISTORY` and a block, *scratch* has `HISTORY` and one.
    """
    channels, bits, block = about[1], about[2], about[3]
    done, number, scale = 0, 0, np.float32(1) / np.float32(1 << (bits - 1))
    while done < len(out):
        start, size = bit, block if block < len(out) - done else len(out) - done
        first, second = samples[0, : HISTORY + size], samples[1, : HISTORY + size]
        bit, kind = _frame_header(words, bit, number, size, about)
        if bit >= 0:
            bit = _subframe(words, bit, bits + (kind == 9), first, scratch)
        if bit >= 0 and channels > 1:
            bit = _subframe(words, bit, bits + (kind == 8 or kind == 10), second, scratch)
        if bit < 0 or _bits(words, bit, -bit & 7):
            return -1
        bit += -bit & 7
        if _crc16(words, start, bit) != _bits(words, bit, 16):
            return -1
        bit += 16
        _write(first[HISTORY:], second[HISTORY:], kind, scale, out[done : done + size])
        done, number = done + size, number + 1
    return bit
