"""Dynamic loss scaling: as large a factor on the loss as gradients in fp16 can bear.

Small gradients become zero in fp16. Multiplying the loss lifts all of them; dividing them again in float32
gives the true ones. The factor shrinks whenever a gradient overflows, and grows after a while without.

Reference:
    Micikevicius et al. "Mixed Precision Training". ICLR 2018. arXiv:1710.03740v3
    Implements: Section 3.2 (loss scaling) with the dynamic factor that its authors' libraries use.
    Verified: torch.amp.GradScaler, equal step for step on scripted and random overflows, with ranks too.
"""

import warnings
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor


class Step(NamedTuple):
    """Whether the optimizer stepped, the scale of this step's gradients, and whether one was not finite."""

    stepped: bool
    scale: float
    found_inf: bool


class LossScaler:
    """Scales losses, unscales gradients, and leaves out the steps whose gradients are not finite.

    A step is: `scale(loss).backward()`, once per micro-batch; `unscale_(optimizer)`; whatever looks at the
    gradients, such as clipping; `step(optimizer)`; `update()`.

    Args:
        device: where the scale lives.
        init_scale: the first factor.
        growth, backoff: factors on the scale after `interval` good steps, and after a bad one.
        interval: good steps in a row before the scale grows.

    Raises:
        ValueError: a factor is on the wrong side of 1, or the scale or the interval is not positive.
    """

    def __init__(
        self,
        device: str | torch.device = "cpu",
        *,
        init_scale: float = 2.0**16,
        growth: float = 2.0,
        backoff: float = 0.5,
        interval: int = 2000,
    ) -> None:
        if not (init_scale > 0 and growth > 1 > backoff > 0 and interval >= 1):
            raise ValueError(
                "expected init_scale > 0, growth > 1 > backoff > 0 and interval >= 1, got "
                f"{init_scale}, {growth}, {backoff} and {interval}"
            )
        self.growth, self.backoff, self.interval = growth, backoff, interval
        self._scale = torch.full((1,), init_scale, dtype=torch.float32, device=device)
        self._tracker = torch.zeros(1, dtype=torch.int32, device=device)
        self._found: Tensor | None = None
        self._warned = False

    def scale(self, loss: Tensor) -> Tensor:
        """`loss` times the scale."""
        return loss * self._scale.to(loss.dtype).squeeze()

    def unscale_(self, optimizer: torch.optim.Optimizer) -> None:
        """Divides the gradients by the scale, in place, and finds out if one of them is not finite.

        Raises:
            RuntimeError: they are unscaled already.
            TypeError: a gradient is in fp16, where small ones would be lost.
        """
        if self._found is not None:
            raise RuntimeError("the gradients are unscaled already; call update() after each step")
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        found = [p.grad for p in parameters if p.grad is not None]
        # Of a tensor that is divided among ranks, the part that is here.
        gradients: list[Tensor] = [g.to_local() if hasattr(g, "to_local") else g for g in found]  # pyright: ignore
        if any(g.dtype == torch.float16 for g in gradients):
            raise TypeError("expected gradients in float32: keep the parameters in float32 and use autocast")
        worst = torch.zeros(1, device=self._scale.device)
        inverse = self._scale.double().reciprocal().float()
        for dtype in {g.dtype for g in gradients}:
            alike = [g for g in gradients if g.dtype == dtype]
            # Multiplies, and sets `worst` to 1 if something is not finite, in one pass over them.
            torch._amp_foreach_non_finite_check_and_unscale_(alike, worst, inverse)  # pyright: ignore
        if dist.is_initialized() and dist.get_world_size() > 1:
            dist.all_reduce(worst, dist.ReduceOp.MAX)  # All ranks skip, or none.
        self._found = worst

    @property
    def pending(self) -> Tensor:
        """[scale, 1 if a gradient was not finite else 0] of the unscaled step, on the device."""
        if self._found is None:
            raise RuntimeError("the gradients are not unscaled yet")
        return torch.cat([self._scale, self._found])

    def step(self, optimizer: torch.optim.Optimizer, *, read: tuple[float, float] | None = None) -> Step:
        """Lets the optimizer step unless a gradient is not finite; unscales first if that is not done.

        Args:
            optimizer: whose gradients were scaled.
            read: the values of `pending`, if the caller has copied them from the device with others.
        """
        if self._found is None:
            self.unscale_(optimizer)
        scale, found = read or self.pending.tolist()
        if not found:
            optimizer.step()
        if scale < 1 and not self._warned:
            self._warned = True
            warnings.warn(
                f"the loss scale fell to {scale:g}: gradients overflow, they do not underflow", stacklevel=2
            )
        return Step(not found, scale, bool(found))

    def update(self) -> None:
        """Adapts the scale to what the step found; the scale does not change anywhere else.

        A bad step multiplies it by `backoff`; so does `growth` after `interval` good ones in a row, unless
        the product is not finite. Either begins the row anew.

        Raises:
            RuntimeError: there was no step.
        """
        if self._found is None:
            raise RuntimeError("expected step() before update()")
        # All of it in one kernel and in place, where the device is not waited for.
        torch._amp_update_scale_(  # pyright: ignore
            self._scale, self._tracker, self._found, self.growth, self.backoff, self.interval
        )
        self._found = None

    def get_scale(self) -> float:
        """The scale."""
        return float(self._scale)

    def state_dict(self) -> dict[str, Any]:
        """The scale, how often it held, and the settings, under `torch.amp.GradScaler`'s names."""
        return {
            "scale": self.get_scale(),
            "growth_factor": self.growth,
            "backoff_factor": self.backoff,
            "growth_interval": self.interval,
            "_growth_tracker": int(self._tracker),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on where `state_dict` was called, here or on a `torch.amp.GradScaler`."""
        self._scale = torch.full_like(self._scale, state["scale"])
        self._tracker = torch.full_like(self._tracker, state["_growth_tracker"])
        self.growth, self.backoff = state["growth_factor"], state["backoff_factor"]
        self.interval = state["growth_interval"]
