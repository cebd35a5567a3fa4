"""How far two models' computations are apart: figures that rounding explains, or does not."""

import numpy as np
from numpy.typing import NDArray


def encoder_error(original: NDArray[np.float32], export: NDArray[np.float32]) -> float:
    """How far the encoder's output of *export* is from the *original*'s, as a part of its size."""
    return float(np.linalg.norm(export - original) / np.linalg.norm(original))


def divergence(original: NDArray[np.float64], export: NDArray[np.float64]) -> float:
    """Nats by which the next token's log probabilities [places, vocabulary] diverge, in the mean over the places."""
    return float((np.exp(original) * (original - export)).sum(axis=-1).mean())
