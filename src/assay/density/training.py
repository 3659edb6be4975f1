"""Gradient training for the wing's small networks: minibatches, Adam, and stopping by held-out rows.

The gradients are derived by hand and computed with NumPy, because at these sizes that is at least as fast as
automatic differentiation and asks for no package beyond NumPy.

Reference:
    Kingma, Ba. "Adam: A Method for Stochastic Optimization". ICLR 2015. arXiv:1412.6980v9
    Implements: Algorithm 1.
    Verified: loops over single numbers, 1e-12; torch.optim.Adam, 1e-10.
"""

import contextlib
import importlib.util
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

import numpy as np

from assay.core.run import Run
from assay.density.contract import BinaryData, Bits
from assay.density.model import Array, Moment, Weights

_HELD_OUT = 0.1
_PART = 1 << 15  # numbers of a step taken at once
_SHOWN = frozenset(np.unique(np.geomspace(1, 10_000, 60).round().astype(int)).tolist())

Gradient = Callable[[Weights, Array, np.random.Generator], tuple[float, Weights]]
"""Weights, a batch of rows and a generator -> the mean loss of the rows in nats, and its gradient."""


class Settings(Protocol):
    """What a method says of its training.

    Args:
        learning_rate: of Adam, above 0.
        batch_size: rows per step.
        max_epochs: rounds over the rows at most.
        patience: stop after so many epochs in which held-out rows did not gain.
    """

    @property
    def learning_rate(self) -> float: ...  # noqa: D102
    @property
    def batch_size(self) -> int: ...  # noqa: D102
    @property
    def max_epochs(self) -> int: ...  # noqa: D102
    @property
    def patience(self) -> int: ...  # noqa: D102


def is_shown(epoch: int) -> bool:
    """Whether the learning curve shows this epoch: all at the beginning, and then ever fewer."""
    return epoch in _SHOWN


def held_out(data: BinaryData, run: Run) -> tuple[BinaryData, BinaryData]:
    """Rows to learn from and a tenth to tell when to stop, the same for every method of a seed.

    Raises:
        ValueError: there are fewer than two rows.
    """
    if len(data) < 2:
        raise ValueError(
            f"{data.name}: expected at least 2 rows, to learn from and to stop by, got {len(data)}"
        )
    order = run.rng("validation").permutation(len(data))
    count = max(1, round(_HELD_OUT * len(data)))
    return data.take(np.sort(order[count:])), data.take(np.sort(order[:count]))


class Adam:
    """Steps that divide the running mean of the gradient by the root of the running mean of its square.

    The means are kept as sums, m / (1 - beta1) and v / (1 - beta2), which are cheaper to keep up.
    """

    def __init__(self, weights: Mapping[str, Array], learning_rate: float) -> None:
        self._weights, self._rate, self._time = weights, learning_rate, 0
        self._m = {name: np.zeros_like(w) for name, w in weights.items()}
        self._v = {name: np.zeros_like(w) for name, w in weights.items()}

    def step(self, gradient: Weights) -> None:
        """Moves the weights, in place; they are contiguous."""
        beta1, beta2, epsilon = 0.9, 0.999, 1e-8
        self._time += 1
        unbias = np.sqrt((1 - beta2**self._time) / (1 - beta2))
        rate = self._rate * unbias * (1 - beta1) / (1 - beta1**self._time)
        for g, m, v, w, scratch in self._parts(gradient):
            m *= beta1
            m += g
            np.multiply(g, g, out=scratch)
            v *= beta2
            v += scratch
            np.sqrt(v, out=scratch)
            scratch += epsilon * unbias
            np.divide(m, scratch, out=scratch)
            scratch *= rate
            w -= scratch

    def _parts(self, gradient: Weights) -> Iterator[tuple[Array, ...]]:
        """Gradient, its means, the weights and as much room, in parts that a core's own cache holds."""
        for name, weights in self._weights.items():
            flat = [a[name].reshape(-1) for a in (gradient, self._m, self._v, self._weights)]
            room = np.empty(min(weights.size, _PART), weights.dtype)
            for first in range(0, weights.size, _PART):
                g, m, v, w = (a[first : first + _PART] for a in flat)
                yield g, m, v, w, room[: w.size]


def train(
    start: Weights,
    gradient: Gradient,
    score: Callable[[Weights, Bits], float],
    data: BinaryData,
    run: Run,
    settings: Settings,
) -> tuple[Weights, list[Moment]]:
    """The weights that did best on held-out rows, and the weights now and then on the way.

    Args:
        start: the weights to begin with, which stay as they are.
        gradient: of the loss.
        score: the negative log-likelihood of rows, to stop by.
        data: training rows; a tenth is held out.
        run: its budget takes the place of `max_epochs`; held-out rows may end the training before.
        settings: the method's.

    Raises:
        FloatingPointError: the loss is not a finite number.
    """
    learn, check = held_out(data, run)
    batch_size = settings.batch_size
    draws, noise = run.rng("epochs"), run.rng("noise")
    weights = {name: np.array(w, order="C") for name, w in start.items()}
    dtype = next(iter(weights.values())).dtype
    adam = Adam(weights, settings.learning_rate)
    best, best_score = start, score(start, check.x)
    history: list[Moment] = []
    epoch = step = waited = 0
    spent = 0.0
    while (
        waited < settings.patience and spent < 1 and (run.budget is not None or epoch < settings.max_epochs)
    ):
        x = learn.drawn(draws)[draws.permutation(len(learn))].astype(dtype)
        total = 0.0
        for first in range(0, len(x), batch_size):
            batch = x[first : first + batch_size]
            loss, slope = gradient(weights, batch, noise)
            if not np.isfinite(loss):
                raise FloatingPointError(f"the loss is {loss} in epoch {epoch + 1}: lower the learning rate")
            adam.step(slope)
            total += loss * len(batch)
            step += 1
            examples = epoch * len(x) + min(first + batch_size, len(x))
            spent = run.spent(steps=step, epochs=examples / len(x), examples=examples)
            if spent >= 1:
                break
        epoch += 1
        waited += 1
        scored = score(weights, check.x)
        if scored < best_score:
            best, best_score, waited = _copied(weights), scored, 0
        if is_shown(epoch):
            history.append(Moment(epoch, _copied(weights)))
        run.log(step, train=total / len(x), validation=scored)
        run.progress(spent if run.budget is not None else epoch / settings.max_epochs, f"epoch {epoch}")
    return best, history


def check_settings(method: Settings) -> None:
    """Refuses settings with which `train` could not work.

    Raises:
        ValueError: a rate, a size or a number is not above 0.
    """
    for name in ("learning_rate", "batch_size", "max_epochs", "patience"):
        value = getattr(method, name)
        if not value > 0:
            raise ValueError(f"expected {name} above 0, got {value}")


@contextlib.contextmanager
def threads(run: Run) -> Iterator[None]:
    """Keeps matrix products to the run's threads, where threadpoolctl is installed to tell them."""
    if importlib.util.find_spec("threadpoolctl") is None:
        yield
        return
    from threadpoolctl import threadpool_limits

    with threadpool_limits(run.threads):
        yield


def _copied(weights: Weights) -> Weights:
    return {name: np.array(w) for name, w in weights.items()}
