"""Stochastic depth: in training, the branch of a residual block is now and then left out.

Reference:
    Huang, Sun, Liu, Sedra, Weinberger. "Deep Networks with Stochastic Depth". ECCV 2016. arXiv:1603.09382
    Implements: Eq. (2), per sample; linear decay of the survival probability, Eq. (4).
    Departs: kept branches are divided by their survival probability in training, where the paper multiplies
        in testing, as all later libraries do.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn


def drop_path(x: Float[Tensor, " batch *rest"], rate: float) -> Float[Tensor, " batch *rest"]:
    """`x` with every sample set to 0 with probability `rate`, and else divided by 1 - rate.

    Args:
        x: the output of a branch.
        rate: in [0, 1).
    """
    if rate == 0:
        return x
    keep = torch.rand((len(x),) + (1,) * (x.ndim - 1), device=x.device) >= rate
    return x * (keep.to(x.dtype) / (1 - rate))


class DropPath(nn.Module):
    """`drop_path` in training, nothing in evaluation."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        if not 0 <= rate < 1:
            raise ValueError(f"expected a drop-path rate in [0, 1), got {rate}")
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """The branch, or zeros in its place."""
        return drop_path(x, self.rate) if self.training else x


def drop_path_rates(rate: float, depth: int) -> tuple[float, ...]:
    """The rate of every block, from 0 at the first to `rate` at the last; over all stages of a network."""
    return tuple(rate * i / max(depth - 1, 1) for i in range(depth))
