"""Linear probes: softmax regression on fixed features, with a penalty chosen on held-out images.

The problem is convex, so it is solved to its minimum by L-BFGS with the gradient by hand; there is no rate to
choose and no luck of the start.

Reference:
    Alain, Bengio. "Understanding intermediate layers using linear classifier probes". ICLR 2017 workshop.
    arXiv:1610.01644v4
    Liu, Nocedal. "On the limited memory BFGS method for large scale optimization". Mathematical Programming
    45, 1989 (SciPy's).
    Departs: a grid of penalties in place of a grid of learning rates.
    Verified: gradient by finite differences, 1e-7; scikit-learn's LogisticRegression at the same penalty.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from assay.core.run import Run

_HELD_OUT = 5  # One of so many images chooses the penalty.
_ITERATIONS = 100


def regression_loss(
    weights: Float[Tensor, "classes inputs"],
    x: Float[Tensor, "images inputs"],
    labels: Int[Tensor, " images"],
    penalty: float,
) -> tuple[float, Float[Tensor, "classes inputs"]]:
    """The mean of -log p of the labels plus penalty / 2 of the squared weights, and the gradient.

    Args:
        weights: the last column belongs to an input that is always 1, and is not penalised.
        x: inputs; the last one is 1.
        labels: the true classes.
        penalty: at least 0.
    """
    log_probs = (x @ weights.T).log_softmax(1)
    error = log_probs.exp()
    rows = torch.arange(len(x))
    error[rows, labels] -= 1
    penalised = weights.clone()
    penalised[:, -1] = 0
    loss = -log_probs[rows, labels].double().mean() + penalty / 2 * penalised.double().square().sum()
    return float(loss), error.T @ x / len(x) + penalty * penalised


def softmax_regression(
    x: Float[Tensor, "images inputs"],
    labels: Int[Tensor, " images"],
    *,
    classes: int,
    penalty: float,
    start: Float[Tensor, "classes inputs"] | None = None,
) -> Float[Tensor, "classes inputs"]:
    """The weights of the least loss; see `regression_loss`. `start` shortens the way to them."""
    from scipy.optimize import minimize

    shape = (classes, x.shape[1])

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights = torch.from_numpy(flat).to(x.dtype).view(shape)
        loss, gradient = regression_loss(weights, x, labels, penalty)
        return loss, gradient.double().numpy().ravel()

    first = np.zeros(shape) if start is None else start.double().numpy()
    options = {"maxiter": _ITERATIONS, "ftol": 1e-8, "gtol": 1e-5}
    found = minimize(objective, first.ravel(), jac=True, method="L-BFGS-B", options=options)
    return torch.from_numpy(found.x).to(x.dtype).view(shape)


def linear_probe(
    features: Float[Tensor, "images features"],
    labels: Int[Tensor, " images"],
    *,
    classes: int,
    penalties: Sequence[float],
    run: Run,
) -> tuple[Float[Tensor, "classes features"], Float[Tensor, " classes"]]:
    """Weight and bias of the best linear layer on features.

    Features are standardised with their mean and standard deviation; that is undone in what is returned.

    Args:
        features: of the training images.
        labels: their classes.
        classes: how many there are.
        penalties: tried; the one with the least loss on a fifth of the images is taken for all of them.
        run: draws that fifth.

    Raises:
        ValueError: there are fewer than 2 images.
    """
    if len(features) < 2:
        raise ValueError(f"expected at least 2 images to learn from, got {len(features)}")
    mean, std = features.mean(0), features.std(0)
    std = std.where(std > 1e-6 * std.max(), 1.0)  # A constant feature tells nothing.
    x = torch.cat([(features - mean) / std, features.new_ones(len(features), 1)], 1)
    order = torch.from_numpy(run.rng("probe").permutation(len(x)))
    count = max(1, len(x) // _HELD_OUT)
    held_out, learn = order[:count], order[count:]
    losses: list[float] = []
    weights = None
    for i, penalty in enumerate(sorted(penalties, reverse=True)):  # Each starts from its neighbour's.
        weights = softmax_regression(x[learn], labels[learn], classes=classes, penalty=penalty, start=weights)
        losses.append(regression_loss(weights, x[held_out], labels[held_out], 0.0)[0])
        run.progress((i + 1) / (len(penalties) + 1), f"penalty {penalty:g}, loss {losses[-1]:.4g}")
    penalty = sorted(penalties, reverse=True)[int(np.argmin(losses))]
    weights = softmax_regression(x, labels, classes=classes, penalty=penalty, start=weights)
    weight = weights[:, :-1] / std
    return weight, weights[:, -1] - weight @ mean
