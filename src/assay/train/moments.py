"""The weights of a model now and then while it is trained, from which learning curves are drawn."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor, nn

from assay.core.run import Run


class Moment(NamedTuple):
    """The weights after so many examples."""

    examples: int
    weights: dict[str, Tensor]


class Moments:
    """Called after every step, it keeps what is trained whenever another part of the training is done.

    Args:
        model: whose weights are kept.
        run: its budget takes the place of `steps`.
        steps: of the whole training.
        batch_size: examples of a step.
        epoch: examples of a pass over the data.
        count: how many moments; the last one is the end. 0 keeps none.
        without: how the names of other weights and buffers begin that do not change, and are not kept.
    """

    def __init__(
        self,
        model: nn.Module,
        run: Run,
        *,
        steps: int,
        batch_size: int,
        epoch: int,
        count: int = 8,
        without: str | None = None,
    ) -> None:
        self.model, self._run, self._steps = model, run, steps
        self._batch_size, self._epoch, self._count, self._without = batch_size, epoch, count, without
        self.step = 0
        self.kept: list[Moment] = []

    @property
    def done(self) -> float:
        """The fraction of the training that is done."""
        if self._run.budget is None:
            return self.step / self._steps
        seen = self.step * self._batch_size
        return self._run.spent(steps=self.step, epochs=seen / self._epoch, examples=seen)

    def __call__(self) -> None:
        """Counts a step."""
        self.step += 1
        if self._count and self.done >= (len(self.kept) + 1) / self._count:
            frozen = {name for name, p in self.model.named_parameters() if not p.requires_grad}
            weights = {
                name: tensor.detach().to("cpu", copy=True)
                for name, tensor in self.model.state_dict().items()
                if name not in frozen and not (self._without and name.startswith(self._without))
            }
            self.kept.append(Moment(self.step * self._batch_size, weights))

    def state_dict(self) -> dict[str, Any]:
        """The number of steps and what was kept."""
        return {"step": self.step, "kept": [(moment.examples, moment.weights) for moment in self.kept]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on where `state_dict` was called."""
        self.step, self.kept = state["step"], [Moment(*moment) for moment in state["kept"]]
