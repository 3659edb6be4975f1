"""A small network of layers in few bits, and what was measured while it was trained."""

import itertools
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from assay.core.files import write_json
from assay.precision.arithmetic import linear, stored
from assay.precision.formats import BF16, FP16, FP32, TF32, rounded
from assay.precision.policy import Policy
from assay.precision.problem import Problem

FORMATS = {format.name: format for format in (FP32, TF32, FP16, BF16)}


@dataclass(frozen=True, kw_only=True)
class Moment:
    """What was seen at one step.

    Args:
        step: from 1.
        loss: of the step's batch, in nats.
        scale: of the loss; 1 without scaling.
        skipped: steps until now whose gradient was not finite.
        flushed: share of the non-zero gradient entries in float32 that become 0 in the format of the
            gradients, scaled as they are.
        flushed_unscaled: the same, not scaled.
        stagnant: share of the updates that leave their weight where it was.
        magnitudes: how many gradient entries have the binary exponent -60, -59, ... 20.
    """

    step: int
    loss: float
    scale: float
    skipped: int
    flushed: float
    flushed_unscaled: float
    stagnant: float
    magnitudes: tuple[int, ...]


EXPONENTS = range(-60, 21)
"""Of `Moment.magnitudes`; what is smaller or greater counts as the first or the last."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Network:
    """A classifier of images.

    Args:
        weights: matrix and vector of each layer in turn, float32 tensors with numbers of the policy's format.
        policy: in which it computes.
        mean, spread: of the pixels it was trained on.
        classes: names.
        moments: what was measured now and then in training.
        earlier: the weights at those moments; not saved.
    """

    weights: tuple[Tensor, ...]
    policy: Policy
    mean: float
    spread: float
    classes: tuple[str, ...]
    moments: Sequence[Moment] = ()
    earlier: Sequence[tuple[Tensor, ...]] = field(default=(), repr=False)

    def standardised(self, rows: np.ndarray) -> Tensor:
        """Pixels in [0, 1] as what the first layer gets."""
        x = torch.from_numpy((rows - np.float32(self.mean)) / np.float32(self.spread))
        return x.to(self.weights[0].device)

    def logits(self, problem: Problem) -> np.ndarray:
        """float64 [images, classes]."""
        with torch.no_grad():
            found = forward(self.weights, self.standardised(problem.rows()), self.policy)
        return found.double().cpu().numpy()

    def at(self, moment: int) -> "Network":
        """The network as it was at a moment."""
        return replace(self, weights=self.earlier[moment], moments=(), earlier=())

    def save(self, folder: Path) -> None:
        """Writes network.json and network.safetensors."""
        tensors = {f"{i}": w.detach().cpu().contiguous() for i, w in enumerate(self.weights)}
        save_file(tensors, folder / "network.safetensors")
        policy = {k: getattr(v, "name", v) for k, v in vars(self.policy).items()}
        facts = {"policy": policy, "mean": self.mean, "spread": self.spread, "classes": self.classes}
        write_json(folder / "network.json", facts | {"moments": [asdict(moment) for moment in self.moments]})

    @classmethod
    def load(cls, folder: Path) -> "Network":
        """The network that `save` wrote.

        Raises:
            ValueError: the folder holds no such network.
        """
        try:
            facts = json.loads((folder / "network.json").read_text("utf-8"))
            tensors = load_file(folder / "network.safetensors")
            policy: dict[str, Any] = {k: FORMATS.get(v, v) for k, v in facts["policy"].items()}
            return cls(
                weights=tuple(tensors[str(i)] for i in range(len(tensors))),
                policy=Policy(**policy),
                mean=facts["mean"],
                spread=facts["spread"],
                classes=tuple(facts["classes"]),
                moments=[Moment(**m | {"magnitudes": tuple(m["magnitudes"])}) for m in facts["moments"]],
            )
        except (KeyError, TypeError, ValueError, OSError, AttributeError, SafetensorError) as error:
            raise ValueError(f"{folder}: expected a network of the precision wing, got {error!r}") from None


def start(sizes: Sequence[int], policy: Policy, rng: np.random.Generator) -> tuple[Tensor, ...]:
    """Weights to begin with, in the policy's format: matrices uniform within 1 / sqrt(inputs), vectors 0."""
    weights = []
    for inputs, outputs in itertools.pairwise(sizes):
        bound = inputs**-0.5
        weights.append(torch.from_numpy(rng.uniform(-bound, bound, (outputs, inputs)).astype(np.float32)))
        weights.append(torch.zeros(outputs))
    return tuple(rounded(weight, policy.param) for weight in weights)


def forward(
    weights: Sequence[Tensor], x: Float[Tensor, "batch inputs"], policy: Policy
) -> Float[Tensor, "batch classes"]:
    """The logits of standardised rows: layers with rectified sums between them."""
    hidden = stored(x, policy.output)
    for i in range(0, len(weights), 2):
        hidden = linear(hidden, weights[i], weights[i + 1], policy)
        if i + 2 < len(weights):
            hidden = torch.relu(hidden)
    return hidden
