"""The one loop that trains with gradients: losses and batches come in, everything else is the run's."""

import time
from collections.abc import Callable, Iterable

import torch
import torch._dynamo  # Loaded by the first optimizer in any case; here, trials that are forked share it.
from torch import nn

from assay.core.run import Run
from assay.precision.scaler import LossScaler
from assay.train.checkpoint import Checkpoint
from assay.train.ema import Ema
from assay.train.feed import Batch, Feed
from assay.train.garbage import collected
from assay.train.history import History, pace
from assay.train.optimizer_state import OptimizerState
from assay.train.ranks import Launch, Ranks
from assay.train.schedule import Schedule
from assay.train.update import LossFn, Update, not_finite

PATIENCE = 20
"""So many steps in a row without a finite gradient end a training."""


def train(
    loss_fn: LossFn,
    batches: Iterable[Batch],
    optimizer: torch.optim.Optimizer,
    run: Run,
    *,
    model: nn.Module,
    steps: int | None = None,
    schedule: Schedule | None = None,
    clip_norm: float | None = None,
    accumulate: int = 1,
    after_step: Callable[[], None] | None = None,
    ema: Ema | None = None,
    launch: Launch | None = None,
) -> History:
    """The history of a training that changes `model` in place.

    It ends after `steps` or when the run's budget is spent, whichever comes first; without both, after one
    pass over `batches`. A step whose gradient is not finite is skipped: nothing changes but the count.

    Args:
        loss_fn: tensors of a batch -> named scalars; "loss" is differentiated, the others are recorded.
        batches: tuples whose first item's length is the number of examples; iterated again where they can be,
            and resumed exactly where they have `state_dict` and `load_state_dict`.
        optimizer: of parameters of `model`.
        run: device, precision, budget, folder, checkpoints, progress and ranks.
        model: what is trained.
        steps: how often the optimizer is asked to step, or None.
        schedule: multiplier of the learning rates by the fraction done; stands still when a step is skipped.
        clip_norm: greatest norm of all gradients together, or None.
        accumulate: batches per step; the gradient is the mean of theirs. For losses over all pairs of a batch
            this is another objective: see `assay.train.gradcache`.
        after_step: called after every update, for instance to clamp; kept in checkpoints if it has a state.
        ema: a running mean of the weights.
        launch: begins the sum of a bucket of gradients over the ranks; see `assay.train.ranks.Ranks`.

    Raises:
        FloatingPointError: the gradient was not finite `PATIENCE` times in a row.
        ValueError: there is no batch, or the checkpoint is not this training's.
    """
    ranks = Ranks(model, optimizer, run, launch)
    scaler = LossScaler(run.device) if run.precision == "fp16" else None
    feed = Feed(batches, endless=steps is not None or run.budget is not None)
    state = OptimizerState(optimizer, model)
    parts = {"model": model, "optimizer": state, "feed": feed, "scaler": scaler, "ema": ema}
    parts["after_step"] = after_step
    checkpoint = Checkpoint(run, {k: part for k, part in parts.items() if hasattr(part, "state_dict")})
    rates = [group["lr"] for group in optimizer.param_groups]
    history, in_a_row = History.resumed(checkpoint.load(), run), 0
    update = Update(loss_fn, model, optimizer, run, ranks=ranks, scaler=scaler, clip_norm=clip_norm)
    started = time.monotonic() - history.seconds

    def done(ahead: float = 0.0) -> float:
        """The fraction done, without skipped steps, `ahead` of the last one."""
        updates = len(history.records) - history.skipped + ahead
        spent = run.spent(steps=updates, epochs=feed.epochs, examples=history.examples)
        return min(max(spent, updates / steps if steps else 0.0), 1.0)

    def over() -> bool:
        attempted = len(history.records)
        spent = run.spent(steps=attempted, epochs=feed.epochs, examples=history.examples)
        return spent >= 1 or attempted == steps

    try:
        with collected(enabled=run.world > 1) as collect:
            while not over() and (group := feed.group(accumulate, run.device)) is not None:
                for settings, rate in zip(optimizer.param_groups, rates, strict=True):
                    settings["lr"] = rate * (schedule(done(ahead=0.5)) if schedule else 1.0)
                updated, scalars = update(group)
                examples = history.examples + run.world * sum(len(batch[0]) for batch in group)
                step = history.add(examples, time.monotonic() - started, scalars, updated=updated)
                in_a_row = 0 if updated else in_a_row + 1
                if in_a_row == PATIENCE:
                    raise FloatingPointError(
                        f"step {step}: {PATIENCE} steps in a row without a finite gradient; loss "
                        f"{scalars['loss']}, first parameter without one: {not_finite(model)}"
                    )
                if updated and after_step is not None:
                    after_step()
                if updated and ema is not None:
                    ema.update()
                run.log(step, **scalars, lr=optimizer.param_groups[0]["lr"])
                run.progress(done(), pace(history, done()))
                if checkpoint.due(step):
                    checkpoint.save(history.state_dict())
                collect(step)
        ranks.make_whole(ema)
    finally:
        ranks.close()
        for settings, rate in zip(optimizer.param_groups, rates, strict=True):
            settings["lr"] = rate
    if not history.records:
        raise ValueError("expected at least one batch to train on, got none")
    return history
