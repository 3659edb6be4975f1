"""The linear probe: how well classes can be told apart by a hyperplane in the features of a frozen tower.

Reference:
    Radford et al. "Learning Transferable Visual Models From Natural Language Supervision". ICML 2021.
        arXiv:2103.00020v1 (Section 3.2 and Appendix A.3: logistic regression by L-BFGS)
    Verified: scikit-learn's LogisticRegression, the same optimum to 1e-4.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F


@dataclass(frozen=True, eq=False)
class Probe:
    """A linear classifier of features: weights [classes, dim] and biases [classes]."""

    weight: NDArray[np.float64]
    bias: NDArray[np.float64]

    def logits(self, features: NDArray[np.floating]) -> NDArray[np.float64]:
        """The logits, [count, classes]."""
        return features @ self.weight.T + self.bias

    def accuracy(self, features: NDArray[np.floating], labels: NDArray[np.int64]) -> float:
        """The share of the features whose class has the highest logit."""
        return float((self.logits(features).argmax(axis=1) == labels).mean())


def linear_probe(
    features: NDArray[np.floating],
    labels: NDArray[np.int64],
    *,
    penalty: float = 1.0,
    max_iterations: int = 200,
    start: tuple[NDArray[np.floating], NDArray[np.floating]] | None = None,
) -> Probe:
    """The logistic regression of the labels: the least sum of losses plus penalty / 2 times |weights|^2.

    Args:
        features: [count, dim].
        labels: from 0 up.
        penalty: of the weights, not of the biases; above 0.
        max_iterations: of L-BFGS.
        start: weights and biases to begin with; zeros if not given.

    Raises:
        ValueError: there are no features, or not as many labels.
    """
    if features.ndim != 2 or not len(features) or len(features) != len(labels):
        raise ValueError(f"expected features and a label for each, got {features.shape} and {len(labels)}")
    x = torch.from_numpy(np.asarray(features, np.float64))
    y = torch.from_numpy(np.asarray(labels, np.int64))
    classes = int(y.max()) + 1
    first = start or (np.zeros((classes, x.shape[1])), np.zeros(classes))
    weight, bias = (torch.tensor(np.asarray(a, np.float64), requires_grad=True) for a in first)
    optimizer = torch.optim.LBFGS(
        [weight, bias], max_iter=max_iterations, line_search_fn="strong_wolfe", tolerance_grad=1e-6
    )

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(x @ weight.T + bias, y, reduction="sum") + penalty / 2 * weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)  # type: ignore[arg-type]
    return Probe(weight.detach().numpy(), bias.detach().numpy())
