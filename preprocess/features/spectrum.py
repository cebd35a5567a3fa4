"""Power spectra of 16 frames of 400 samples at a time, compiled.

Everything lies as [row, frame]: what is done to a row is done to 16 frames at once, by the CPU's vector instructions.
The 400 real samples of a frame are taken as 200 complex ones, even places as real and odd ones as imaginary parts.
Their transform goes through three of Stockham's stages, of radix 8, 5 and 5, which sort themselves; then the real
spectrum is taken out of it (Sorensen et al., "Real-valued fast Fourier transform algorithms", 1987).

Loops over frames read and write flat arrays at places that are seen to be no less than 0: for any other, the compiler
would go frame by frame, since Python counts those from the end.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from preprocess.compiled import PLACE, compiled
from shared.schema import HOP_LENGTH, N_FFT

FRAMES = 16
"""Two vectors of AVX2. The buffers, 26 kB each, stay in the caches."""
COLUMNS = FRAMES + 2
"""Hops of 160 samples that 16 frames lie in."""
POINTS = N_FFT // 2
BINS = POINTS + 1
BUFFER = POINTS * 2 * FRAMES
"""Values of all 200 complex rows: 16 real parts, then 16 imaginary ones."""

_Floats = NDArray[np.float32]
_ROW = 2 * FRAMES
_HALF_ROOT = np.float32(math.sqrt(0.5))
_COS1, _COS2 = np.float32(math.cos(math.tau / 5)), np.float32(math.cos(2 * math.tau / 5))
_SIN1, _SIN2 = np.float32(math.sin(math.tau / 5)), np.float32(math.sin(2 * math.tau / 5))
_ANGLES = -math.tau * np.arange(POINTS) / N_FFT
_TURN_REAL, _TURN_IMAG = np.cos(_ANGLES).astype(np.float32), np.sin(_ANGLES).astype(np.float32)


def _twiddles(size: int, radix: int) -> _Floats:
    """exp(-2πi p k / size) for p below size / radix and k from 1 to radix - 1: real and imaginary parts by turns."""
    angles = -math.tau / size * np.outer(np.arange(size // radix), np.arange(1, radix))
    return np.stack([np.cos(angles), np.sin(angles)], axis=-1).astype(np.float32).reshape(size // radix, -1)


_TURNS8, _TURNS5, _NO_TURNS = _twiddles(POINTS, 8), _twiddles(25, 5), _twiddles(5, 5)


@compiled
def gather(signal: _Floats, start: int, columns: _Floats) -> None:
    """The hops from sample *start* of *signal* on into *columns* [160, 18]."""
    for f in range(COLUMNS):
        place = start + f * HOP_LENGTH & PLACE
        for n in range(HOP_LENGTH):
            columns[n * COLUMNS + f] = signal[place + n]


@compiled
def window(columns: _Floats, weights: _Floats, out: _Floats) -> None:
    """Windowed samples [400, 16]: sample n of frame f lies in row n % 160 of column f + n // 160.

    Four rows at a time: before a loop over frames, the machine looks whether its arrays overlap.
    """
    for hop in range(3):
        for n in range(0, min(HOP_LENGTH, N_FFT - hop * HOP_LENGTH), 4):
            i, j, k = hop * HOP_LENGTH + n, n * COLUMNS + hop, (hop * HOP_LENGTH + n) * FRAMES
            a, b, c, d = weights[i], weights[i + 1], weights[i + 2], weights[i + 3]
            for f in range(FRAMES):
                out[k + f] = columns[j + f] * a
                out[k + FRAMES + f] = columns[j + COLUMNS + f] * b
                out[k + 2 * FRAMES + f] = columns[j + 2 * COLUMNS + f] * c
                out[k + 3 * FRAMES + f] = columns[j + 3 * COLUMNS + f] * d


@compiled
def _get(x: _Floats, row: int, f: int) -> complex:
    return complex(x[row * _ROW + f], x[row * _ROW + FRAMES + f])


@compiled
def _put(x: _Floats, row: int, f: int, z: complex) -> None:
    x[row * _ROW + f] = z.real
    x[row * _ROW + FRAMES + f] = z.imag


@compiled
def _times(factor: np.float32, z: complex) -> complex:
    return complex(factor * z.real, factor * z.imag)


@compiled
def _turned(z: complex) -> complex:
    """-i z."""
    return complex(z.imag, -z.real)


@compiled
def _dft4(a: complex, b: complex, c: complex, d: complex) -> tuple[complex, complex, complex, complex]:
    s, t, u, v = a + c, a - c, b + d, _turned(b - d)
    return s + u, t + v, s - u, t - v


@compiled
def radix8(x: _Floats, y: _Floats) -> None:
    """The first stage: 8 rows of *x*, 25 apart, to 8 neighbours in *y*."""
    for p in range(25):
        w = _TURNS8[p]
        w1, w2, w3, w4 = complex(w[0], w[1]), complex(w[2], w[3]), complex(w[4], w[5]), complex(w[6], w[7])
        w5, w6, w7 = complex(w[8], w[9]), complex(w[10], w[11]), complex(w[12], w[13])
        for f in range(FRAMES):
            e0, e1, e2, e3 = _dft4(_get(x, p, f), _get(x, p + 50, f), _get(x, p + 100, f), _get(x, p + 150, f))
            o0, o1, o2, o3 = _dft4(_get(x, p + 25, f), _get(x, p + 75, f), _get(x, p + 125, f), _get(x, p + 175, f))
            o1, o2, o3 = _times(_HALF_ROOT, o1 + _turned(o1)), _turned(o2), _times(_HALF_ROOT, _turned(o3) - o3)
            _put(y, 8 * p, f, e0 + o0)
            _put(y, 8 * p + 1, f, (e1 + o1) * w1)
            _put(y, 8 * p + 2, f, (e2 + o2) * w2)
            _put(y, 8 * p + 3, f, (e3 + o3) * w3)
            _put(y, 8 * p + 4, f, (e0 - o0) * w4)
            _put(y, 8 * p + 5, f, (e1 - o1) * w5)
            _put(y, 8 * p + 6, f, (e2 - o2) * w6)
            _put(y, 8 * p + 7, f, (e3 - o3) * w7)


def _radix5(groups: int, stride: int, turns: _Floats) -> Callable[[_Floats, _Floats], None]:
    """A stage of radix 5: of each of *groups*, 5 rows, `groups * stride` apart, to 5 rows *stride* apart."""
    far = groups * stride

    @compiled
    def _stage(x: _Floats, y: _Floats) -> None:
        for p in range(groups):
            w = turns[p]
            w1, w2, w3, w4 = complex(w[0], w[1]), complex(w[2], w[3]), complex(w[4], w[5]), complex(w[6], w[7])
            for q in range(stride):
                i, j = q + stride * p, q + stride * 5 * p
                for f in range(FRAMES):
                    a, b, c = _get(x, i, f), _get(x, i + far, f), _get(x, i + 2 * far, f)
                    d, e = _get(x, i + 3 * far, f), _get(x, i + 4 * far, f)
                    s, t, u, v = b + e, c + d, _turned(b - e), _turned(c - d)
                    m, n = a + _times(_COS1, s) + _times(_COS2, t), a + _times(_COS2, s) + _times(_COS1, t)
                    g, h = _times(_SIN1, u) + _times(_SIN2, v), _times(_SIN2, u) - _times(_SIN1, v)
                    _put(y, j, f, a + s + t)
                    _put(y, j + stride, f, (m + g) * w1)
                    _put(y, j + 2 * stride, f, (n + h) * w2)
                    _put(y, j + 3 * stride, f, (n - h) * w3)
                    _put(y, j + 4 * stride, f, (m - g) * w4)

    return _stage


radix5_first, radix5_last = _radix5(5, 8, _TURNS5), _radix5(1, 40, _NO_TURNS)


@compiled
def power(z: _Floats, out: _Floats) -> None:
    """Four times the power of the real spectrum [201, 16], at its ends the power, from *z*, the points' transform."""
    for f in range(FRAMES):
        out[f] = (z[f] + z[FRAMES + f]) ** 2
        out[POINTS * FRAMES + f] = (z[f] - z[FRAMES + f]) ** 2
    for k in range(1, POINTS):
        one, other = z[k * _ROW : (k + 1) * _ROW], z[(POINTS - k) * _ROW : (POINTS - k + 1) * _ROW]
        w_real, w_imag = _TURN_REAL[k], _TURN_IMAG[k]
        for f in range(FRAMES):
            a, b = _get(one, 0, f), _get(other, 0, f)
            odd_real, odd_imag = a.imag + b.imag, b.real - a.real
            real = a.real + b.real + (odd_real * w_real - odd_imag * w_imag)
            imag = a.imag - b.imag + (odd_real * w_imag + odd_imag * w_real)
            out[k * FRAMES + f] = real * real + imag * imag
