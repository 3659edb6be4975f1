"""Training in few bits, step by step, with a look at what gets lost on the way.

This wing stands below `assay.train`, which uses its scaler, and it needs to see what no other training has
to: every rounded number. So it has a loop of its own.
"""

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
import torch._dynamo  # Loaded by the first optimizer in any case; here, trials that are forked share it.
import torch.nn.functional as F
from torch import Tensor

from assay.core.run import Run
from assay.precision.formats import flushed, rounded, stagnant, stochastically_rounded
from assay.precision.network import EXPONENTS, Moment, Network, forward, start
from assay.precision.policy import Policy
from assay.precision.problem import Problem
from assay.precision.scaler import LossScaler

MOMENTS = 20
"""How often a training is looked at."""


class RoundingSGD(torch.optim.Optimizer):
    """Stochastic gradient descent whose weights and momentum are kept in a format.

    Args:
        parameters: float32 tensors with numbers of the format.
        policy: `param` is the format, `update` how updated weights get into it.
        lr: learning rate.
        momentum: in [0, 1).
        generator: of stochastic rounding.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        policy: Policy,
        *,
        lr: float,
        momentum: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum})
        self._policy, self._generator = policy, generator

    def update(self, parameter: Tensor) -> Tensor:
        """What will be added to a parameter, in float32."""
        assert parameter.grad is not None
        group = self.param_groups[0]
        velocity = self.state[parameter].get("velocity")
        step = parameter.grad if velocity is None else group["momentum"] * velocity + parameter.grad
        return -group["lr"] * step

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Moves every parameter."""
        format = self._policy.param
        for group in self.param_groups:
            for parameter in group["params"]:
                update = self.update(parameter)
                if group["momentum"]:
                    self.state[parameter]["velocity"] = rounded(update / -group["lr"], format)
                if self._policy.update == "stochastic":
                    assert self._generator is not None
                    parameter.copy_(stochastically_rounded(parameter + update, format, self._generator))
                else:
                    parameter.copy_(rounded(parameter + update, format))


def trained(
    problem: Problem,
    policy: Policy,
    run: Run,
    *,
    hidden: tuple[int, ...],
    steps: int,
    batch_size: int,
    learning_rate: float,
    momentum: float,
    interval: int,
) -> Network:
    """The network trained on `problem` under `policy`, with what was measured at about 20 moments.

    Two policies with one seed see the same start, up to its rounding, and the same batches.

    Args:
        problem: what is learned.
        policy: the formats.
        run: its budget takes the place of `steps`.
        hidden: sizes of the hidden layers.
        steps: of the optimizer.
        batch_size: images per step.
        learning_rate: at the beginning; it falls to 0 by half a cosine wave.
        momentum: in [0, 1).
        interval: good steps in a row before the loss scale grows.
    """
    x, y = torch.from_numpy(problem.rows()), torch.from_numpy(np.asarray(problem.images.labels, np.int64))
    mean, spread = float(x.mean()), max(float(x.std()), 1e-6)
    x, y = ((x - mean) / spread).to(run.device), y.to(run.device)
    sizes = (x.shape[1], *hidden, len(problem.images.classes))
    weights = tuple(w.to(run.device).requires_grad_() for w in start(sizes, policy, run.rng("start")))
    generator = torch.Generator(run.device).manual_seed(int(run.rng("rounding").integers(2**62)))
    rate = learning_rate * problem.positions  # What the average takes away.
    optimizer = RoundingSGD(weights, policy, lr=rate, momentum=momentum, generator=generator)
    scaler = LossScaler(run.device, interval=interval) if policy.scaling else None
    batches, moments, earlier = run.rng("batches"), [], []
    skipped = step = 0
    done = 0.0
    while done < 1:
        chosen = torch.from_numpy(batches.choice(len(x), min(batch_size, len(x)), replace=False)).to(
            run.device
        )
        loss = F.cross_entropy(forward(weights, x[chosen], policy), y[chosen])
        optimizer.param_groups[0]["lr"] = rate * (1 + np.cos(np.pi * done)) / 2
        optimizer.zero_grad()
        value, scale = float(loss.detach()), 1.0 if scaler is None else scaler.get_scale()
        objective = loss / problem.positions
        (objective if scaler is None else scaler.scale(objective)).backward()
        if scaler is not None:
            scaler.unscale_(optimizer)
        step += 1
        spent = run.spent(steps=step, epochs=step * batch_size / len(x), examples=step * batch_size)
        after = spent if run.budget is not None else step / steps
        if int(after * MOMENTS) > int(done * MOMENTS):
            exact = F.cross_entropy(forward(weights, x[chosen], Policy()), y[chosen]) / problem.positions
            gradients = torch.cat([g.flatten() for g in torch.autograd.grad(exact, weights)])
            moments.append(
                Moment(
                    step=step,
                    loss=value,
                    scale=scale,
                    skipped=skipped,
                    flushed=flushed(gradients, policy.output, scale),
                    flushed_unscaled=flushed(gradients, policy.output),
                    stagnant=_stagnant(weights, optimizer, policy),
                    magnitudes=magnitudes(gradients),
                )
            )
            earlier.append(tuple(w.detach().clone() for w in weights))
        if scaler is not None:
            skipped += not scaler.step(optimizer).stepped
            scaler.update()
        elif all(torch.isfinite(w.grad).all() for w in weights if w.grad is not None):
            optimizer.step()
        else:
            skipped += 1
        done = after
        run.log(step, loss=value, scale=scale, skipped=skipped)
        run.progress(min(done, 1.0), f"step {step}, loss {value:.4g}")
    return Network(
        weights=tuple(w.detach() for w in weights),
        policy=policy,
        mean=mean,
        spread=spread,
        classes=problem.images.classes,
        moments=moments,
        earlier=earlier,
    )


def magnitudes(values: Tensor) -> tuple[int, ...]:
    """How many of the non-zero values have each binary exponent of `EXPONENTS`."""
    alive = values[(values != 0) & torch.isfinite(values)]
    exponents = torch.frexp(alive.double()).exponent - 1  # |x| = m 2^e with m in [1, 2).
    found = exponents.clamp(EXPONENTS[0], EXPONENTS[-1]) - EXPONENTS[0]
    return tuple(torch.bincount(found.long(), minlength=len(EXPONENTS)).tolist())


def _stagnant(weights: tuple[Tensor, ...], optimizer: RoundingSGD, policy: Policy) -> float:
    if not all(torch.isfinite(w.grad).all() for w in weights if w.grad is not None):
        return 1.0  # The step will be skipped.
    with torch.no_grad():
        before = torch.cat([w.flatten() for w in weights])
        updates = torch.cat([optimizer.update(w).flatten() for w in weights])
        return stagnant(before, updates, policy.param)


@contextlib.contextmanager
def threads(run: Run) -> Iterator[None]:
    """Keeps torch to the run's threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(run.threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
