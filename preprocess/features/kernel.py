"""The loops of log-mel, compiled: frames to the logarithm of their mel, and float32 to float16.

No sum crosses frames, nothing is reassociated and no product fused with a sum: every CPU gives the same bytes, however
wide its vectors are.
"""

import math

import numpy as np
from numpy.typing import NDArray

from preprocess.compiled import PLACE, compiled, kept
from preprocess.features import spectrum
from preprocess.features.spectrum import FRAMES
from shared.schema import HOP_LENGTH

_Floats = NDArray[np.float32]
_Places = NDArray[np.int64]
_Bits = NDArray[np.int32]

SPARE_ROWS = 3
"""Rows of zeros after a spectrum: filters take four bins at a time."""
SILENCE = np.float32(-1.5)
"""A value of digital silence: `(log10(1e-10) + 4) / 4`."""

_LEAST = np.float32(1e-10)
_ONE, _HALF, _ROOT = np.float32(1), np.float32(0.5), np.float32(math.sqrt(0.5))
_PER_OCTAVE, _PER_E = np.float32(math.log10(2) / 4), np.float32(math.log10(math.e) / 4)
# ln(1 + x) = x - x² / 2 + x³ times this polynomial, for x from √½ - 1 to √2 - 1 (Cephes, logf.c): 1 ulp.
_C0, _C1, _C2 = np.float32(7.0376836292e-2), np.float32(-1.1514610310e-1), np.float32(1.1676998740e-1)
_C3, _C4, _C5 = np.float32(-1.2420140846e-1), np.float32(1.4249322787e-1), np.float32(-1.6668057665e-1)
_C6, _C7, _C8 = np.float32(2.0000714765e-1), np.float32(-2.4999993993e-1), np.float32(3.3333331174e-1)
# Of the bits of a float32: its fraction, its exponent, and those of 0.5.
_FRACTION, _EXPONENT_AT, _BIAS, _BITS_OF_HALF = np.int32(0x7FFFFF), np.int32(23), np.int32(126), np.int32(0x3F000000)
# To those of a float16, whose least normal number is 2⁻¹⁴.
_MAGNITUDE, _LEAST_NORMAL, _REBIAS = np.int32(0x7FFFFFFF), np.int32(0x38800000), np.int32(112 << 10)
_DROPPED, _BELOW_HALF, _LAST = np.int32(13), np.int32(0xFFF), np.int32(1)
_SIGN_AT, _SIGN = np.int32(16), np.int32(0x8000)


@compiled
def _mel(power: _Floats, first: _Places, quads: _Places, weights: _Floats, mel: _Floats) -> None:
    """Sums [num_mel_bins, 16] of *power* under filters: from bin *first* on, so many times four *weights*."""
    place = 0
    for m in range(len(first)):
        for f in range(FRAMES):
            mel[m * FRAMES + f] = 0
        start = first[m] * FRAMES & PLACE
        for _ in range(quads[m]):
            a, b, c, d = weights[place], weights[place + 1], weights[place + 2], weights[place + 3]
            place += 4
            for f in range(FRAMES):
                low = a * power[start + f] + b * power[start + FRAMES + f]
                high = c * power[start + 2 * FRAMES + f] + d * power[start + 3 * FRAMES + f]
                mel[m * FRAMES + f] += low + high
            start = start + 4 * FRAMES & PLACE


@compiled
def _log(mel: _Floats, mel_bits: _Bits, exponents: _Floats, fractions: _Floats, fraction_bits: _Bits) -> None:
    """1 + log10(mel) / 4 in place, `SILENCE` at 1e-10 and below; *mel* is 2 ** exponent times a fraction in [½, 1)."""
    for i in range(len(mel)):
        exponents[i] = np.float32((mel_bits[i] >> _EXPONENT_AT) - _BIAS)
        fraction_bits[i] = (mel_bits[i] & _FRACTION) | _BITS_OF_HALF
    for i in range(len(mel)):
        small = fractions[i] < _ROOT
        octave = exponents[i] - _ONE if small else exponents[i]
        x = (fractions[i] + fractions[i] if small else fractions[i]) - _ONE
        high = (((_C0 * x + _C1) * x + _C2) * x + _C3) * x + _C4
        tail = ((((high * x + _C5) * x + _C6) * x + _C7) * x + _C8) * x * (x * x) - _HALF * (x * x)
        value = _ONE + (octave * _PER_OCTAVE + (x + tail) * _PER_E)
        mel[i] = value if mel[i] > _LEAST else SILENCE


@compiled
def _turn_over(mel: _Floats, out: _Floats) -> None:
    """*mel* [num_mel_bins, 16] into the frames of *out* [up to 16, num_mel_bins]."""
    for f in range(min(FRAMES, len(out))):
        row = out[f]
        for m in range(len(row)):
            row[m] = mel[m * FRAMES + f]


@kept("void(f4[::1], f4[::1], i8[::1], i8[::1], f4[::1], f4[:, ::1])", spectrum)
def log_mel(  # noqa: PLR0917 - compiled: it has no keywords
    signal: _Floats, weights: _Floats, first: _Places, quads: _Places, filters: _Floats, out: _Floats
) -> None:
    """1 + log10(mel) / 4, not yet clamped, of each frame into *out* [frames, num_mel_bins].

    *signal* has a hop for each of these frames, rounded up to 16, and two hops more. *weights* are the window's; the
    *filters* count four times, where they lie, as `spectrum.power` is four times the power.
    """
    columns = np.empty(HOP_LENGTH * spectrum.COLUMNS, np.float32)
    x, y = np.empty(spectrum.BUFFER, np.float32), np.empty(spectrum.BUFFER, np.float32)
    power = np.zeros((spectrum.BINS + SPARE_ROWS) * FRAMES, np.float32)
    mel = np.empty(len(first) * FRAMES, np.float32)
    exponents, fractions = np.empty_like(mel), np.empty_like(mel)
    for start in range(0, len(out), FRAMES):
        spectrum.gather(signal, start * HOP_LENGTH, columns)
        spectrum.window(columns, weights, x)
        spectrum.radix8(x, y)
        spectrum.radix5_first(y, x)
        spectrum.radix5_last(x, y)
        spectrum.power(y, power)
        _mel(power, first, quads, filters, mel)
        _log(mel, mel.view(np.int32), exponents, fractions, fractions.view(np.int32))
        _turn_over(mel, out[start:])


@kept("void(f4[::1], i4[::1], f4[::1], i4[::1], u2[::1])")
def halves(values: _Floats, bits: _Bits, scratch: _Floats, scratch_bits: _Bits, out: NDArray[np.uint16]) -> None:
    """The bits of *values* as float16, ties to even; for values below 65,520. *bits* and *scratch_bits* are views.

    Below 2⁻¹⁴ the sum with ½ is rounded where float16 is: its last bit stands for 2⁻²⁴.
    """
    for i in range(len(values)):
        scratch[i] = abs(values[i]) + _HALF
    for i in range(len(values)):
        size = bits[i] & _MAGNITUDE
        normal = np.int32(((size + _BELOW_HALF + ((size >> _DROPPED) & _LAST)) >> _DROPPED) - _REBIAS)
        small = np.int32(scratch_bits[i] - _BITS_OF_HALF)
        half = normal if size >= _LEAST_NORMAL else small
        out[i] = np.uint16(half | ((bits[i] >> _SIGN_AT) & _SIGN))
