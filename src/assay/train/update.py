"""One step: losses of some batches, their gradients together, and an update if these are finite."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from assay.core.run import Run
from assay.precision.scaler import LossScaler
from assay.train.autocast import autocast
from assay.train.division import is_divided, whole
from assay.train.feed import Batch
from assay.train.ranks import Ranks

LossFn = Callable[..., Mapping[str, Tensor]]
"""Tensors of a batch -> named scalars; "loss" is differentiated, the others are recorded."""


class Outcome(NamedTuple):
    """Whether the optimizer made its step, and the step's scalars."""

    updated: bool
    scalars: dict[str, float]


class Update:
    """Makes the steps of a training.

    Args:
        loss_fn: see `LossFn`.
        model: what is trained.
        optimizer: of its parameters.
        run: device and precision.
        ranks: who else trains the model.
        scaler: of the loss, if the precision needs one.
        clip_norm: greatest norm of all gradients together, or None.
    """

    def __init__(
        self,
        loss_fn: LossFn,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        run: Run,
        *,
        ranks: Ranks,
        scaler: LossScaler | None,
        clip_norm: float | None,
    ) -> None:
        self._loss_fn, self._model, self._optimizer, self._run = loss_fn, model, optimizer, run
        self._ranks, self._scaler, self._clip_norm = ranks, scaler, clip_norm

    def __call__(self, group: list[Batch]) -> Outcome:
        """Makes one step, of which all batches of `group` have an equal share."""
        self._optimizer.zero_grad(set_to_none=True)
        values = self._ranks.mean(self._differentiated(group))
        self._ranks.finish()
        if self._scaler is not None:
            self._scaler.unscale_(self._optimizer)
        values["grad_norm"] = self._clipped()
        pending = [] if self._scaler is None else [self._scaler.pending.double()]
        # The step's only wait for the device.
        numbers = torch.cat([torch.stack(list(values.values())), *pending]).tolist()
        scalars = dict(zip(values, numbers, strict=False))
        finite = all(scalars[name] - scalars[name] == 0 for name in ("loss", "grad_norm"))
        if self._scaler is not None:
            scalars["loss_scale"] = numbers[-2]
            self._scaler.step(self._optimizer, read=(numbers[-2], float(not finite)))
            self._scaler.update()
        elif finite:
            self._optimizer.step()
        return Outcome(finite, scalars)

    def _differentiated(self, group: list[Batch]) -> dict[str, Tensor]:
        """The means of the scalars; their gradients are added up in the parameters."""
        values: dict[str, Tensor] = {}
        for i, batch in enumerate(group):
            self._ranks.last_of_step(i == len(group) - 1)
            with autocast(self._run):
                found = self._loss_fn(*batch)
            loss = found["loss"] / len(group)
            (loss if self._scaler is None else self._scaler.scale(loss)).backward()
            for name, value in found.items():
                share = value.detach().double() / len(group)
                values[name] = values[name] + share if name in values else share
        return values

    def _clipped(self) -> Tensor:
        """The norm of all gradients together, before they are scaled down to the greatest allowed."""
        used = [p for p in self._model.parameters() if p.grad is not None]
        # Tensors that are divided among ranks and tensors that are not do not go into one operation.
        parts = [[p for p in used if is_divided(p) == divided] for divided in (True, False)]
        norms = [whole(nn.utils.get_total_norm([p.grad for p in part])) for part in parts if part]  # type: ignore
        norm = nn.utils.get_total_norm(norms)
        if self._clip_norm is not None:
            for part in parts:
                nn.utils.clip_grads_with_norm_(part, self._clip_norm, norm)
        return norm.double()


def not_finite(model: nn.Module) -> str:
    """The name of the first parameter whose gradient is not finite, or "none"."""
    for name, parameter in model.named_parameters():
        if parameter.grad is not None and not torch.isfinite(parameter.grad).all():
            return name
    return "none"
