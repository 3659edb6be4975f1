"""The one loop that trains with gradients: losses and batches come in, everything else is the run's."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from assay.core.run import Run
from assay.train.autocast import autocast
from assay.train.history import History, Record
from assay.train.schedule import Schedule

LossFn = Callable[..., Mapping[str, Tensor]]
"""Tensors of a batch -> named scalars; "loss" is differentiated, the others are recorded."""

PATIENCE = 20
"""So many steps in a row without a finite gradient end the training."""


def train(
    loss_fn: LossFn,
    batches: Iterable[tuple[Any, ...]],
    optimizer: torch.optim.Optimizer,
    run: Run,
    *,
    model: nn.Module,
    steps: int | None = None,
    schedule: Schedule | None = None,
    clip_norm: float | None = None,
    accumulate: int = 1,
    after_step: Callable[[], None] | None = None,
) -> History:
    """The history of a training that changes `model` in place.

    It ends after `steps` or when the run's budget is spent, whichever comes first; without both, after one
    pass over `batches`.

    Args:
        loss_fn: see `LossFn`.
        batches: tuples whose first item has a length, the number of examples. What can be iterated again is,
            for as long as the training lasts.
        optimizer: of parameters of `model`.
        run: device, precision, budget, folder, progress and ranks.
        model: what is trained.
        steps: batches times 1 / `accumulate`, or None.
        schedule: multiplier of the learning rates by the fraction done; stands still when a step is skipped.
        clip_norm: greatest norm of all gradients together, or None.
        accumulate: batches per step; the gradient is the mean of theirs.
        after_step: called after every update, for instance to clamp a parameter.

    Raises:
        FloatingPointError: the gradient was not finite `PATIENCE` times in a row.
        ValueError: there is no batch.
    """
    rates = [group["lr"] for group in optimizer.param_groups]
    history, in_a_row = History(), 0
    feed = _Feed(batches, endless=steps is not None or run.budget is not None)
    started = time.monotonic()

    def done(ahead: float = 0.0) -> float:
        """The fraction done, without skipped steps, `ahead` of the last one."""
        updates = len(history.records) - history.skipped + ahead
        spent = run.spent(steps=updates, epochs=feed.epochs, examples=history.examples)
        return min(max(spent, updates / steps if steps else 0.0), 1.0)

    while steps is None or len(history.records) < steps:
        group = list(feed.take(accumulate))
        if len(group) < accumulate:
            break
        for settings, rate in zip(optimizer.param_groups, rates, strict=True):
            settings["lr"] = rate * (schedule(done(ahead=0.5)) if schedule else 1.0)
        optimizer.zero_grad(set_to_none=True)
        values: dict[str, Tensor] = {}
        for batch in group:
            with autocast(run):
                found = loss_fn(*(_moved(item, run.device) for item in batch))
            (found["loss"] / accumulate).backward()
            for name, value in found.items():
                values[name] = values.get(name, 0) + value.detach().double() / accumulate
        norm = nn.utils.get_total_norm([p.grad for p in model.parameters() if p.grad is not None])
        values["grad_norm"] = norm.double()
        if clip_norm is not None:
            nn.utils.clip_grads_with_norm_(model.parameters(), clip_norm, norm)
        numbers = torch.stack(list(values.values())).tolist()  # The step's only wait for the device.
        scalars = dict(zip(values, numbers, strict=True))
        finite = _finite(scalars["loss"]) and _finite(scalars["grad_norm"])
        if finite:
            optimizer.step()
            if after_step is not None:
                after_step()
        in_a_row = 0 if finite else in_a_row + 1
        history.skipped += not finite
        examples = history.examples + sum(len(batch[0]) for batch in group) * run.world
        step = len(history.records) + 1
        history.records.append(Record(step, examples, time.monotonic() - started, scalars))
        run.log(step, **scalars, lr=optimizer.param_groups[0]["lr"])
        run.progress(done(), f"step {step}, loss {scalars['loss']:.4g}")
        if in_a_row == PATIENCE:
            raise FloatingPointError(f"step {step}: {PATIENCE} steps in a row without a finite gradient")
        if run.spent(steps=step, epochs=feed.epochs, examples=examples) >= 1:
            break
    if not history.records:
        raise ValueError("expected at least one batch to train on, got none")
    for settings, rate in zip(optimizer.param_groups, rates, strict=True):
        settings["lr"] = rate
    return history


class _Feed:
    """Batches one after another, over as many passes as are wanted."""

    def __init__(self, batches: Iterable[tuple[Any, ...]], *, endless: bool) -> None:
        self._batches, self._endless, self.taken, self.passes = batches, endless, 0, 0
        self._iterator = self._passes()

    @property
    def epochs(self) -> float:
        """Passes over the data until now, in parts if the number of batches is known."""
        try:
            return self.taken / len(self._batches)  # type: ignore[arg-type]
        except TypeError:
            return float(self.passes)

    def take(self, count: int) -> Iterator[tuple[Any, ...]]:
        """The next batches, fewer at the end."""
        for _ in range(count):
            try:
                yield next(self._iterator)
            except StopIteration:
                return

    def _passes(self) -> Iterator[tuple[Any, ...]]:
        while True:
            before = self.taken
            for batch in self._batches:
                self.taken += 1
                yield batch
            self.passes += 1
            if not self._endless or self.taken == before:
                return


def _moved(item: Any, device: str) -> Any:
    return item.to(device, non_blocking=True) if isinstance(item, Tensor) else item


def _finite(value: float) -> bool:
    return value - value == 0
