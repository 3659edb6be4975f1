"""Muon: momentum whose matrices are replaced by the nearest matrix with orthogonal rows or columns.

A step of plain momentum is dominated by a few directions; setting all singular values to 1 lets the rare
directions learn as fast as the frequent ones. What is not a hidden matrix is left to AdamW.

Reference:
    Jordan, Jin, Boza, You, Cesista, Newhouse, Bernstein. "Muon: An optimizer for hidden layers in neural
    networks". 2024. https://kellerjordan.github.io/posts/muon/
    Implements: the algorithm and its Newton-Schulz iteration; "match_rms_adamw" after Liu et al., "Muon is
        Scalable for LLM Training", arXiv:2502.16982v1, Eq. (4).
    Departs: momentum as a running mean, which differs by a constant factor that the iteration removes.
    Verified: singular value decomposition, 1e-10; torch.optim.Muon, equal within its bfloat16.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from assay.train.division import divided_as, whole

Scale = Literal["original", "match_rms_adamw"]
"""Factor on the step of an n x m matrix: sqrt(max(1, n / m)), or 0.2 sqrt(max(n, m))."""

# Each round applies p(s) = a s + b s^3 + c s^5 to the singular values s of X and keeps its singular vectors:
# with X = U S V', X X' X = U S^3 V' and (X X')^2 X = U S^5 V', so a X + (b A + c A A) X with A = X X' does it
# by products of matrices alone. Dividing by the Frobenius norm first brings all s into [0, 1]. The classical
# choice (15/8, -10/8, 3/8) converges to 1 from there, but p'(0) = a says how fast a small s grows: 5 rounds
# multiply it by a^5. The coefficients below were chosen for the steepest slope, 3.4445, under which p maps
# [0, 1] and what follows into about [0.7, 1.2]: s oscillates around 1 and need not be exact, because a
# direction learned 20 % too slowly or too fast is no harm.
COEFFICIENTS = (3.4445, -4.7750, 2.0315)


_SMALL = 1 << 17  # numbers of a matrix; larger ones keep the hardware busy alone


@torch.no_grad()
def orthogonalized(
    matrices: Float[Tensor, "*count rows columns"],
    *,
    steps: int = 5,
    coefficients: tuple[float, float, float] = COEFFICIENTS,
    eps: float = 1e-7,
) -> Float[Tensor, "*count rows columns"]:
    """`matrices` with all singular values moved close to 1, in their own precision and without a graph.

    Args:
        matrices: one, or many of one shape.
        steps: rounds of the iteration.
        coefficients: a, b, c of the polynomial a s + b s^3 + c s^5.
        eps: least norm, so that zeros stay zeros.
    """
    a, b, c = coefficients
    tall = matrices.shape[-2] > matrices.shape[-1]
    X = matrices.mT if tall else matrices
    X = X / X.norm(dim=(-2, -1), keepdim=True).clamp(min=eps)
    if X.ndim > 2:
        X = X.contiguous()  # Transposed batches in bfloat16 have no fast product: 4 s for 10 ms.
    plus_product = torch.addmm if X.ndim == 2 else torch.baddbmm
    # Every round writes into the same memory: new memory from the system would cost 3 % of the time.
    A = X.new_empty((*X.shape[:-1], X.shape[-2]))
    B, Y = torch.empty_like(A), torch.empty_like(X)
    for _ in range(steps):
        torch.matmul(X, X.mT, out=A)
        plus_product(A, A, A, beta=b, alpha=c, out=B)
        X, Y = plus_product(X, B, X, beta=a, out=Y), X
    return X.mT if tall else X


class Muon(torch.optim.Optimizer):
    """Muon for the groups with "muon": True, `torch.optim.AdamW` for the others.

    Args:
        groups: with "params", "lr", "weight_decay", "muon", and for AdamW "betas".
        momentum: decay of the running mean of the gradient, in [0, 1).
        nesterov: look ahead by one step of the running mean.
        ns_steps: rounds of the Newton-Schulz iteration.
        scale: factor by shape; with "match_rms_adamw" learning rates of AdamW can be used.
        dtype: of the iteration; None for bfloat16 where the hardware multiplies in it, else the gradient's
            own type. Gradients in float64 keep it.

    Raises:
        ValueError: momentum or scale is not what it can be.
    """

    def __init__(
        self,
        groups: Iterable[dict[str, Any]],
        *,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_steps: int = 5,
        scale: Scale = "original",
        dtype: torch.dtype | None = None,
    ) -> None:
        if not 0 <= momentum < 1:
            raise ValueError(f"expected momentum in [0, 1), got {momentum}")
        if scale not in get_args(Scale):
            raise ValueError(f"expected scale to be one of {', '.join(get_args(Scale))}, got {scale!r}")
        self.momentum, self.nesterov, self.ns_steps, self.scale, self.dtype = (
            momentum,
            nesterov,
            ns_steps,
            scale,
            dtype,
        )
        rest = {"lr": 1e-3, "weight_decay": 0.0, "muon": True}
        template = torch.optim.AdamW([torch.zeros(1)], fused=True)
        super().__init__(groups, {**template.defaults, **rest})
        self._adamw = template  # Does the work of the other groups on this optimizer's state.

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Moves the parameters that have gradients; returns what `closure` returned, if there is one."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self._adamw.state = self.state
        self._adamw.param_groups = [group for group in self.param_groups if not group["muon"]]
        if self._adamw.param_groups:
            self._adamw.step()
        for group in self.param_groups:
            if group["muon"]:
                self._step(group)
        return loss

    def _step(self, group: dict[str, Any]) -> None:
        alike: dict[Any, list[tuple[Tensor, Tensor]]] = defaultdict(list)
        for parameter in group["params"]:
            if parameter.grad is None:
                continue
            state = self.state[parameter]
            if "momentum" not in state:
                state["momentum"] = torch.zeros_like(parameter)
            mean = state["momentum"].lerp_(parameter.grad, 1 - self.momentum)
            matrix = self._matrix(parameter.grad.lerp(mean, self.momentum) if self.nesterov else mean)
            if matrix.numel() > _SMALL:
                self._move(group, [(parameter, matrix)])
            else:  # Small ones of one shape go through the iteration together.
                alike[matrix.shape, matrix.dtype, matrix.device].append((parameter, matrix))
        for found in alike.values():
            self._move(group, found)

    def _matrix(self, update: Tensor) -> Tensor:
        """All of an update as a matrix in the type of the iteration."""
        update = whole(update)
        fast = _multiplies_bfloat16(update.dtype, update.device)
        return update.flatten(1).to(self.dtype or (torch.bfloat16 if fast else update.dtype))

    def _move(self, group: dict[str, Any], found: list[tuple[Tensor, Tensor]]) -> None:
        """Moves parameters by their updates, matrices of one shape."""
        rows, columns = found[0][1].shape
        alone = len(found) == 1
        together = found[0][1] if alone else torch.stack([matrix for _, matrix in found])
        steps = orthogonalized(together, steps=self.ns_steps)
        for (parameter, _), step in zip(found, [steps] if alone else steps, strict=True):
            if group["weight_decay"]:
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
            moved = divided_as(parameter, step.reshape(parameter.shape))
            parameter.add_(moved, alpha=-group["lr"] * self._factor(rows, columns))

    def _factor(self, rows: int, columns: int) -> float:
        if self.scale == "original":
            return math.sqrt(max(1.0, rows / columns))
        return 0.2 * math.sqrt(max(rows, columns))


def _multiplies_bfloat16(dtype: torch.dtype, device: torch.device) -> bool:
    """Whether matrices of a type are multiplied faster in bfloat16 there."""
    if dtype == torch.float64:
        return False
    return device.type != "cpu" or bool(getattr(torch.cpu, "_is_avx512_bf16_supported", bool)())
