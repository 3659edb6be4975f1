"""A running mean of the weights, which often predicts better than the last ones."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn


class Ema:
    """Exponential moving average of a model's floating-point weights and buffers.

    mean <- d mean + (1 - d) weights, where d rises to `decay` so that the mean of a short training is not
    its start: d = min(decay, (1 + updates) / (10 + updates)).

    Args:
        model: whose weights are averaged, beginning with those that it has at the first update.
        decay: d after many updates, in [0, 1).
        warm: let d rise; else it is `decay` from the first update.

    Raises:
        ValueError: the decay is outside [0, 1).
    """

    def __init__(self, model: nn.Module, decay: float = 0.999, *, warm: bool = True) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"expected decay in [0, 1), got {decay}")
        self.model, self.decay, self.warm = model, decay, warm
        self.updates = 0
        self.mean: dict[str, Tensor] = {}

    @torch.no_grad()
    def update(self) -> None:
        """Takes the weights as they are now into the mean."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates)) if self.warm else self.decay
        self.updates += 1
        for name, value in self.model.state_dict().items():
            if name not in self.mean or not value.is_floating_point():
                self.mean[name] = value.detach().clone()
            else:
                self.mean[name].lerp_(value, 1 - decay)

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """In the block the model has the mean in place of its weights."""
        kept = {name: value.clone() for name, value in self.model.state_dict().items()}
        self.copy_to_model()
        try:
            yield
        finally:
            self.model.load_state_dict(kept)

    def copy_to_model(self) -> None:
        """Gives the model the mean for good.

        Raises:
            RuntimeError: there was no update.
        """
        if not self.mean:
            raise RuntimeError("expected an update before the mean is used")
        self.model.load_state_dict(self.mean)

    def state_dict(self) -> dict[str, Any]:
        """The mean and the number of updates."""
        return {"updates": self.updates, "mean": dict(self.mean)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on where `state_dict` was called."""
        self.updates, self.mean = state["updates"], dict(state["mean"])
