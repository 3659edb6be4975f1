"""Likelihoods of bits: the one place where nats, bits per dimension and averages over models are defined."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def sigmoid(a: NDArray[Any], out: NDArray[Any] | None = None) -> NDArray[Any]:
    """1 / (1 + exp(-a)), by the hyperbolic tangent, which does not overflow.

    Args:
        a: any real numbers.
        out: where to write, which may be `a`.
    """
    half = a.dtype.type(0.5)
    result: NDArray[Any] = np.multiply(a, half, out=out)
    np.tanh(result, out=result)
    result += 1
    result *= half
    return result


def bit_log_likelihoods(logits: NDArray[Any], x: NDArray[Any]) -> NDArray[Any]:
    """log p of each bit in nats: x z - log(1 + exp(z)).

    Args:
        logits: log-odds of a 1.
        x: 0 and 1, of the same shape.
    """
    softplus = np.maximum(logits, 0) + np.log1p(np.exp(-np.abs(logits)))
    return x * logits - softplus


def log_likelihood(logits: NDArray[Any], x: NDArray[Any]) -> NDArray[np.float64]:
    """log p of each row in nats, the *sum* over its bits, of shape (rows,).

    Args:
        logits: log-odds of a 1, of shape (rows, variables).
        x: 0 and 1, of the same shape.
    """
    return bit_log_likelihoods(logits, x).sum(axis=1, dtype=np.float64)


def log_mean_exp(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The log of the mean of exp(values) over the first axis: what is averaged are probabilities of rows."""
    top = values.max(axis=0)
    return top + np.log(np.exp(values - top).mean(axis=0))


def negative_log_likelihood(log_prob: NDArray[np.float64]) -> float:
    """The mean over rows of -log p, in nats per row."""
    return -float(np.mean(log_prob))


def bits_per_dimension(log_prob: NDArray[np.float64], num_variables: int) -> float:
    """The negative log-likelihood in bits, shared out among the variables: NLL / (D ln 2)."""
    return negative_log_likelihood(log_prob) / (num_variables * float(np.log(2)))


def smoothed_log_odds(x: NDArray[Any]) -> NDArray[np.float64]:
    """log((n1 + 1) / (n0 + 1)) of every column: the independent model with Laplace's rule."""
    ones = x.sum(axis=0, dtype=np.float64)
    return np.log((ones + 1) / (len(x) - ones + 1))
