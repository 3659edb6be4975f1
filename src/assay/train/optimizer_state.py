"""An optimizer's state by the names of the parameters, which any number of ranks understands."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from assay.train.division import divided_as, is_divided


class OptimizerState:
    """Keeps and brings back what an optimizer has gathered, such as momentum; settings stay as they are.

    Args:
        optimizer: of parameters of `model`.
        model: names them.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, model: nn.Module) -> None:
        self._optimizer, self._model = optimizer, model

    def state_dict(self) -> dict[str, dict[str, Any]]:
        """Name of a parameter -> its state."""
        names = self._names()
        return {names[parameter]: dict(state) for parameter, state in self._optimizer.state.items()}

    def load_state_dict(self, state: Mapping[str, Mapping[str, Any]]) -> None:
        """Goes on where `state_dict` was called.

        Raises:
            KeyError: the state has a parameter that is not here.
        """
        names = self._names()
        own = self._optimizer.state_dict()
        parameters = [p for group in self._optimizer.param_groups for p in group["params"]]
        missing = set(state) - {names[p] for p in parameters}
        if missing:
            raise KeyError(f"no parameter {sorted(missing)[0]!r}")
        own["state"] = {
            i: {key: _fitting(value, parameter) for key, value in state[names[parameter]].items()}
            for i, parameter in enumerate(parameters)
            if names[parameter] in state
        }
        self._optimizer.load_state_dict(own)

    def _names(self) -> dict[Tensor, str]:
        return {parameter: name for name, parameter in self._model.named_parameters()}


def _fitting(value: Any, parameter: Tensor) -> Any:
    """`value` divided, and laid out in memory, as its parameter is, if it has that parameter's shape.

    Fused optimizers go through both side by side: another order in memory would be another optimizer.
    """
    if not isinstance(value, Tensor) or value.shape != parameter.shape:
        return value
    if is_divided(parameter):
        return divided_as(parameter, value)
    return torch.empty_like(parameter, dtype=value.dtype).copy_(value)
