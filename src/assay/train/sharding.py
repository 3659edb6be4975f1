"""A model divided among the ranks by torch's FSDP2, in place, and made whole again.

Reference:
    Zhao et al. "PyTorch FSDP: Experiences on Scaling Fully Sharded Data Parallel". VLDB 2023.
    arXiv:2304.11277v2; `torch.distributed.fsdp.fully_shard` does the work.
    Verified: one rank, losses, gradients and weights, 1e-10 in float64.
"""

import inspect
from collections import Counter
from typing import Any

import torch
from torch import nn

from assay.core.run import Run
from assay.train.division import is_divided, whole
from assay.train.ema import Ema

_ENTRIES = ("embed", "tokens", "encode", "encode_image", "encode_text", "features")
"""Methods beside `forward` through which losses use a model; its weights are gathered before them too."""

_MARKS = ("__composable_api", "_fsdp")
"""How the names begin of what FSDP2 leaves on a module."""


class Sharding:
    """Divides a model block by block, and gives the optimizer the parts in place of the whole weights.

    Args:
        model: lists of modules in it are divided module by module, the rest together.
        optimizer: of its parameters, before its first step.
        run: device and world.

    Raises:
        RuntimeError: the optimizer has a state already.
    """

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer, run: Run) -> None:
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

        if optimizer.state:
            raise RuntimeError(
                "expected an optimizer without a state: weights are divided before its first step"
            )
        for parameter in model.parameters():  # FSDP2 takes no others, such as channels that come last.
            parameter.data = parameter.data.contiguous()
        names = {parameter: name for name, parameter in model.named_parameters()}
        # `fully_shard` cannot divide single numbers; they stay on every rank.
        self.copied = [p for p in names if p.ndim == 0 and p.requires_grad]
        single = {parameter for parameter in names if parameter.ndim == 0}
        self._model = model
        self._before = {name: (type(m), _shell(m)) for name, m in model.named_modules()}
        mesh = init_device_mesh(torch.device(run.device).type, (run.world,))
        lists = [m for m in model.modules() if isinstance(m, nn.ModuleList)]
        blocks = [block for found in lists for block in found if not isinstance(block, nn.ModuleList)]
        uses = _uses(model)
        # What is used in two blocks is divided with the rest. Blocks inside blocks come first.
        alone = [b for b in reversed(blocks) if all(n == uses[p] for p, n in _uses(b).items())]
        for module in [*alone, model]:
            fully_shard(module, mesh=mesh, ignored_params=single)
        self._entries = [name for name in _ENTRIES if inspect.isfunction(getattr(type(model), name, None))]
        for name in self._entries:
            register_fsdp_forward_method(model, name)
        parts = dict(model.named_parameters())
        groups = list(optimizer.param_groups)
        optimizer.param_groups.clear()
        for group in groups:
            found = [parts[names[parameter]] for parameter in group["params"]]
            for divided in (True, False):  # One operation cannot update both.
                some = [parameter for parameter in found if is_divided(parameter) == divided]
                if some:
                    optimizer.param_groups.append({**group, "params": some})

    def undo(self, ema: Ema | None) -> None:
        """Gives every rank the whole model again, of the classes it had, and the whole running mean."""
        from torch.distributed import _composable_state

        modules = dict(self._model.named_modules())
        found: dict[int, nn.Parameter] = {}  # A parameter that has two places keeps both.
        for module in modules.values():
            for parameter in module._parameters.values():
                if parameter is not None and id(parameter) not in found:
                    made = nn.Parameter(whole(parameter.detach()), parameter.requires_grad)
                    found[id(parameter)] = made if is_divided(parameter) else parameter
        for name, module in modules.items():
            kind, shell = self._before[name]
            parameters = {k: p if p is None else found[id(p)] for k, p in module._parameters.items()}
            left = [key for key in vars(module) if key.startswith(_MARKS)]
            left += self._entries if module is self._model else []
            rest = {key: value for key, value in vars(module).items() if key not in left}
            _composable_state._module_state_mapping.pop(module, None)  # Or it could not be divided again.
            module.__class__ = kind
            module.__dict__ = {**rest, **shell, "_parameters": parameters}
        if ema is not None:
            ema.mean = {name: whole(value) for name, value in ema.mean.items()}


def _uses(module: nn.Module) -> Counter[nn.Parameter]:
    """How many places each parameter has inside."""
    return Counter(p for m in module.modules() for p in m._parameters.values() if p is not None)


def _shell(module: nn.Module) -> dict[str, Any]:
    """A module's hooks as they are now; dictionaries are copied, because FSDP2 adds its own to them."""
    return {key: type(value)(value) for key, value in vars(module).items() if key.endswith("_hooks")}
